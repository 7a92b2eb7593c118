"""``render``: an environment's objects as files, beside whatever else lies there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cli.__main__ import main
from manifests.folder import INDEX, take_back, write_rendered
from manifests.render import APART, Rendered
from pipelines.rendering import render_environment
from pipelines.workspace import open_workspace
from release.errors import BAD_INPUT, DONE, BadInput
from tests import tiny
from tests.manifests.making import IMAGE

CLUSTER = f"environments:\n  production: {{kubernetes: {{image: '{IMAGE}'}}}}\n"


GOOD = "{kind: HTTPRoute, name: '*', patch: {metadata: {labels: {team: a}}}}"


@pytest.fixture
def clustered(app: Path, own_cache: Path) -> Path:
    """The tiny application, which knows where in a cluster production is."""
    spec = tiny.SPEC.replace("  production: {}\n", CLUSTER.partition("\n")[2])
    (app / "llm.yaml").write_text(spec)
    return app


def test_an_environment_is_written_one_file_an_object(clustered: Path, tmp_path: Path) -> None:
    """The candidate alone, in blue, with all traffic."""
    out = tmp_path / "out"

    assert main(["render", str(clustered), "--env", "production", "--out", str(out)]) == DONE
    kinds = {yaml.safe_load(file.read_text())["kind"] for file in out.glob("*.yaml")}
    assert {"Deployment", "HTTPRoute", "NetworkPolicy"} <= kinds
    (route,) = out.glob("*httproute*.yaml")
    (backend,) = yaml.safe_load(route.read_text())["spec"]["rules"][-1]["backendRefs"]
    assert (backend["name"], backend["weight"]) == ("tiny-bot-blue", 100)


@pytest.mark.parametrize(
    ("key", "mistake"),
    [
        ("patches[0]", "patches: [{kind: Deployment, name: nobody, patch: {}}]"),
        ("patches[1]", f"patches: [{GOOD}, {{kind: Job, name: '*', patch: {{}}}}]"),
    ],
)
def test_what_cannot_be_rendered_is_told_with_its_line(
    clustered: Path, key: str, mistake: str
) -> None:
    """As what cannot be read is."""
    file = clustered / "llm.yaml"
    text = file.read_text().replace("{kubernetes: {", f"{{kubernetes: {{\n      {mistake},\n      ")
    file.write_text(text)

    opened = open_workspace(clustered)
    with pytest.raises(BadInput) as caught:
        render_environment(opened, "production")
    (problem,) = caught.value.problems
    assert (problem.file, problem.path) == (str(file), f"environments.production.kubernetes.{key}")
    assert problem.line == 1 + text.splitlines().index(f"      {mistake},")
    assert problem.remedy


def test_by_git_what_is_applied_once_is_set_apart(clustered: Path, tmp_path: Path) -> None:
    """The controller follows the folder: what makes it do so is not in there."""
    file, out = clustered / "llm.yaml", tmp_path / "out"
    git = "git: {repository: /srv/r.git, controller: flux}"
    file.write_text(file.read_text().replace("{kubernetes: {", f"{{kubernetes: {{{git}, "))

    assert main(["render", str(clustered), "--env", "production", "--out", str(out)]) == DONE
    apart = {yaml.safe_load(one.read_text())["kind"] for one in out.glob("controller/*.yaml")}
    there = {yaml.safe_load(one.read_text())["kind"] for one in out.glob("*.yaml")}
    assert apart == {"GitRepository", "Kustomization"}
    assert not apart & there


def test_the_pod_of_the_prompt_is_told_what_it_has_no_file_to_read_from(
    clustered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model's control tokens, and how the application refuses."""
    assert main(["render", str(clustered), "--env", "production"]) == DONE
    streamed = yaml.safe_load_all(capsys.readouterr().out)
    (bundle,) = (
        json.loads(one["data"]["bundle.json"])
        for one in streamed
        if "bundle.json" in one.get("data", ())
    )

    assert bundle["markers"] == []  # its one control token is a single letter
    assert bundle["refusal"] == ["i don't know"]


