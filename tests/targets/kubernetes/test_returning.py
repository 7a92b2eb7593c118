"""A return depends on nothing but that the release was live: not on what measures or follows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.model import Slot
from manifests.render import render_route, render_slot
from pipelines.capacity import ALL
from pipelines.gitops.controllers import Controller
from pipelines.gitops.repository import Repository
from pipelines.gitops.writer import GitWriter
from pipelines.targets.kubernetes.facts import Live, target_facts
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.routing import Routing, read_route
from pipelines.targets.kubernetes.target import KubernetesTarget
from pipelines.targets.kubernetes.writer import DirectWriter
from release.errors import GreenlightError
from release.state import StateFolder
from tests.manifests.making import release, rendering, settings
from tests.targets.kubernetes.memory import MemoryApi

AWAY = "http://127.0.0.1:1"
GATEWAY = {
    "spec": {"listeners": [{"protocol": "HTTP", "port": 80}]},
    "status": {"addresses": [{"value": "192.0.2.1"}]},
}


def test_a_slot_is_retired_though_prometheus_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many requests were cut is not known then, which is not none."""
    monkeypatch.setattr("pipelines.targets.kubernetes.slots.POLL_SECONDS", 0)
    api = MemoryApi()
    ground = Ground("assist", "production", settings(prometheus=AWAY), 30, api)
    what = ground.rendering(Slot("green", release()))
    DirectWriter(api, ground.anchor).put(render_slot(what, "green"), 1, "")
    made = api.objects["Deployment", ground.namespace, "assist-green"]
    made["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    api.create(pod(made["spec"]["template"]["metadata"], ground.namespace))
    key = ("Pod", ground.namespace, "assist-green-1")
    api.before = lambda verb, kind, _: (
        (verb, kind) == ("delete", "Deployment") and api.objects.pop(key, None)
    )
    target = KubernetesTarget(ground, StateFolder(tmp_path), lambda _: None, lambda _: None)  # type: ignore[arg-type,return-value]

    assert target.retire("green", 30.0, 2) is None
    assert not target.facts().slots


def pod(template: dict[str, Any], namespace: str) -> dict[str, Any]:
    """One that answers."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    meta = {**template, "name": "assist-green-1", "namespace": namespace}
    return {"kind": "Pod", "metadata": meta, "status": {"conditions": [ready]}}


def test_an_environment_whose_gateway_is_behind_is_there() -> None:
    """Or nobody could go back while it cannot follow what was written last. Somebody is told."""
    route = render_route(replace(rendering(), known=("blue",), weights={"blue": ALL})).object

    found = target_facts(Live("assist", "greenlight", route, GATEWAY), "http://192.0.2.1")

    assert (found.provisioned, found.weights) == (True, {"blue": ALL})
    assert "said nothing" in found.notice


def test_who_may_not_read_the_gateway_sees_the_environment_all_the_same() -> None:
    """A watcher in its pod: it has to set weights and read them back."""
    route = render_route(replace(rendering(), known=("blue",), weights={"blue": ALL})).object

    found = target_facts(Live("assist", "greenlight", route, {}), "")

    assert (found.provisioned, found.reason, found.weights) == (True, "", {"blue": ALL})


def test_s12_a_pin_is_not_read_as_weights() -> None:
    """Where somebody took the last rule away, whoever names no slot gets none."""
    both = replace(rendering(), known=("blue", "green"), weights={"blue": ALL})
    route = render_route(both).object
    route["spec"]["rules"].pop()

    assert read_route(route, "assist") == Routing()


def test_s05_nothing_is_destroyed_that_a_controller_would_put_back(tmp_path: Path) -> None:
    """Who follows the folder goes first."""
    git = {"repository": "/srv/clusters.git", "controller": "argocd"}
    r = rendering(release(), given=settings(git=git))
    assert r.settings.git
    one = Controller("argocd", "assist.production", "argocd")
    repository = Repository("/srv/clusters.git", "main", r.folder, tmp_path)
    there: dict[str, Any] = {"metadata": {}}

    with pytest.raises(GreenlightError, match=r"Application assist.production .* put back"):
        GitWriter(r, r.settings.git, repository, one, lambda *_: there).require_unfollowed()

    GitWriter(r, r.settings.git, repository, one, lambda *_: None).require_unfollowed()


def test_s05_weights_that_a_controller_has_put_back_are_said_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It had read the route before they were set, and applied it after."""
    monkeypatch.setattr("pipelines.targets.kubernetes.ground.HELD_SECONDS", 0.1)
    monkeypatch.setattr("pipelines.targets.kubernetes.ground.POLL_SECONDS", 0.01)
    monkeypatch.setattr(Ground, "await_accepted", lambda _: None)
    ground = Ground("assist", "production", settings(), 30, MemoryApi())
    wanted = Routing(("blue", "green"), {"blue": ALL})
    ground.write(Routing(("blue", "green"), {"green": ALL}), 1)

    ground.hold(wanted, 1)

    assert ground.routing() == wanted


NO_KEY = 'MountVolume.SetUp failed: secret "assist-watcher-keys" not found'


RUNS = {"state": {"running": {"startedAt": "noon"}}, "started": True, "ready": False}
WAITS = {"state": {"waiting": {"reason": "ContainerCreating"}}}
NONE = "no pod of its watcher is ready, so nobody watches: "
LOGS = "; `kubectl logs assist-watcher-1` says what it cannot have"


@pytest.mark.parametrize(
    ("asked", "ready", "container", "unwatched", "said"),
    [
        (2, 0, {"state": {"waiting": {"reason": "CreateContainerConfigError", "message": NO_KEY}}},
         NONE, NO_KEY),
        (2, 0, WAITS, NONE, "assist-watcher-1 is not ready yet: Container"),
        (2, 0, RUNS, NONE, f"its readiness probe does not pass{LOGS}"),
        (2, 1, RUNS, "", "a pod of its watcher, maybe the one that leads, cannot do its work: "
         f"assist-watcher-1 is not ready yet: it runs since noon, and its readiness probe does not "
         f"pass{LOGS}"),
        (2, 1, WAITS, "", ""),
        (0, 0, {}, "", ""),
    ],
    ids=["no key", "it starts", "it cannot do its work", "one cannot", "one starts", "off"],
)  # fmt: skip
def test_s08_a_watcher_that_cannot_do_its_work_watches_nothing_and_somebody_is_told(
    asked: int, ready: int, container: dict[str, Any], unwatched: str, said: str
) -> None:
    """Its Secret is gone, its image, its way to the ledger or Prometheus: a rollout that nobody
    goes on with would stay as it is.
    """
    labels = {"app.kubernetes.io/component": "watcher"}
    meta = {"name": "assist-watcher", "labels": labels}
    spec = {"replicas": asked, "selector": {"matchLabels": labels}, "template": {"metadata": {}}}
    watcher = {"metadata": meta, "spec": spec, "status": {"availableReplicas": ready}}
    one = {"metadata": {"name": "assist-watcher-1", "labels": labels},
           "status": {"containerStatuses": [container]}}  # fmt: skip
    route = render_route(replace(rendering(), known=("blue",), weights={"blue": ALL})).object
    pods = [one] * asked

    found = target_facts(Live("assist", "gw", route, GATEWAY, [watcher], pods), "http://192.0.2.1")

    assert (found.provisioned, found.watched) == (True, True)
    assert found.unwatched.startswith(unwatched)
    assert bool(found.unwatched) == bool(unwatched)
    assert found.unwatched in found.notice
    assert said in found.notice
    assert ("watcher" in found.notice) == bool(said)
