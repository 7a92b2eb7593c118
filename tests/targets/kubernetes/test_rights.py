"""The rights of docs/rights.yaml are enough, on an API server that refuses everything else."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docs.rights import rules
from manifests.model import Rendering, Slot
from manifests.render import render_shell, render_slot
from pipelines.targets.base import PlatformError
from pipelines.targets.kubernetes import ground as grounds
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.diff import changes
from pipelines.targets.kubernetes.slots import Patience
from pipelines.targets.kubernetes.target import KubernetesTarget
from pipelines.targets.kubernetes.watching import to_take_away, watcher_objects, watcher_secret
from pipelines.targets.kubernetes.writer import Watching
from release.git_section import Git
from release.state import StateFolder
from tests.cluster.building import provide_prometheus
from tests.cluster.client import Cluster
from tests.cluster.fixtures import found
from tests.cluster.gitops import following
from tests.manifests.making import spec
from tests.targets.kubernetes import faulty
from tests.targets.kubernetes.bed import KubernetesBed, opened

CLUSTER, GATEWAY, ENVIRONMENT = (rules(f"greenlight-{one}") for one in
                                 ("cluster", "gateway", "environment"))  # fmt: skip
EVERYTHING = [*CLUSTER, *GATEWAY, *ENVIRONMENT]
SHARES: dict[str, tuple[list[Any], list[Any], dict[str, Any]]] = {
    "in all of the cluster": (EVERYTHING, [], {}),
    "in one namespace": (GATEWAY, ENVIRONMENT, {"priority": "none"}),
}


@pytest.fixture(scope="module")
def bed(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory,
    standin: str,
) -> Iterator[KubernetesBed]:  # fmt: skip
    """Nothing is there yet but the platform's."""
    program, folder = found(pytestconfig, provide_prometheus), tmp_path_factory.mktemp("rights")
    with opened(cluster, program, folder, standin, Patience(ready=120.0)) as made:
        yield made


def really(state: StateFolder, r: Rendering) -> Watching:
    """What watches for real, whose Role nobody may give who does not have those rights."""
    one = spec(r.settings).model_copy(update={"name": r.application})
    there = one.environments["production"]
    one = one.model_copy(update={"environments": {r.environment: there}})
    return Watching(watcher_objects(r, one), watcher_secret(r, state), to_take_away(r))


def target_of(bed: KubernetesBed, namespace: str, **more: Any) -> KubernetesTarget:
    """As whom KUBECONFIG names now."""
    target = faulty.elsewhere(bed, namespace, **more)
    return replace(target, watching=lambda r: really(target.state, r))


@pytest.mark.parametrize("case", SHARES)
def test_with_these_rights_an_environment_lives_from_its_first_day_to_its_last(
    bed: KubernetesBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """Provisioned, deployed, counted, watched, promoted, brought back and destroyed."""
    everywhere, within, settings = SHARES[case]
    namespace, one, two = bed.plane.namespace, bed.release("one"), bed.release("two")
    with faulty.someone(bed.cluster, namespace, tmp_path, everywhere, within) as path:
        monkeypatch.setenv("KUBECONFIG", str(path))
        target = target_of(bed, namespace, **settings)
        target.provision(bed.fence())
        target.deploy("blue", one, bed.fence())
        target.expose({"blue": 100}, bed.fence())
        target.room(two)
        target.deploy("green", two, bed.fence())
        target.watch(True, bed.fence())
        target.expose({"green": 100}, bed.fence())
        target.expose({"blue": 100}, bed.fence())
        target.retire("green", 0.0, bed.fence())
        target.watch(False, bed.fence())

        facts = target.facts()
        assert facts.address == bed.plane.url
        assert (dict(facts.weights), {*facts.slots}) == ({"blue": 100}, {"blue"})
        target.destroy(bed.fence())
        assert not target.facts().provisioned


def test_with_these_rights_a_release_is_brought_by_git(
    bed: KubernetesBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With those on the controller's object beside them."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    cluster, namespace, bare = bed.cluster, bed.plane.namespace, tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", str(bare)], check=True)
    git = Git.model_validate({"repository": str(bare), "controller": "argocd",
                              "namespace": namespace, "wait_seconds": 120})  # fmt: skip
    by_git = rules("greenlight-by-git")
    with faulty.someone(cluster, namespace, tmp_path, EVERYTHING, by_git) as path:
        monkeypatch.setenv("KUBECONFIG", str(path))
        target = target_of(bed, namespace, git=git)
        with following(cluster, bare, target.ground.rendering()):
            target.provision(bed.fence())
            target.deploy("blue", bed.release("one"), bed.fence())
            target.expose({"blue": 100}, bed.fence())
            assert (target.drift(), dict(target.facts().weights)) == ((), {"blue": 100})
        name = target.ground.rendering().full_name
        where = ("applications.argoproj.io", name, f"--namespace={namespace}")
        cluster.must("delete", *where)  # as destroy asks of whoever keeps the controller
        target.destroy(bed.fence())


def test_with_these_rights_a_namespace_is_made_and_goes(
    bed: KubernetesBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No gateway of the tests' follows routes there, so provisioning says that at its end."""
    monkeypatch.setattr(grounds, "ACCEPTED_SECONDS", 0.0)
    name = f"greenlight-{uuid.uuid4().hex[:8]}"
    with faulty.someone(bed.cluster, bed.plane.namespace, tmp_path, EVERYTHING) as path:
        monkeypatch.setenv("KUBECONFIG", str(path))
        target = target_of(bed, name)
        with pytest.raises(PlatformError, match="is written, but"):
            target.provision(1)
        assert target.facts().provisioned

        r = target.ground.rendering(Slot("blue", bed.release("one"), None, ()))
        shown = changes(target.ground.api, (*render_shell(r), *render_slot(r, "blue")))
        assert {one.what for one in shown} <= {"added", "changed", "same"}, shown

        target.destroy(1)
    assert bed.cluster.ask("get", "namespace", name).code


def test_without_the_right_to_roles_no_watcher_is_started(
    bed: KubernetesBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the tests above would notice a right that is missing."""
    fewer = [one for one in EVERYTHING if "roles" not in one["resources"]]
    with faulty.someone(bed.cluster, bed.plane.namespace, tmp_path, fewer) as path:
        monkeypatch.setenv("KUBECONFIG", str(path))
        target = target_of(bed, bed.plane.namespace)
        target.provision(bed.fence())
        with pytest.raises(PlatformError, match='"roles"'):
            target.watch(True, bed.fence())
    monkeypatch.setenv("KUBECONFIG", str(bed.cluster.kubeconfig))
    replace(target, ground=replace(target.ground, api=Api())).destroy(bed.fence())
