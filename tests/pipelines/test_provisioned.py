"""What runs goes on under the names that it has, whatever llm.yaml says by now."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from manifests.render import merge, render
from pipelines.destroy import destroy
from pipelines.provisioned import read_provisioned, refuse_orphans, write_provisioned
from pipelines.reporting import Silent
from pipelines.status import status
from pipelines.workspace import open_running, open_workspace
from release.errors import BadInput
from release.spec import load_spec
from release.state import StateFolder
from tests.manifests.making import HF, IMAGE, OCI, release, rendering
from tests.tiny import edit

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def provisioned(app: Path) -> Path:
    """An application of which Greenlight has a record that it runs."""
    workspace = open_workspace(app)
    write_provisioned(workspace.state, "f" * 64, workspace.spec)
    return app


def record_of(app: Path) -> Path:
    """The file of the record."""
    return StateFolder(app).work / "provisioned.json"


def test_the_record_keeps_the_order_of_the_environments(app: Path) -> None:
    """A release passes them in that order; sorted, production would come before staging."""
    edit(app / "llm.yaml", "staging: {}", "zoo: {}\n  staging: {}")
    spec = open_workspace(app).spec

    write_provisioned(StateFolder(app), "f" * 64, spec)

    found = read_provisioned(StateFolder(app))
    assert found is not None
    assert found.spec == spec
    assert list(found.spec.environments) == ["zoo", "staging", "production"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fingerprint": "f", "spec": "{}"}'])
def test_with_a_record_that_was_cut_nobody_knows_what_runs(provisioned: Path, text: str) -> None:
    """So nothing is shipped over it, and nothing destroyed beside it: unknown is not nothing."""
    record_of(provisioned).write_text(text)
    running = open_running(provisioned)

    with pytest.raises(BadInput, match=r"provisioned\.json: .*found one that cannot be read"):
        open_workspace(provisioned)
    with pytest.raises(BadInput, match="cannot be read"):
        destroy(running, Silent())
    assert (running.fault, running.environments) == (None, ("staging", "production"))


def test_where_neither_file_can_be_read_both_are_told(provisioned: Path) -> None:
    record_of(provisioned).write_text("{")
    edit(provisioned / "llm.yaml", "license:", "licence:")

    with pytest.raises(BadInput, match=r"(?s)licence.*provisioned\.json"):
        open_running(provisioned)


SECTION = {"image": IMAGE, "namespace": "shop", "gateway": {"addresses": ["10.0.0.0/8"]}}
ON_A_CLUSTER = {
    "model": {"source": OCI},
    "engine": {"name": "vllm", "version": "0.19.1", "adapter": {"source": OCI}},
    "ledger": "az://ledgers/assist",
    "environments": {
        "staging": {"target": "kubernetes", "kubernetes": SECTION},
        "production": {"target": "kubernetes", "kubernetes": {"image": IMAGE}},
    },
}
"""Laid over the tests' ``llm.yaml``: all that an earlier version was less strict about."""


def nested(path: str, value: Any) -> Any:
    """A document with ``value`` at ``path`` and nothing else."""
    return reduce(lambda inside, key: {key: inside}, reversed(path.split(".")), value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("environments.staging.kubernetes.namespace", "default"),
        ("environments.staging.kubernetes.namespace", "kube-public"),
        ("environments.staging.kubernetes.namespace", "rag-system"),
        ("environments.staging.kubernetes.application.cpu", "0"),
        ("environments.staging.kubernetes.application.memory", "0"),
        ("environments.staging.kubernetes.application.memory", "512m"),
        ("environments.staging.kubernetes.max_unavailable", 0.0),
        ("environments.staging.kubernetes.gateway.addresses", ["fe80::%eth0/128"]),
        ("environments.staging.kubernetes.gateway.addresses", ["fe80::%x\n y: &a/64"]),
        ("engine.version", "0.17.1"),
        ("engine.adapter.source", HF),
    ],
)
def test_what_is_refused_since_it_runs_is_refused_in_llm_yaml_alone(
    app: Path, path: str, value: Any
) -> None:
    """What an earlier version took, and brought up, is found again: to bring it back, to look at it
    and to remove it. Anew it is not shipped.
    """
    changes = (app / "cluster.yaml", app / "earlier.yaml")
    for file, laid in zip(changes, (ON_A_CLUSTER, nested(path, value)), strict=True):
        file.write_text(json.dumps(laid))
    write_provisioned(StateFolder(app), "f" * 64, load_spec(app, changes[:1]))
    record = json.loads(record_of(app).read_text())
    spec = merge(json.loads(record["spec"]), nested(path, value))
    record_of(app).write_text(json.dumps({**record, "spec": json.dumps(spec)}))

    found = open_running(app, changes)

    with pytest.raises(BadInput, match=path):
        open_workspace(app, changes)
    assert found.fault is not None
    assert found.spec.model_dump(mode="json", by_alias=True) == spec
    there = found.spec.environments["staging"].kubernetes
    assert {"Deployment", "HTTPRoute"} < {
        one.kind for one in render(rendering(release(), given=there))
    }


