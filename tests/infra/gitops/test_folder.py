"""``pulumi up`` renders an environment's shell into a working copy, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra.__main__ import _provision_gitops
from infra.gitops import files
from infra.gitops.settings import read_gitops
from manifests.folder import INDEX
from manifests.render import APART, followed, render_shell
from pipelines.engine import executable
from release.errors import BadInput
from tests import tiny
from tests.infra.azure.hosted import hosted
from tests.manifests.making import IMAGE

ROOT = Path(__file__).resolve().parents[3]
GIT = "{repository: 'https://git.example.com/o/r', controller: flux}"
CLUSTER = f"  production: {{kubernetes: {{image: '{IMAGE}', git: {GIT}}}}}\n"
WITHOUT_GIT = f"  production: {{kubernetes: {{image: '{IMAGE}'}}}}\n"


@pytest.fixture
def clustered(app: Path) -> Path:
    """The tiny application, of which production is in a cluster."""
    return with_production(app, CLUSTER)


def with_production(app: Path, section: str) -> Path:
    """``app``, whose production is as ``section`` says."""
    (app / "llm.yaml").write_text(tiny.SPEC.replace("  production: {}\n", section))
    return app


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A working copy in which a rollout has put a slot, and somebody a note."""
    folder = tmp_path / "copy/tiny-bot/production"
    folder.mkdir(parents=True)
    (folder / "04-deployment-tiny-bot-blue.yaml").write_text("of a rollout")
    (folder / "note.txt").write_text("somebody's")
    return tmp_path / "copy"


def asked_of(app: Path, copy: Path) -> dict[str, Any]:
    """What the engine gives the provider."""
    shell = files.shell(app, "production")
    return {"app": str(app), "environment": "production", "digest": files.digest(shell),
            "folder": str(copy / shell.folder)}  # fmt: skip


def names(copy: Path) -> set[str]:
    """What is in the environment's folder."""
    return {file.name for file in (copy / "tiny-bot/production").iterdir()}


def test_no_up_takes_out_a_namespace_that_an_earlier_build_put_there(
    clustered: Path, copy: Path
) -> None:
    """It would be committed by whoever owns the copy, and pruned."""
    asked = asked_of(clustered, copy)
    folder, file = Path(asked["folder"]), "00-namespace-tiny-bot-production.yaml"
    (folder / INDEX).write_text(f"{file}\n")
    (folder / file).write_text("kind: Namespace\n")

    with pytest.raises(BadInput, match=file):
        files.write(asked)
    assert names(copy) == {INDEX, file} | OTHERS


OTHERS = {"04-deployment-tiny-bot-blue.yaml", "note.txt"}


def test_the_shell_is_what_render_gives_without_a_slot(clustered: Path, copy: Path) -> None:
    """From the same code; the list for the controller names what a rollout put there too."""
    files.write(asked_of(clustered, copy))
    shell = followed(render_shell(files.shell(clustered, "production")))

    assert names(copy) == {one.file for one in shell} | OTHERS | {"kustomization.yaml", INDEX}
    index = yaml.safe_load((copy / "tiny-bot/production/kustomization.yaml").read_text())
    slot = "04-deployment-tiny-bot-blue.yaml"
    assert index["resources"] == sorted([*(one.file for one in shell), slot])
    assert not {"Deployment", "HTTPRoute"} & {one.kind for one in shell}


@pytest.mark.parametrize("section", [CLUSTER, WITHOUT_GIT], ids=["git", "no git"])
def test_what_is_the_clusters_own_is_never_written_and_all_can_be_taken_back(
    app: Path, tmp_path: Path, section: str
) -> None:
    """A controller follows the folder, also where ``llm.yaml`` does not say so: it would own the
    namespace, and take it away one day.
    """
    known = files.write(asked_of(with_production(app, section), tmp_path))
    folder = Path(known["folder"])
    kinds = {file: yaml.safe_load(file.read_text())["kind"] for file in folder.glob("*-*.yaml")}
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]

    assert "NetworkPolicy" in kinds.values()
    assert not {*APART} & {*kinds.values()}
    assert listed == sorted(file.name for file in kinds)

    files.remove(known)
    assert not folder.exists()


def test_what_is_as_it_was_written_is_no_change(clustered: Path, copy: Path) -> None:
    asked = asked_of(clustered, copy)
    known = files.now(files.write(asked))

    assert known is not None
    assert files.differences(known, asked) == (False, [])


def edited(folder: Path, _app: Path) -> None:
    """By hand."""
    (folder / "01-serviceaccount-tiny-bot.yaml").write_text("otherwise")


def emptied(folder: Path, _app: Path) -> None:
    """By hand, too."""
    (folder / "01-serviceaccount-tiny-bot.yaml").unlink()


