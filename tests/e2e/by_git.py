"""An application on the tests' cluster that is shipped by commits, and who follows them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.model import Rendering
from release.spec import load_spec
from tests.cluster.client import Cluster
from tests.cluster.gitops import StandIn, following
from tests.e2e.conftest import Application, make_application
from tests.e2e.on_a_cluster import Shipped, shipped
from tests.emulators import Emulator


@dataclass(frozen=True)
class ByGit:
    """Git, where the application ``name`` is, and the controllers by environment."""

    name: str
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
        files = self.git("ls-tree", "--name-only", f"main:{self.name}/production").split()
        mine = (file for file in files if file[3:].startswith(f"{kind}-"))
        return {one[4 + len(kind) :].removesuffix(".yaml") for one in mine}

    def told(self) -> dict[str, int]:
        """The weights that Git has for production, those above nothing."""
        folder = f"main:{self.name}/production"
        (file,) = (n for n in self.git("ls-tree", "--name-only", folder).split() if "route" in n)
        route = yaml.safe_load(self.git("show", f"{folder}/{file}"))
        backends = route["spec"]["rules"][-1]["backendRefs"]
        return {one["name"].rpartition("-")[2]: one["weight"] for one in backends if one["weight"]}


CONTROLLERS = {"staging": "argocd", "production": "flux"}


@contextmanager
def by_commits(
    cluster: Cluster, s3: Emulator, cache: Path, config: pytest.Config, ledger: str,
    make: Callable[[str, Path, Path], Application] = make_application,
) -> Iterator[ByGit]:  # fmt: skip
    """A repository with nothing in it, followed by Argo CD's stand-in and by Flux's."""

    def settings(folder: Path, environment: str, namespace: str) -> dict[str, Any]:
        repository, controller = str(folder / "server.git"), CONTROLLERS[environment]
        git = {"repository": repository, "controller": controller, "namespace": namespace}
        return {"priority": "none", "git": {**git, "wait_seconds": 60}}

    if cluster.real_pods:
        pytest.skip("a watcher in a real pod cannot reach a repository of this machine")
    with shipped(cluster, s3, cache, config, ledger, settings, make) as box, ExitStack() as held:
        bare = box.application.folder.parent / "server.git"
        subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", bare], check=True)
        box.application.environment["GIT_CONFIG_GLOBAL"] = "/dev/null"
        spec = load_spec(box.application.folder, (box.overlay,))
        controllers = {}
        for name, one in spec.environments.items():
            assert one.kubernetes is not None
            rendering = Rendering(spec.name, name, one.kubernetes, ())
            controllers[name] = held.enter_context(following(cluster, bare, rendering))
        yield ByGit(spec.name, box, bare, controllers)
