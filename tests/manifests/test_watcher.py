"""The watcher's objects: what its pods may do, whom they reach, and what they go by."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from manifests.folder import write_rendered
from manifests.model import Rendering
from manifests.render import Rendered, render, render_slot, render_watcher
from manifests.watcher import LARGEST
from pipelines.check import check
from pipelines.targets.kubernetes.kinds import kind_of
from policies.suppressions import suppressed_today
from release.errors import BadInput
from tests.manifests.making import release, rendering, settings, watched_spec
from tests.manifests.variants import IDENTITY, VARIANTS

IDENTIFIED = settings(identity=IDENTITY, scaling={"prometheus": "http://prometheus.metrics:80"})

PROBES = ("startup", "readiness", "liveness")


def watcher(one: Rendering | None = None, spec: str = "{}") -> tuple[Rendered, ...]:
    """The watcher of ``one``."""
    return render_watcher(one or rendering(release()), spec)


def of(kind: str, rendered: tuple[Rendered, ...]) -> Any:
    """The only object of a kind."""
    (found,) = (one.object for one in rendered if one.kind == kind)
    return found


def pod(rendered: tuple[Rendered, ...]) -> Any:
    """The spec of its pods."""
    return of("Deployment", rendered)["spec"]["template"]["spec"]


def test_there_are_two_of_it_spread_and_one_may_be_taken_away() -> None:
    rendered = watcher()

    assert of("Deployment", rendered)["spec"]["replicas"] == 2
    assert of("PodDisruptionBudget", rendered)["spec"]["maxUnavailable"] == 1
    assert len(pod(rendered)["topologySpreadConstraints"]) == 2


def test_what_others_stand_on_is_applied_first_and_the_pods_last() -> None:
    rendered = watcher()

    assert [one.file for one in rendered] == sorted(one.file for one in rendered)
    assert rendered[-1].kind == "Deployment"


def test_its_account_and_role_are_its_own() -> None:
    """Pods that answer users have neither the rights nor the token."""
    rendered = watcher()
    binding = of("RoleBinding", rendered)

    assert pod(rendered)["serviceAccountName"] == "assist-watcher"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "assist-watcher", "namespace": "assist-production"}
    ]
    assert binding["roleRef"]["name"] == of("Role", rendered)["metadata"]["name"]


@pytest.mark.parametrize("one", [rendering(release()), rendering(release(), given=IDENTIFIED)])
def test_it_has_no_right_that_a_return_does_not_use(one: Rendering) -> None:
    """No wildcard; no Secret is read; no right over rights, accounts, nodes or namespaces."""
    rules = of("Role", watcher(one))["rules"]
    resources = {name for rule in rules for name in rule["resources"]}
    both = {"scaledobjects", "horizontalpodautoscalers"}
    used = "scaledobjects" if one.settings.scaling.prometheus else "horizontalpodautoscalers"

    assert resources == both | {
        "httproutes", "deployments", "services", "configmaps",
        "poddisruptionbudgets", "networkpolicies", "pods", "secrets", "leases",
    }  # fmt: skip
    (other,) = (rule for rule in rules if both - {used} & {*rule["resources"]})
    assert other["verbs"] == ["get", "delete"]  # of a slot that an earlier llm.yaml scaled so
    assert not any("*" in values for rule in rules for values in rule.values())
    (secrets,) = (rule for rule in rules if "secrets" in rule["resources"])
    assert secrets["verbs"] == ["delete"]
    assert secrets["resourceNames"] == ["assist-watcher-keys"]
    replaced = {name for rule in rules for name in rule["resources"] if "update" in rule["verbs"]}
    assert replaced == {"leases"}


@pytest.mark.parametrize("name", [name for name, one in VARIANTS.items() if one.slots])
def test_it_may_make_again_whatever_a_slot_is_made_of(name: str) -> None:
    """A return by hand that was killed is finished by it, whatever has been retired since."""
    one = VARIANTS[name]
    allowed = {
        resource
        for rule in of("Role", watcher(one))["rules"]
        if {"get", "list", "create", "patch", "delete"} <= {*rule["verbs"]}
        for resource in rule["resources"]
    }
    made = {kind_of(each.kind).plural for slot in one.slots for each in render_slot(one, slot.name)}

    assert made <= allowed


def test_it_reaches_names_metrics_the_api_server_and_a_store_and_nobody_reaches_it() -> None:
    policy = of("NetworkPolicy", watcher(rendering(release(), given=IDENTIFIED)))["spec"]
    ports = [[one["port"] for one in rule["ports"]] for rule in policy["egress"]]

    assert "ingress" not in policy
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert ports == [[53, 53], [80, 443, 9090], [443, 6443]]
    assert {"169.254.0.0/16"} == set(policy["egress"][2]["to"][0]["ipBlock"]["except"])


def test_its_key_is_in_a_secret_that_no_rendering_has() -> None:
    """So it comes into no file, and with GitOps into no repository."""
    rendered = watcher()
    volumes = {one["name"]: one for one in pod(rendered)["volumes"]}

    assert volumes["keys"]["secret"]["secretName"] == "assist-watcher-keys"
    assert "Secret" not in {one.kind for one in rendered}


def test_what_it_copies_of_its_key_stays_in_memory() -> None:
    volumes = {one["name"]: one for one in pod(watcher())["volumes"]}

    assert volumes["tmp"]["emptyDir"]["medium"] == "Memory"


def test_it_is_ready_when_it_could_do_its_work_and_started_again_only_where_that_helps() -> None:
    """A node is emptied all the same, and an election asks for nobody's readiness."""
    rendered = watcher()
    (container,) = pod(rendered)["containers"]
    asked = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in PROBES}

    assert asked == {"startup": "/alive", "readiness": "/ready", "liveness": "/alive"}
    budget = of("PodDisruptionBudget", rendered)["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_its_token_ends_after_an_hour_and_is_mounted_by_name() -> None:
    (source,) = (one for one in pod(watcher())["volumes"] if "projected" in one)

    assert pod(watcher())["automountServiceAccountToken"] is False
    assert source["projected"]["sources"][0] == {
        "serviceAccountToken": {"path": "token", "expirationSeconds": 3600}
    }


def test_an_identity_is_the_watchers_too_and_a_store_with_keys_has_a_secret_named() -> None:
    identified = watcher(rendering(release(), given=IDENTIFIED))
    keyed = rendering(release(), given=settings(watcher={"environmentFrom": "store"}))
    labels = of("Deployment", identified)["spec"]["template"]["metadata"]["labels"]

    assert "azure.workload.identity/client-id" in of("ServiceAccount", identified)["metadata"]["annotations"]  # fmt: skip  # noqa: E501
    assert labels["azure.workload.identity/use"] == "true"
    assert "envFrom" not in pod(identified)["containers"][0]
    assert pod(watcher(keyed))["containers"][0]["envFrom"] == [{"secretRef": {"name": "store"}}]


LABEL = "azure.workload.identity/use"


@pytest.mark.parametrize("name", [name for name, one in VARIANTS.items() if one.settings.identity])
def test_no_pod_but_a_watchers_is_given_a_token_of_the_identity(name: str) -> None:
    """It writes the ledger. Who parses callers' texts, and may reach the internet for its weights,
    holds no token; a vault's secrets are read by the node.
    """
    one = VARIANTS[name]
    pods = {
        each.name: each.object["spec"]["template"]["metadata"]["labels"]
        for each in (*render(one), *watcher(one))
        if each.kind == "Deployment"
    }

    assert {name for name, labels in pods.items() if LABEL in labels} == {"assist-watcher"}
    assert len(pods) > 2


def test_it_may_finish_the_drain_that_it_waits_for() -> None:
    one = rendering(release(), drain_seconds=300)

    assert pod(watcher(one))["terminationGracePeriodSeconds"] > 300


def test_another_spec_is_another_map_and_other_pods() -> None:
    one, other = watcher(spec='{"a": 1}'), watcher(spec='{"a": 2}')

    assert of("ConfigMap", one)["immutable"] is True
    assert of("ConfigMap", one)["metadata"]["name"] != of("ConfigMap", other)["metadata"]["name"]
    assert of("Deployment", one)["spec"]["template"] != of("Deployment", other)["spec"]["template"]


@hypothesis_settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_spec_comes_out_as_it_went_in_and_changes_nothing_else(text: str) -> None:
    """Whatever it holds: an end of a string, a document, a template."""
    hostile = watcher(spec=text)

    assert of("ConfigMap", hostile)["data"] == {"llm.yaml": text}
    assert pod(hostile)["containers"] == pod(watcher())["containers"]


def test_a_spec_that_no_config_map_can_hold_is_refused_with_its_size() -> None:
    with pytest.raises(BadInput, match=f"at most {LARGEST} bytes.*found {LARGEST + 2} bytes"):
        watcher(spec="é" * (LARGEST // 2 + 1))
    assert watcher(spec="x" * LARGEST)


def test_a_patch_of_the_watcher_is_laid_over_the_watcher_alone() -> None:
    """The environment's own objects do without it, and it without theirs."""
    patches = [
        {"kind": "Deployment", "name": "assist-watcher", "patch": {"spec": {"replicas": 3}}},
        {"kind": "Service", "name": "assist-blue", "patch": {"metadata": {"labels": {"a": "b"}}}},
    ]
    one = rendering(release(), given=settings(patches=patches))

    assert of("Deployment", watcher(one))["spec"]["replicas"] == 3
    assert render(one)


@pytest.mark.slow
def test_checkov_finds_nothing_that_is_not_answered_for(tmp_path: Any) -> None:
    """By default and with an identity."""
    for number, given_ in enumerate((settings(), IDENTIFIED)):
        one = rendering(release(), given=given_)
        write_rendered(render_watcher(one, watched_spec(one)), tmp_path / str(number))
    left = suppressed_today(check([tmp_path]).findings, whole=False)

    assert left.findings == ()
    assert {entry.rule for _, entry in left.suppressed} == {"CKV_K8S_11"}


def test_nothing_in_it_looks_like_a_key() -> None:
    one = rendering(release())

    for each in render_watcher(one, watched_spec(one)):
        assert not re.search("PRIVATE|password|BEGIN", each.text)