def broken(_folder: Path, app: Path) -> None:
    """The application."""
    (app / "llm.yaml").write_text("not: one")


@pytest.mark.parametrize("change", [edited, emptied, broken])
def test_what_is_not_as_it_was_written_is_a_change(
    clustered: Path, copy: Path, change: Callable[[Path, Path], None]
) -> None:
    asked = asked_of(clustered, copy)
    files.write(asked)
    change(Path(asked["folder"]), clustered)
    known = files.now({**asked, "written": True})

    assert known is not None
    assert files.differences(known, asked) == (True, [])


def test_another_folder_is_another_resource_and_a_lost_one_is_gone(
    clustered: Path, copy: Path, tmp_path: Path
) -> None:
    asked = asked_of(clustered, copy)
    known = files.write(asked)

    assert files.differences(known, {**asked, "folder": "/other"}) == (True, ["folder"])
    assert files.now({**known, "folder": str(tmp_path / "lost")}) is None


def test_what_was_written_is_taken_back_and_nothing_else(clustered: Path, copy: Path) -> None:
    """The list goes on naming what a rollout put there."""
    known = files.write(asked_of(clustered, copy))
    files.remove(known)

    assert names(copy) == OTHERS | {"kustomization.yaml"}
    index = yaml.safe_load((copy / "tiny-bot/production/kustomization.yaml").read_text())
    assert index["resources"] == ["04-deployment-tiny-bot-blue.yaml"]


def test_a_folder_with_nothing_else_in_it_goes_too(clustered: Path, tmp_path: Path) -> None:
    known = files.write(asked_of(clustered, tmp_path))
    files.remove(known)

    assert not Path(known["folder"]).exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"app": "nowhere"}, r"greenlight:gitops\.app: expected a folder"),
        ({"folder": "nowhere"}, r"greenlight:gitops\.folder: expected a folder"),
        ({"environments": ["staging"]}, "expected one of production, found 'staging'"),
        ({"enviroments": []}, "Did you mean 'environments'"),
        ({"app": 3}, "expected text"),
    ],
)
def test_settings_that_are_wrong_are_named(
    clustered: Path, copy: Path, change: dict[str, Any], words: str
) -> None:
    given = {"app": str(clustered), "folder": str(copy), **change}

    with pytest.raises(BadInput, match=words):
        read_gitops(given, ROOT)


@dataclass(frozen=True)
class Stack:
    """A stack with these settings alone, on a backend of its own."""

    folder: Path
    client: str

    def pulumi(self, *words: str) -> str:
        """Run the engine; it has to succeed."""
        here = [str(Path(executable()).parent), str(Path(sys.executable).parent)]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_")}
        environment = kept | {
            "PATH": os.pathsep.join([*here, os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": self.folder.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "x",
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_STACK": "gitops",
        }
        done = subprocess.run(
            [executable(), *words, "--non-interactive"], cwd=ROOT, env=environment, text=True,
            capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self, verb: str, *words: str) -> str:
        """A verb that takes the settings."""
        return self.pulumi(verb, *words, "--config-file", str(self.folder / "Pulumi.gitops.yaml"))


@pytest.mark.slow
@pytest.mark.usefixtures("engine")
def test_the_real_engine_previews_writes_and_takes_back(
    clustered: Path, copy: Path, tmp_path: Path
) -> None:
    """A preview writes nothing; a second up changes nothing; an edit is put back."""

    def program() -> None:
        _provision_gitops(pulumi.Config("greenlight").require_object("gitops"))

    given = {"app": str(clustered), "folder": str(copy)}
    settings = {"config": {"greenlight:gitops": given}}
    project = tmp_path / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: greenlight\nruntime: python\n")
    with hosted(program) as client:
        stack = Stack(tmp_path / "backend", client)
        stack.folder.mkdir()
        (stack.folder / "Pulumi.gitops.yaml").write_text(yaml.safe_dump(settings))
        stack.pulumi("stack", "init", "gitops", "-C", str(project))

        assert "Folder" in stack.run("preview", client)
        assert names(copy) == OTHERS

        stack.run("up", client, "--yes", "--skip-preview")
        account = copy / "tiny-bot/production/01-serviceaccount-tiny-bot.yaml"
        written = account.read_text()
        assert "unchanged" in stack.run("up", client, "--yes", "--skip-preview")

        account.write_text("otherwise")
        assert "1 updated" in stack.run("up", client, "--yes", "--skip-preview")
        assert account.read_text() == written

        stack.run("destroy", "--yes", "--skip-preview")
        assert names(copy) == OTHERS | {"kustomization.yaml"}