def test_the_names_of_what_runs_come_to_the_clusters_own_namespace(app: Path) -> None:
    """As an earlier version took them."""
    here = "image: x.io/a@sha256:" + "0" * 64
    edit(app / "llm.yaml", "staging: {}", f"systems: {{kubernetes: {{{here}}}}}")
    write_provisioned(StateFolder(app), "f" * 64, load_spec(app))
    for file in (record_of(app), app / "llm.yaml"):
        edit(file, "systems", "system")

    found = open_running(app)

    with pytest.raises(BadInput, match="the cluster's own here"):
        open_workspace(app)
    assert found.environments == ("system", "production")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("name: tiny-bot", "name: other-bot", 2, "name: expected tiny-bot, which runs"),
        ("  staging: {}\n", "", 25, "environments: expected staging, which runs, found production"),
    ],
)
def test_a_name_that_runs_is_not_taken_away(
    provisioned: Path, old: str, new: str, line: int, says: str
) -> None:
    """It would serve on with nobody to know of it: exit 2 with file, line and what to do."""
    edit(provisioned / "llm.yaml", old, new)

    with pytest.raises(BadInput, match="greenlight destroy") as caught:
        open_workspace(provisioned)

    assert f"llm.yaml:{line}: {says}" in str(caught.value)


def test_what_runs_on_one_target_is_not_looked_for_on_another(provisioned: Path) -> None:
    """As without the ``--target`` that it was shipped with."""
    cluster = "{target: kubernetes, kubernetes: {image: x.io/a@sha256:" + "0" * 64 + "}}"
    edit(provisioned / "llm.yaml", "staging: {}", f"staging: {cluster}")

    with pytest.raises(BadInput, match=r"staging\.target: expected local .*found kubernetes"):
        refuse_orphans(load_spec(provisioned), provisioned, ())


def test_an_environment_may_be_added(provisioned: Path) -> None:
    edit(provisioned / "llm.yaml", "staging: {}", "zoo: {}\n  staging: {}")

    assert open_workspace(provisioned).environments == ("zoo", "staging", "production")


@pytest.mark.parametrize(
    ("old", "new"),
    [("license:", "licence:"), ("name: tiny-bot", "name: other"), ("  staging: {}\n", "")],
    ids=["a typing error", "another name", "an environment less"],
)
def test_what_runs_is_reached_whatever_is_wrong_with_the_file(
    provisioned: Path, old: str, new: str
) -> None:
    """A return at three in the morning does not wait for somebody who mends a file."""
    edit(provisioned / "llm.yaml", old, new)

    workspace = open_running(provisioned)

    assert workspace.fault is not None
    assert (workspace.application, workspace.environments) == (
        "tiny-bot",
        ("staging", "production"),
    )
    with pytest.raises(BadInput):
        workspace.built  # noqa: B018 - there is no candidate


def test_what_was_never_provisioned_is_bad_input_as_ever(app: Path) -> None:
    edit(app / "llm.yaml", "license:", "licence:")

    with pytest.raises(BadInput, match="licence"):
        open_running(app)


def test_status_says_why_there_is_no_candidate(provisioned: Path) -> None:
    """What is live is shown all the same."""
    (provisioned / "model.gguf").unlink()

    found = status(open_running(provisioned))

    assert found["candidate"] is None
    assert "model.gguf" in found["problem"]
    assert list(found["environments"]) == ["staging", "production"]


def test_a_file_instead_of_the_folder_is_bad_input(provisioned: Path) -> None:
    """Of the verbs that reach what runs, as of all others."""
    with pytest.raises(BadInput, match="expected the folder of an application"):
        open_running(provisioned / "llm.yaml")
