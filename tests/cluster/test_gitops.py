"""By Git to a real API server: a commit, a controller's stand-in, and what is in the cluster."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from manifests.model import Rendering
from manifests.render import Rendered, render, render_closing
from pipelines.gitops.writer import GitWriter, git_writer, routing_in_git
from pipelines.targets.kubernetes.watching import watcher_objects, watcher_secret
from release.errors import GreenlightError, Waiting
from release.keys import pipeline_key
from release.state import StateFolder
from tests.cluster.client import Cluster, as_text
from tests.cluster.gitops import StandIn, following, key, read_from
from tests.manifests.making import release, rendering, settings, spec
from tests.serving.testers import callers


@dataclass(frozen=True)
class World:
    """An environment by Git."""

    cluster: Cluster
    stand_in: StandIn
    writer: GitWriter
    both: Rendering

    def route(self, **weights: int) -> Rendered:
        """The HTTPRoute with these weights."""
        made = render(replace(self.both, weights=weights))
        return next(one for one in made if one.kind == "HTTPRoute")

    def write_directly(self, route: Rendered) -> None:
        """As Greenlight's own field manager, over the controller's ownership of the weights."""
        how = ("--server-side", "--force-conflicts", "--field-manager=greenlight")
        self.cluster.must("apply", *how, "--filename=-", given=as_text(route.object))

    def live(self) -> dict[str, int]:
        """The weights in the cluster."""
        found = read_from(self.cluster, "HTTPRoute", "assist", self.both.namespace)
        assert found
        return {one["name"]: one["weight"] for one in found["spec"]["rules"][-1]["backendRefs"]}

    def objects(self, kind: str) -> set[str]:
        """Names of a kind that are there and not going."""
        listed = self.cluster.read(kind, f"--namespace={self.both.namespace}")["items"]
        meta = [one["metadata"] for one in listed]
        return {one["name"] for one in meta if "deletionTimestamp" not in one}


@pytest.fixture(params=["argocd", "flux"])
def world(
    request: pytest.FixtureRequest, cluster: Cluster, namespace: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:  # fmt: skip
    """An empty repository, and somebody who follows it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    bare = tmp_path / "server.git"
    subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", str(bare)], check=True)
    git = {
        "repository": str(bare), "controller": request.param, "namespace": namespace,
        "wait_seconds": 60,
    }  # fmt: skip
    given = settings(namespace=namespace, priority="none", git=git)
    both = rendering(release(), release("Be kind."), given=given)
    with following(cluster, bare, both) as stand_in:
        writer = git_writer(both, tmp_path / "work", partial(read_from, cluster))
        yield World(cluster, stand_in, writer, both)


def test_what_is_committed_is_in_the_cluster_when_the_step_is_done(world: World) -> None:
    """And what is taken out of Git is gone from it."""
    world.writer.put(render(world.both), 1, "deploy")
    assert {"assist-blue", "assist-green"} <= world.objects("deployments")

    green = [(one.kind, one.name) for one in render(world.both) if one.name == "assist-green"]
    world.writer.take_away(green, 1, "retire")
    assert "assist-green" not in world.objects("deployments")
    assert "assist-blue" in world.objects("deployments")


def test_what_is_in_no_folder_survives_who_prunes_by_label(world: World, tmp_path: Path) -> None:
    """Callers' digests, a watcher with its key, and what closes the namespace. What has the mark
    and no file goes with Argo CD that tracks so, which shows that it looks.
    """
    r, state = world.both, StateFolder(tmp_path / "machine")
    pipeline_key(state.keys)
    made = [callers(r), watcher_secret(r, state), render_closing(r).object]
    made += [one.object for one in watcher_objects(r, spec(r.settings))]
    meta = {"name": "stray", "namespace": r.namespace, "labels": r.labels}
    stray = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
    done = world.cluster.apply(*made, stray, namespace=r.namespace)
    assert done.code == 0, done.err

    world.writer.put(render(r), 1, "deploy")
    world.stand_in.reconcile()

    assert not [one for one in made if read_from(world.cluster, *key(one)) is None]
    assert ("stray" in world.objects("configmaps")) is (world.stand_in.kind == "flux")


def test_s05_live_weights_survive_the_controller_and_git_is_told(world: World) -> None:
    """At every look of the controller's, also one after a commit that names other weights."""
    world.writer.put([*render(world.both), world.route(blue=100)], 1, "deploy")
    assert world.live() == {"assist-blue": 100, "assist-green": 0}

    world.write_directly(world.route(blue=30, green=70))
    world.stand_in.reconcile()
    assert world.live() == {"assist-blue": 30, "assist-green": 70}

    world.writer.tell(world.route(green=100), "green is live")
    world.stand_in.reconcile()
    assert world.live() == {"assist-blue": 30, "assist-green": 70}
    assert routing_in_git(world.writer.folder(), "assist").weights == {"green": 100}


def test_replicas_that_an_autoscaler_set_survive_the_controller(world: World) -> None:
    """They are in no file, so nobody puts them back."""
    world.writer.put(render(world.both), 1, "deploy")
    where = ("deployments/assist-blue", f"--namespace={world.both.namespace}")
    world.cluster.must("scale", *where, "--replicas=5")
    world.stand_in.reconcile()

    assert world.cluster.read(*where)["spec"]["replicas"] == 5


def test_a_stuck_controller_is_waited_for_and_told(world: World) -> None:
    """Run again when it moves, the same commit arrives."""
    world.stand_in.stuck = True
    writer = world.writer
    writer.settings = writer.settings.model_copy(update={"wait_seconds": 1})
    with pytest.raises(Waiting, match="has not reported the commit after 1 s"):
        writer.put(render(world.both), 1, "deploy")

    head = writer.head
    world.stand_in.stuck = False
    writer.settings = writer.settings.model_copy(update={"wait_seconds": 60})
    writer.put(render(world.both), 1, "deploy")
    assert writer.head == head


def test_what_the_api_server_refuses_is_told_by_the_controller(world: World) -> None:
    """In the API server's words."""
    bad: Any = Rendered(
        "ConfigMap", "bad", "{apiVersion: v1, kind: ConfigMap, metadata: {name: 'Not A Name'}}\n"
    )
    world.writer.sleep = lambda seconds: time.sleep(min(seconds, 0.2))
    world.writer.settings = world.writer.settings.model_copy(update={"wait_seconds": 10})

    with pytest.raises(GreenlightError, match=r"metadata\.name: Invalid value") as told:
        world.writer.put([bad], 1, "break")
    assert not isinstance(told.value, Waiting)
