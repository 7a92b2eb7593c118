"""What runs goes on under the names that it has, whatever llm.yaml says by now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.destroy import destroy
from pipelines.provisioned import read_provisioned, refuse_orphans, write_provisioned
from pipelines.reporting import Silent
from pipelines.status import status
from pipelines.workspace import open_running, open_workspace
from release.errors import BadInput
from release.spec import load_spec
from release.state import StateFolder
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


SPACE, CORES, MEMORY = '"namespace":"shop"', '"cpu":"250m"', '"memory":"512Mi"'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (SPACE, '"namespace":"default"'),
        (SPACE, '"namespace":"rag-system"'),
        (CORES, '"cpu":"0"'),
        (MEMORY, '"memory":"0"'),
        (MEMORY, '"memory":"512m"'),
        ('"max_unavailable":0.25', '"max_unavailable":0.0'),
    ],
)
def test_what_is_refused_since_it_runs_is_refused_in_llm_yaml_alone(
    app: Path, old: str, new: str
) -> None:
    """What an earlier version took, and brought up, is found again: to bring it back, to look at it
    and to remove it. Anew it is not shipped.
    """
    here = "image: x.io/a@sha256:" + "0" * 64 + ", namespace: shop"
    edit(app / "llm.yaml", "staging: {}", f"staging: {{kubernetes: {{{here}}}}}")
    write_provisioned(StateFolder(app), "f" * 64, load_spec(app))
    edit(record_of(app), *(json.dumps(one)[1:-1] for one in (old, new)))
    key, value = (json.loads(f"{{{new}}}")).popitem()
    inside = {
        "cpu": "application: {memory: 1Gi, cpu: %s}",
        "memory": "application: {cpu: 1, memory: %s}",
    }
    given = inside.get(key, f"{key}: %s") % json.dumps(value)
    edit(app / "llm.yaml", "namespace: shop", given)

    found = open_running(app)

    with pytest.raises(BadInput, match=key):
        open_workspace(app)
    (environment,) = (one for one in [found.spec.environments["staging"].kubernetes] if one)
    assert new in environment.model_dump_json()


def test_the_names_of_what_runs_come_to_the_clusters_own_namespace(app: Path) -> None:
    """As an earlier version took them."""
    here = "image: x.io/a@sha256:" + "0" * 64
    edit(app / "llm.yaml", "staging: {}", f"systems: {{kubernetes: {{{here}}}}}")
    write_provisioned(StateFolder(app), "f" * 64, load_spec(app))
    record = record_of(app)
    record.write_text(record.read_text().replace("systems", "system"))

    found = read_provisioned(StateFolder(app))

    assert found is not None
    assert "system" in found.spec.environments


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
