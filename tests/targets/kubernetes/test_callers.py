"""Whose keys the pods of an environment know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from manifests.render import render
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.callers import FILE, callers_config_map, let_in
from release.errors import BadInput
from serving.gateway.callers import Callers
from serving.keys import digest
from tests.cluster.client import Cluster
from tests.manifests.making import release, rendering, settings
from tests.serving.testers import DIGESTS, KEYS

R = rendering(release())
OTHERS = {"tester": digest("another-machine's-tester"), "operator": digest("and-its-operator")}


def known(config_map: Any) -> dict[str, str]:
    """SHA-256 → role, as a pod reads it."""
    callers = Callers.model_validate_json(config_map["data"][FILE]).callers
    return {one.sha256: one.role for one in callers}


def test_pods_know_who_may_pin_and_nobody_else() -> None:
    """By digests; users need no key of ours."""
    made = callers_config_map(R, DIGESTS)

    assert known(made) == {DIGESTS[role]: role for role in ("tester", "operator")}
    assert not any(key in json.dumps(made) for key in KEYS.values())
    assert made["metadata"]["labels"] == R.labels_apart


def test_a_machine_with_other_keys_locks_nobody_out() -> None:
    """It adds its own, in an order that does not depend on who came first."""
    first = callers_config_map(R, OTHERS, callers_config_map(R, DIGESTS))

    assert known(first) == known(callers_config_map(R, DIGESTS)) | known(
        callers_config_map(R, OTHERS)
    )
    assert first == callers_config_map(R, DIGESTS, callers_config_map(R, OTHERS))
    assert first == callers_config_map(R, OTHERS, first)


@pytest.mark.parametrize("data", [None, {}, {FILE: ""}, {FILE: "[]"}, {FILE: '{"callers": [1]}'}])
def test_what_cannot_be_read_is_not_written_over(data: dict[str, str] | None) -> None:
    """Somebody else's keys may be in it. The remedy is said, and no content is."""
    with pytest.raises(BadInput, match=r"assist-callers.*callers\.json.*Delete the ConfigMap"):
        callers_config_map(R, DIGESTS, {"data": data})


def test_it_is_mounted_and_never_rendered() -> None:
    """A pod starts without it. What is rendered may be in a repository; keys are in none."""
    rendered = {(one.kind, one.name): one.object for one in render(R)}
    pod = rendered["Deployment", "assist-blue"]["spec"]["template"]["spec"]

    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes["callers"]["configMap"] == {"name": R.callers_name, "optional": True}
    assert ("ConfigMap", R.callers_name) not in rendered


@pytest.mark.slow
def test_machines_let_in_their_own_one_after_the_other(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real API server; to repeat it changes nothing. What somebody took away by hand stays
    away, and is in nobody's way.
    """
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    api, r = Api(), rendering(release(), given=settings(namespace=namespace))

    let_in(api, r, DIGESTS)
    let_in(api, r, OTHERS)
    both = api.get("ConfigMap", r.callers_name, namespace)
    let_in(api, r, DIGESTS)

    assert len(known(both)) == 4
    assert api.get("ConfigMap", r.callers_name, namespace) == both

    where = ("configmap", r.callers_name, f"--namespace={namespace}")
    less = json.dumps({"data": callers_config_map(r, OTHERS)["data"]})
    cluster.must("patch", *where, "--type=merge", f"--patch={less}")
    let_in(api, r, {"tester": DIGESTS["tester"]})
    assert len(known(api.get("ConfigMap", r.callers_name, namespace))) == 3
