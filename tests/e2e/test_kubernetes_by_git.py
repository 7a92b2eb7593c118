"""By Git on a cluster: each step is a commit, and Git and the cluster come to say the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.model import Rendering
from release.spec import load_spec
from tests.cluster.client import Cluster
from tests.cluster.gitops import StandIn, following
from tests.e2e.on_a_cluster import Shipped, shipped, tokens, until
from tests.e2e.test_faults import wait_for
from tests.emulators import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class ByGit:
    """An application that is shipped by commits, and who follows them."""

    box: Shipped
    bare: Path
    controllers: dict[str, StandIn]

    def git(self, *words: str) -> str:
        """git in the repository."""
        done = subprocess.run(["git", *words], cwd=self.bare, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def names(self, kind: str) -> set[str]:
        """What Git has of a kind for production."""
        files = self.git("ls-tree", "--name-only", "main:box/production").split()
        mine = (file for file in files if file[3:].startswith(f"{kind}-"))
        return {one[4 + len(kind) :].removesuffix(".yaml") for one in mine}

    def told(self) -> dict[str, int]:
        """The weights that Git has for production, those above nothing."""
        folder = "main:box/production"
        (file,) = (n for n in self.git("ls-tree", "--name-only", folder).split() if "route" in n)
        route = yaml.safe_load(self.git("show", f"{folder}/{file}"))
        backends = route["spec"]["rules"][-1]["backendRefs"]
        return {one["name"].rpartition("-")[2]: one["weight"] for one in backends if one["weight"]}


CONTROLLERS = {"staging": "argocd", "production": "flux"}


@pytest.fixture(scope="module")
def by_git(
    cluster: Cluster, s3: Emulator, cache: Path, pytestconfig: pytest.Config
) -> Iterator[ByGit]:
    """A repository with nothing in it, followed by Argo CD's stand-in and by Flux's."""
    if cluster.real_pods:
        pytest.skip("a cluster with real pods has its own data plane")

    def settings(folder: Path, environment: str, namespace: str) -> dict[str, Any]:
        repository, controller = str(folder / "server.git"), CONTROLLERS[environment]
        git = {"repository": repository, "controller": controller, "namespace": namespace}
        return {"priority": "none", "git": {**git, "wait_seconds": 60}}

    with shipped(cluster, s3, cache, pytestconfig, "by-git", settings) as box, ExitStack() as held:
        bare = box.application.folder.parent / "server.git"
        subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", bare], check=True)
        box.application.environment["GIT_CONFIG_GLOBAL"] = "/dev/null"
        spec = load_spec(box.application.folder, (box.overlay,))
        controllers = {}
        for name, one in spec.environments.items():
            assert one.kubernetes is not None
            rendering = Rendering(spec.name, name, one.kubernetes, ())
            controllers[name] = held.enter_context(following(cluster, bare, rendering))
        yield ByGit(box, bare, controllers)


def test_by_git_each_step_is_a_commit_and_git_says_what_is_live_S05(by_git: ByGit) -> None:
    """Two releases and a return; the cluster and Git agree each time."""
    box = by_git.box

    done = box.run("ship")
    assert done.code == 0, done.err + box.logs()
    assert by_git.told() == box.weights() == {"blue": 100}

    done = box.run("ship", *tokens(box, 9))
    assert done.code == 0, done.err + box.logs()
    assert by_git.told() == box.weights() == {"green": 100}
    until(lambda: not box.watched(), "the watcher's end", box.logs)
    assert by_git.names("deployment") == box.names("deployment")
    messages = by_git.git("log", "--format=%B", "main")
    digests = {one["data"]["release"] for one in box.entries() if one["kind"] == "built"}
    assert len(digests) == 2
    assert all(f"Greenlight-Release: {one}" in messages for one in digests)


def test_by_git_a_return_changes_the_cluster_first_and_then_git_S05(by_git: ByGit) -> None:
    """Nobody follows Git then; it comes to say what the cluster is."""
    box, controller = by_git.box, by_git.controllers["production"]
    done = box.run("ship", *tokens(box, 10, soakSeconds=600))
    assert done.code == 0, done.err + box.logs()
    assert by_git.told() == box.weights() == {"blue": 100}
    controller.stuck, seen = True, controller.rounds

    with box.start("rollback", "--env", "production") as process:
        wait_for(process, "• retire production/")
        weights, told = box.weights(), by_git.told()
        assert controller.rounds == seen
        assert [one["data"] for one in box.entries() if one["kind"] == "live"][-1]["returned"]
        controller.stuck = False
        _, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    assert weights == told == {"green": 100}
    assert by_git.told() == box.weights() == {"green": 100}
    until(lambda: by_git.names("deployment") == box.names("deployment"), "what Git says", box.logs)
    refused = box.run("destroy")  # a controller that is there would put it all back
    assert refused.code == 1
    assert "it would put back whatever is destroyed. Delete it first" in refused.err
