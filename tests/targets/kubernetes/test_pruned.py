"""What a controller of Git would take away or fight over is in no folder, and bears no mark."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from manifests.gitops import render_controller
from manifests.model import Slot
from manifests.render import Rendered, render, render_slot
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.callers import let_in
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.watching import watcher_objects, watcher_secret
from pipelines.targets.kubernetes.writer import DirectWriter
from release.keys import pipeline_key
from release.state import StateFolder
from tests.cluster.client import Cluster
from tests.manifests.making import release, settings, spec
from tests.serving.testers import DIGESTS
from tests.targets.kubernetes.memory import MemoryApi
from tests.targets.kubernetes.sharing import (
    SPACE,
    bundled,
    ground,
    made,
)


@dataclass(frozen=True)
class Folder(DirectWriter):
    """A folder whose controller is quick. ``kinds``: what was put into it."""

    kinds: set[str] = field(default_factory=set)

    def put(self, objects: Sequence[Rendered], fence: int, why: str) -> None:
        """In the cluster when this returns."""
        self.kinds.update(one.kind for one in objects)
        super().put(objects, fence, why)


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_what_pods_come_before_others_by_is_made_once_and_by_nobodys_folder(
    controller: str,
) -> None:
    """Each environment of a cluster needs it: two folders with it would fight. It outlives all of
    them, and whoever has made it otherwise meant to.
    """
    git = {"repository": "https://git.example.com/o/r", "controller": controller}
    api = MemoryApi()
    for environment in ("staging", "production"):
        there = Ground("assist", environment, settings(git=git), 30, api)
        folder = Folder(api, there.anchor)
        shell = Shell(there, folder)
        made(shell, api)
        if environment == "staging":
            theirs = {**api.objects["PriorityClass", "", "greenlight-serving"], "value": 7}
            api.apply(theirs)

        assert "ServiceAccount" in folder.kinds
        assert not folder.kinds & {"Namespace", "PriorityClass"}
    shell.take_away(2)
    assert api.objects["PriorityClass", "", "greenlight-serving"]["value"] == 7


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_a_real_cluster_takes_that_class_once_and_orders_pods_by_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, controller: str
) -> None:
    """Its value cannot be changed, so a second environment must not try. By a name of this test's,
    since the others share the cluster.
    """
    mine = f"t{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setattr(Ground, "await_accepted", lambda _: None)
    monkeypatch.setattr("manifests.render.PRIORITY_CLASS", mine)
    git = {"repository": "https://git.example.com/o/r", "controller": controller}
    first, second = (Ground(mine, name, settings(git=git), 30, Api()) for name in ("one", "two"))
    try:
        Shell(first, Folder(first.api, first.anchor)).make(1)
        made = cluster.read("priorityclass", mine)
        theirs = {key: made[key] for key in ("apiVersion", "kind")} | {"value": made["value"] - 1}
        cluster.must("delete", "priorityclass", mine)
        first.api.create({**theirs, "metadata": {"name": mine}})
        Shell(second, folder := Folder(second.api, second.anchor)).make(1)

        assert "PriorityClass" not in folder.kinds
        assert cluster.read("priorityclass", mine)["value"] == theirs["value"]
        assert priority(cluster, second) == theirs["value"]
    finally:
        cluster.must("delete", "priorityclass", mine, "--ignore-not-found")
        for one in (first, second):
            cluster.must("delete", "namespace", one.namespace, "--wait=false", "--ignore-not-found")


def priority(cluster: Cluster, there: Ground) -> int:
    """What the API server would give a pod of a slot, which it only has the name of."""
    r = there.rendering(Slot("blue", bundled(there.application)))
    (template,) = (
        one.object["spec"]["template"]
        for one in render_slot(r, "blue")
        if (one.kind, one.name) == ("Deployment", r.of_slot("blue"))
    )
    meta = {**template["metadata"], "name": "tried", "namespace": r.namespace}
    pod = {**template, "apiVersion": "v1", "kind": "Pod", "metadata": meta}
    how = ("--dry-run=server", "--output=json", "--filename=-")
    return int(json.loads(cluster.must("create", *how, given=json.dumps(pod)))["spec"]["priority"])


INSTANCE = "app.kubernetes.io/instance"


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_nothing_that_is_in_no_folder_carries_the_mark_of_who_prunes(
    controller: str, tmp_path: Path
) -> None:
    """Argo CD, where it tracks by labels, takes away what has its mark and is in no file."""
    git = {"repository": "https://git.example.com/o/r", "controller": controller}
    there = Ground("assist", "production", settings(git=git), 30, api := MemoryApi())
    r, state = there.rendering(Slot("blue", release())), StateFolder(tmp_path)
    pipeline_key(state.keys)
    made(Shell(there, DirectWriter(api, there.anchor)), api)
    let_in(api, r, DIGESTS)
    api.create(watcher_secret(r, state))
    DirectWriter(api, there.anchor).put(watcher_objects(r, spec(there.settings)), 1, "")
    followed = {(one.kind, one.name) for one in render(r)}

    apart = [one for (kind, _, name), one in api.objects.items() if (kind, name) not in followed]
    assert {one["kind"] for one in apart} >= {"Namespace", "Lease", "ConfigMap", "Secret", "Role"}
    assert not [one for one in apart if INSTANCE in json.dumps(one)]
    assert not [one for one in render_controller(r) if INSTANCE in one.text]
    account = api.get("ServiceAccount", "assist", r.namespace)
    assert account
    assert account["metadata"]["labels"][INSTANCE] == "assist.production"


@pytest.mark.parametrize("named", [{}, {"namespace": "assist-production"}])
def test_the_mark_of_who_prunes_is_taken_off_what_an_earlier_build_made(
    named: dict[str, str],
) -> None:
    """Both are there and never written again, so nothing else would. The rest of them stays."""
    there = Ground("assist", "production", settings(**named), 30, api := MemoryApi())
    r, shell = there.rendering(), Shell(there, DirectWriter(api, there.anchor))
    made(shell, api)
    let_in(api, r, DIGESTS)
    both = [("Namespace", "", r.namespace), ("ConfigMap", r.namespace, r.callers_name)]
    before = [api.objects[key]["metadata"]["labels"] for key in both]
    for key in both:
        api.patch(*_named(key), {"metadata": {"labels": {INSTANCE: "assist-production"}}})

    made(shell, api)
    let_in(api, r, DIGESTS)

    assert [api.objects[key]["metadata"]["labels"] for key in both] == before


def _named(key: tuple[str, str, str]) -> tuple[str, str, str]:
    kind, where, name = key
    return kind, name, where


def test_a_mark_that_may_not_be_taken_off_holds_nothing_up() -> None:
    """As for an account that may look at the namespace, and make what is in it."""
    there = Ground("assist", "production", settings(), 30, api := MemoryApi())
    shell = Shell(there, DirectWriter(api, there.anchor))
    made(shell, api)
    marked = {"metadata": {"labels": {INSTANCE: "assist-production"}}}
    api.patch("Namespace", there.namespace, "", marked)
    api.objects.pop(("ServiceAccount", there.namespace, "assist"))

    def policy(verb: str, kind: str, name: str) -> None:
        if kind == "Namespace":
            raise DeniedError("no")

    api.before = policy
    made(shell, api)

    assert api.get("ServiceAccount", "assist", there.namespace)


def test_a_namespace_of_the_platforms_keeps_its_mark() -> None:
    """It is in a folder of theirs, and called so on purpose."""
    meta = {"name": SPACE, "labels": {INSTANCE: "platform", "app.kubernetes.io/name": "assist"}}
    api = MemoryApi({"kind": "Namespace", "metadata": meta})
    mine = ground(api)

    made(Shell(mine, DirectWriter(api, mine.anchor)), api)

    assert api.objects["Namespace", "", SPACE]["metadata"]["labels"] == meta["labels"]
