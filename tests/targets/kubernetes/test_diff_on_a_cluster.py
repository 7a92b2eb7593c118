"""``diff`` asks a real API server, writes nothing, and agrees with kubectl's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.__main__ import main
from docs.rights import rules
from pipelines.gitops.controllers import FIELD_MANAGERS
from release.errors import DONE, REFUSED
from tests import tiny
from tests.cluster.client import Cluster
from tests.manifests.making import IMAGE
from tests.targets.kubernetes import faulty


@pytest.fixture
def there(
    cluster: Cluster, app: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The tiny application, with a namespace of this test's own."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with cluster.namespace() as name:
        section = f"  production: {{kubernetes: {{image: '{IMAGE}', namespace: {name}}}}}\n"
        spec = tiny.SPEC.replace("  production: {}\n", section)
        (app / "llm.yaml").write_text(spec)
        yield app


def rendered(app: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Everything of production, for kubectl."""
    capsys.readouterr()
    assert main(["render", str(app), "--env", "production"]) == DONE
    return capsys.readouterr().out


def asked(app: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    """What ``diff --json`` answers."""
    capsys.readouterr()
    code = main(["diff", str(app), "--env", "production", "--json", *more])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == code, document
    assert "changes" in document, document
    return document


def apply(cluster: Cluster, text: str, manager: str = "greenlight") -> None:
    """As the target does."""
    how = ("--server-side", "--validate=strict", f"--field-manager={manager}", "--filename=-")
    cluster.must("apply", *how, given=text)


def test_before_anything_is_there_everything_is_added_and_nothing_is_written(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the namespace, which is this test's: as it is there already, it is left as it is."""
    found = asked(there, capsys)
    what = {(one["kind"], one["what"]) for one in found["changes"]}

    assert ("Deployment", "added") in what
    assert "Namespace" not in {kind for kind, _ in what}
    assert not any(one["kind"] == "Deployment" and one["what"] != "added"
                   for one in found["changes"])  # fmt: skip
    spec = yaml.safe_load((there / "llm.yaml").read_text())
    namespace = spec["environments"]["production"]["kubernetes"]["namespace"]
    assert cluster.read("deployments,configmaps", f"--namespace={namespace}",
                        "--selector=app.kubernetes.io/name=tiny-bot")["items"] == []  # fmt: skip


def test_rights_within_the_namespace_are_enough(
    there: Path, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Who may look at no namespace and no PriorityClass would make none either."""
    spec = yaml.safe_load((there / "llm.yaml").read_text())
    namespace = spec["environments"]["production"]["kubernetes"]["namespace"]
    within = rules("greenlight-environment")
    with faulty.someone(cluster, namespace, tmp_path, [], within) as path:
        monkeypatch.setenv("KUBECONFIG", str(path))
        found = asked(there, capsys)

    assert found["exit_code"] == DONE
    assert {one["what"] for one in found["changes"]} == {"added"}
    assert {one["kind"] for one in found["changes"]}.isdisjoint({"Namespace", "PriorityClass"})


def test_what_was_applied_is_no_difference_and_one_change_is_one(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server's defaults and its controllers' writing make no noise."""
    apply(cluster, rendered(there, capsys))
    assert asked(there, capsys)["changes"] == []

    more = there / "more.yaml"
    asks = "{cpu: 250m, memory: 1Gi}"
    more.write_text(f"environments: {{production: {{kubernetes: {{application: {asks}}}}}}}\n")
    found = asked(there, capsys, "--with", str(more))["changes"]

    (one,) = found
    assert (one["kind"], one["name"]) == ("Deployment", "tiny-bot-blue")
    paths = {field["path"].rpartition("resources.")[2] for field in one["fields"]}
    assert paths == {"requests.memory", "limits.memory"}
    assert {(field["from"], field["to"]) for field in one["fields"]} == {("512Mi", "1Gi")}


def test_another_prompt_comes_to_the_slot_that_is_free(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the model server that is there, and without a change to it or to the live slot."""
    apply(cluster, rendered(there, capsys))
    more = there / "more.yaml"
    more.write_text("parameters: {max_tokens: 7}\n")
    found = asked(there, capsys, "--with", str(more))

    assert found["slot"] == "green"
    names = {(one["kind"], one["name"]): one["what"] for one in found["changes"]}
    assert names["Deployment", "tiny-bot-green"] == "added"
    assert names["HTTPRoute", "tiny-bot"] == "changed"  # it learns of the slot
    assert not any(name.startswith(("model-", "tiny-bot-blue")) for _, name in names)


def test_only_what_a_deploy_takes_away_is_told_to_go(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """A prompt that no slot mounts any more; whose keys the pods know is in no file, and stays."""
    apply(cluster, rendered(there, capsys))
    spec = yaml.safe_load((there / "llm.yaml").read_text())
    namespace = spec["environments"]["production"]["kubernetes"]["namespace"]
    labels = {"app.kubernetes.io/name": "tiny-bot", "app.kubernetes.io/managed-by": "greenlight"}
    for name in ("tiny-bot-callers", "prompt-0123456789ab"):
        meta = {"name": name, "namespace": namespace, "labels": labels}
        apply(cluster, json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}))

    (one,) = asked(there, capsys)["changes"]

    assert (one["kind"], one["name"], one["what"]) == (
        "ConfigMap", "prompt-0123456789ab", "removed",
    )  # fmt: skip


def test_an_autoscaler_of_the_other_kind_is_told_to_go(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a deploy takes it away before it makes its own."""
    apply(cluster, rendered(there, capsys))
    more = there / "more.yaml"
    scaling = "{scaling: {prometheus: 'http://p:9090'}}"
    more.write_text(f"environments: {{production: {{kubernetes: {scaling}}}}}\n")

    found = asked(there, capsys, "--with", str(more))["changes"]

    scalers = {(one["kind"], one["what"]) for one in found if one["name"] == "tiny-bot-blue"}
    assert scalers == {("HorizontalPodAutoscaler", "removed"), ("ScaledObject", "added")}


def test_an_autoscaler_of_somebody_elses_is_not_told_to_go(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though it has the slot's name: a deploy leaves it."""
    apply(cluster, rendered(there, capsys))
    spec = yaml.safe_load((there / "llm.yaml").read_text())
    namespace = spec["environments"]["production"]["kubernetes"]["namespace"]
    theirs = {"scaleTargetRef": {"name": "theirs"}, "triggers": [{"type": "cpu", "metadata": {}}]}
    meta = {"name": "tiny-bot-blue", "namespace": namespace}
    one = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": meta}
    apply(cluster, json.dumps({**one, "spec": theirs}))

    assert asked(there, capsys)["changes"] == []


def test_a_field_of_somebody_elses_is_told_before_it_is_met(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are compared all the same."""
    text = rendered(there, capsys)
    apply(cluster, text)
    (deployment,) = (one for one in text.split("---\n") if "serving.pod" in one)
    forced = deployment.replace("512Mi", "700Mi")
    how = ("--server-side", "--force-conflicts", "--field-manager=somebody", "--filename=-")
    cluster.must("apply", *how, given=forced)
    found = asked(there, capsys)

    assert found["exit_code"] == REFUSED
    (one,) = (one for one in found["changes"] if one["what"] == "refused")
    assert one["name"] == "tiny-bot-blue"
    assert "somebody" in one["why"]


def test_a_pull_request_and_a_terminal_are_told_the_same(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, sign in (("--markdown", "<details>"), ("", "+ Deployment/tiny-bot-blue")):
        words = ["diff", str(there), "--env", "production", *filter(None, [option])]
        assert main(words) == DONE
        out = capsys.readouterr().out
        assert sign in out
        assert "tiny-bot@" in out
        assert "\x1b" not in out


@pytest.mark.parametrize("controller", FIELD_MANAGERS)
def test_by_git_it_is_what_the_controller_would_do(
    there: Path, cluster: Cluster, capsys: pytest.CaptureFixture[str], controller: str
) -> None:
    """Whose the fields are: no conflict, and what Git says no longer goes."""
    git = f"priority: none, git: {{repository: /srv/r.git, controller: {controller}}}"
    file = there / "llm.yaml"
    file.write_text(file.read_text().replace("{kubernetes: {", f"{{kubernetes: {{{git}, "))
    patch = "{kind: Service, name: tiny-bot-blue, patch: {metadata: {annotations: {team: bots}}}}"
    before = there / "before.yaml"
    before.write_text(f"environments: {{production: {{kubernetes: {{patches: [{patch}]}}}}}}\n")
    capsys.readouterr()
    assert main(["render", str(there), "--env", "production", "--with", str(before)]) == DONE
    apply(cluster, capsys.readouterr().out, FIELD_MANAGERS[controller])
    more = there / "more.yaml"
    asks = "{cpu: 250m, memory: 1Gi}"
    more.write_text(f"environments: {{production: {{kubernetes: {{application: {asks}}}}}}}\n")

    found = asked(there, capsys, "--with", str(more))

    assert found["exit_code"] == DONE
    changed = {one["kind"]: one["fields"] for one in found["changes"]}
    assert set(changed) == {"Deployment", "Service"}
    assert [field["path"] for field in changed["Service"]] == ["metadata.annotations"]
