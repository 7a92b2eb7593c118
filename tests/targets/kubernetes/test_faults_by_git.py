"""What goes wrong where an environment is acted on by Git: its outcome, and what is said."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.gitops.git_cli import GitError
from pipelines.gitops.repository import ChangedMeanwhile, PushRefused
from pipelines.targets.base import DeployFailedError
from pipelines.targets.kubernetes.slots import Patience
from pipelines.targets.kubernetes.target import KubernetesTarget
from release.errors import FAILED, WAITING, GreenlightError, Waiting
from release.git_section import Git
from tests.cluster.building import provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.fixtures import found
from tests.cluster.gitops import StandIn, following
from tests.targets.kubernetes.bed import KubernetesBed, opened

REFUSE = "#!/bin/sh\necho 'main is protected'\nexit 1\n"


@dataclass
class ByGit:
    """An environment, its repository, and who follows that."""

    bed: KubernetesBed
    bare: Path
    stand_in: StandIn

    def target(self, **git: Any) -> KubernetesTarget:
        """As another process opens it."""
        ground = self.bed.target.ground
        assert ground.settings.git
        own = ground.settings.git.model_copy(update=git)
        settings = ground.settings.model_copy(update={"git": own})
        return replace(self.bed.target, ground=replace(ground, settings=settings))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """The server takes no push."""
        hook = self.bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(REFUSE)
        hook.chmod(0o755)
        try:
            yield
        finally:
            hook.unlink()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody finds the repository."""
        head = self.bare / "HEAD"
        head.rename(self.bare / "HEAD.away")
        try:
            yield
        finally:
            (self.bare / "HEAD.away").rename(head)

    def committed(self, tmp: Path) -> None:
        """By somebody else, in the environment's folder."""
        run = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        subprocess.run([*run, "clone", "-q", str(self.bare), str(tmp)], check=True)
        (tmp / self.bed.target.ground.rendering().folder / "NOTES").write_text("mine\n")
        subprocess.run([*run, "add", "--all"], cwd=tmp, check=True)
        subprocess.run([*run, "commit", "-q", "-m", "A note"], cwd=tmp, check=True)
        subprocess.run([*run, "push", "-q"], cwd=tmp, check=True)


@pytest.fixture(scope="module")
def environment(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory,
    standin: str,
) -> Iterator[ByGit]:  # fmt: skip
    """Provisioned by Git, with a blue that has all traffic."""
    program, folder = found(pytestconfig, provide_prometheus), tmp_path_factory.mktemp("by-git")
    bare = folder / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", str(bare)], check=True)
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(cluster, program, folder, standin, Patience(ready=120.0)) as bed,
    ):
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        given = {"repository": str(bare), "controller": "argocd", "namespace": bed.plane.namespace,
                 "wait_seconds": 120}  # fmt: skip
        ground = bed.target.ground
        settings = ground.settings.model_copy(update={"git": Git.model_validate(given)})
        bed.target = replace(bed.target, ground=replace(ground, settings=settings))
        with following(cluster, bare, bed.target.ground.rendering()) as stand_in:
            bed.target.provision(bed.fence())
            bed.target.deploy("blue", bed.release("one"), bed.fence())
            bed.target.expose({"blue": 100}, bed.fence())
            yield ByGit(bed, bare, stand_in)


@pytest.fixture
def here(environment: ByGit, monkeypatch: pytest.MonkeyPatch) -> Iterator[ByGit]:
    """With nobody in green."""
    monkeypatch.setenv("KUBECONFIG", str(environment.bed.cluster.kubeconfig))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    yield environment
    environment.stand_in.stuck, environment.stand_in.failing = False, ""
    target, fence = environment.target(), environment.bed.fence()
    target.expose({"blue": 100}, fence)
    target.retire("green", 0.0, fence)


def test_a_push_that_is_rejected_is_told_in_the_servers_words(here: ByGit) -> None:
    """Exit 1, the cluster as it was, and the same call again ends."""
    bed, fence, target = here.bed, here.bed.fence(), here.target()
    with (
        here.refusing(),
        pytest.raises(PushRefused, match=r"main is protected.*pull-request") as told,
    ):
        target.deploy("green", bed.release("two"), fence)

    assert told.value.exit_code == FAILED
    assert "green" not in target.facts().slots
    target.deploy("green", bed.release("two"), fence)
    assert target.facts().slots["green"].state == "ready"


def test_somebodys_commit_in_between_is_told_with_its_author(here: ByGit, tmp_path: Path) -> None:
    """Exit 1, nothing was pushed; run again, it goes on from there."""
    bed, fence, target = here.bed, here.bed.fence(), here.target()
    target.deploy("green", bed.release("two"), fence)
    here.committed(tmp_path / "clone")

    with pytest.raises(ChangedMeanwhile, match=r"found commit \w+ by Ada: A note") as told:
        target.deploy("green", bed.release("three"), fence)

    assert told.value.exit_code == FAILED
    assert target.facts().slots["green"].release == bed.release("two").digest
    here.target().deploy("green", bed.release("three"), fence)


def test_a_controller_that_is_stuck_is_waited_for(here: ByGit) -> None:
    """Exit 4 with what it last said; the release is not judged."""
    bed, fence = here.bed, here.bed.fence()
    here.stand_in.stuck = True
    with pytest.raises(Waiting, match=r"has not reported the commit after 1 s: it knows") as told:
        here.target(wait_seconds=1).deploy("green", bed.release("two"), fence)

    assert told.value.exit_code == WAITING
    assert "green" not in here.target().facts().slots
    here.stand_in.stuck = False
    here.target().deploy("green", bed.release("two"), fence)


def test_what_the_controller_cannot_apply_is_told(here: ByGit) -> None:
    """Exit 1, in its words; nobody's release is judged."""
    bed, fence = here.bed, here.bed.fence()
    here.stand_in.failing = "deployments.apps is forbidden"
    with pytest.raises(GreenlightError, match=r"deployments\.apps is forbidden") as told:
        here.target().deploy("green", bed.release("two"), fence)

    assert told.value.exit_code == FAILED
    assert not isinstance(told.value, DeployFailedError)
    here.stand_in.failing = ""
    here.target().deploy("green", bed.release("two"), fence)


def test_a_git_that_is_away_holds_up_a_deploy(here: ByGit) -> None:
    """Exit 1, and nothing was changed."""
    bed, fence = here.bed, here.bed.fence()
    with here.away(), pytest.raises(GitError, match="git fetch failed"):
        here.target().deploy("green", bed.release("two"), fence)

    assert "green" not in here.target().facts().slots
    here.target().deploy("green", bed.release("two"), fence)


def test_s05_a_way_back_waits_for_no_git(here: ByGit) -> None:
    """Users are with blue at once; ``facts`` says what Git does not know, until it was told."""
    bed, fence, target = here.bed, here.bed.fence(), here.target()
    target.deploy("green", bed.release("two"), fence)
    target.expose({"green": 100}, fence)
    assert not target.facts().notice

    for gone in (here.away, here.refusing):
        with gone():
            target.expose({"blue": 100}, fence)
            assert bed.ask() == bed.release("one").label
            assert (
                "the traffic is where it should be, and Git was not told" in target.facts().notice
            )
        here.target().expose({"blue": 100}, fence)
        assert not target.facts().notice
        target.expose({"green": 100}, fence)