def test_without_a_folder_it_is_one_stream_for_kubectl(
    clustered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with --json one document."""
    assert main(["render", str(clustered), "--env", "production"]) == DONE
    streamed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert main(["render", str(clustered), "--env", "production", "--json"]) == DONE

    assert json.loads(capsys.readouterr().out)["objects"] == streamed


def test_an_environment_without_a_cluster_is_refused_where_it_is_written(
    clustered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the keys that it needs."""
    assert main(["render", str(clustered), "--env", "staging"]) == BAD_INPUT
    said = capsys.readouterr().err
    assert "llm.yaml:" in said
    assert "kubernetes, with image" in said


def test_shipping_to_a_cluster_is_refused_with_what_can_be_done(
    clustered: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is built."""
    file = clustered / "llm.yaml"
    file.write_text(file.read_text().replace("{kubernetes:", "{target: kubernetes, kubernetes:"))

    assert main(["status", str(clustered)]) == BAD_INPUT
    said = capsys.readouterr().err
    assert "environments.production.target" in said


ONE = Rendered("Service", "a", "kind: Service\n")
OTHER = Rendered("Service", "b", "kind: Service\n")


def test_what_is_no_more_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    """A file of somebody else's stays as it is."""
    (tmp_path / "README.md").write_text("ours")
    write_rendered([ONE, OTHER], tmp_path)
    write_rendered([OTHER], tmp_path)

    assert {file.name for file in tmp_path.iterdir()} == {"README.md", INDEX, OTHER.file}


def test_a_file_that_no_rendering_wrote_is_not_overwritten(tmp_path: Path) -> None:
    """Nothing is written then."""
    (tmp_path / ONE.file).write_text("somebody's")

    with pytest.raises(BadInput, match=ONE.file):
        write_rendered([ONE, OTHER], tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [ONE.file]


@pytest.mark.parametrize("kind", APART)
def test_what_a_controller_would_delete_is_not_taken_out_of_a_folder(
    tmp_path: Path, kind: str
) -> None:
    """Without its file a controller that prunes deletes a namespace with all that is in it; once
    somebody has taken the file out on purpose, it goes on.
    """
    theirs = Rendered(kind, "a", f"kind: {kind}\n")
    write_rendered([ONE, theirs], tmp_path)
    before = {file.name: file.read_text() for file in tmp_path.iterdir()}

    with pytest.raises(BadInput, match=rf"{theirs.file}(?s:.*)Prune=false.*prune: disabled"):
        write_rendered([ONE, OTHER], tmp_path)
    with pytest.raises(BadInput, match=theirs.file):
        take_back(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before

    (tmp_path / theirs.file).unlink()
    write_rendered([ONE, OTHER], tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {INDEX, ONE.file, OTHER.file}


OURS = "00-namespace-tiny-bot-production.yaml"
CLASS = "00-priorityclass-greenlight-serving.yaml"


@pytest.mark.parametrize(
    ("settings", "gone"),
    [
        ("namespace: shop", [OURS]),
        ("priority: none", [CLASS]),
        ("namespace: shop, priority: none", [OURS, CLASS]),
        ("git: {repository: /srv/r.git, controller: flux}", [OURS, CLASS]),
    ],
)
def test_who_renders_for_no_controller_is_told_which_files_to_delete(
    clustered: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: str,
    gone: list[str],
) -> None:
    """Nobody can tell from the folder whether one follows it, so no such file goes by itself. All
    are named at once, and without them it goes on.
    """
    out, file = tmp_path / "out", clustered / "llm.yaml"
    words = ["render", str(clustered), "--env", "production", "--out", str(out)]
    assert main(words) == DONE
    before = {one.name: one.read_text() for one in out.iterdir()}
    file.write_text(file.read_text().replace("{kubernetes: {", f"{{kubernetes: {{{settings}, "))
    capsys.readouterr()

    assert main(words) == BAD_INPUT
    said = capsys.readouterr().err
    assert f"{out}: " in said
    assert (
        f"no more use for {' and '.join(gone)}. Where no controller follows this folder, " in said
    )
    assert "earlier build" not in said
    assert {one.name: one.read_text() for one in out.iterdir()} == before

    for name in gone:
        (out / name).unlink()
    assert main(words) == DONE


def test_a_file_that_did_not_change_keeps_its_time(tmp_path: Path) -> None:
    """So that what watches files sees what changed."""
    write_rendered([ONE], tmp_path)
    before = (tmp_path / ONE.file).stat().st_mtime_ns
    write_rendered([ONE, OTHER], tmp_path)

    assert (tmp_path / ONE.file).stat().st_mtime_ns == before


def test_a_rendering_that_was_cut_is_finished_by_the_next(tmp_path: Path) -> None:
    """What it had written is known as its own."""
    (tmp_path / INDEX).write_text(f"{ONE.file}\n{OTHER.file}\n")
    (tmp_path / ONE.file).write_text("a part of")
    write_rendered([ONE], tmp_path)

    assert (tmp_path / ONE.file).read_text() == ONE.text
