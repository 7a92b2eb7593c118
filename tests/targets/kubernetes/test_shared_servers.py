"""A changed setting reaches the model server that two slots ask: counted, and told, before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from manifests.model import Slot, own
from manifests.render import render_server
from pipelines.capacity import Room
from pipelines.targets.kubernetes.diff import changes
from pipelines.targets.kubernetes.diff_text import document, markdown, terminal
from pipelines.targets.kubernetes.refusals import ApiError
from pipelines.targets.kubernetes.shared import Changed, changed, with_slots_beside
from pipelines.targets.kubernetes.target import KubernetesTarget
from release.bundle import Release
from release.kubernetes_section import Kubernetes
from release.state import StateFolder
from tests.cluster.nodes import cpu_node, gpu_node
from tests.manifests.making import gpu_settings
from tests.pipelines.rooms import placed, ready
from tests.targets.kubernetes.memory import MemoryApi
from tests.targets.kubernetes.servers import BLUE, GREEN, OTHER, ground, start

SERVER = Slot("", BLUE).server_name
ASKED = {"cpu": "2", "memory": "16Gi"}
LARGER: dict[str, Any] = {"resources": {"cpu": "2", "memory": "24Gi"}}
MORE: dict[str, Any] = {"replicas": 3}


def live(gpus: int = 1) -> MemoryApi:
    """Blue runs on one of so many GPUs."""
    api = MemoryApi()
    start(ground(api, given()), "blue", BLUE)
    held = placed({own("server"): SERVER}, name="assist") | {"kind": "Pod"}
    for one in (held, node(gpu_node("a100-1", "a100", gpus)), node(cpu_node("np-1"))):
        api.create(one)
    return api


def node(one: dict[str, Any]) -> dict[str, Any]:
    return ready(one) | {"kind": "Node"}


def given(when_full: str = "wait", **server: Any) -> Kubernetes:
    """One pod with a GPU, or as told."""
    found = gpu_settings(**{"resources": ASKED, **server})
    return found.model_copy(update={"when_full": when_full})


def room(api: MemoryApi, folder: Path, settings: Kubernetes, one: Release = GREEN) -> Room:
    """Of ``one`` in green; nothing is written for that."""
    before = {**api.objects}
    target = KubernetesTarget(
        ground(api, settings), StateFolder(folder), lambda _: None, lambda _: None  # type: ignore[arg-type,return-value]
    )  # fmt: skip
    found = target.room(one)
    assert api.objects == before
    return found


def test_S04_a_model_server_that_stays_as_it_is_needs_nothing_new(tmp_path: Path) -> None:
    """A release that shares it needs no GPU, and there is nothing to tell."""
    found = room(live(), tmp_path, given())

    assert (found.verdict, found.asks.partition(",")[0]) == ("enough", "needs 0.5 cpu")
    assert found.notes == ()


@pytest.mark.parametrize(
    ("server", "pods", "path"),
    [
        (LARGER, 1, "spec.template.spec.containers[model].resources.limits.memory"),
        (MORE, 2, "spec.replicas"),
        ({**LARGER, **MORE}, 3, "spec.replicas, spec.template.spec"),
    ],
    ids=["memory", "replicas", "both"],
)
def test_S04_what_a_changed_setting_adds_to_the_server_of_the_slot_beside_it_is_counted(
    tmp_path: Path, server: Mapping[str, Any], pods: int, path: str
) -> None:
    """What replaces a pod comes before that goes: without room it would be pending for ever."""
    full, free = (room(live(gpus), tmp_path, given(**server)) for gpus in (1, 1 + pods))

    assert full.verdict == "wait"
    says = f"{pods} of {pods} pods of {SERVER} beyond those that run have no room"
    assert says in full.missing[0]
    told = f"it also changes {SERVER}, which blue runs on: {path}"
    assert told in full.why_not
    assert free.verdict == "enough"
    assert told in str(free)


def test_S04_a_model_server_of_the_releases_own_changes_nothing_beside_it(tmp_path: Path) -> None:
    """It is counted as ever."""
    found = room(live(2), tmp_path, given(**LARGER), OTHER)

    assert (found.verdict, found.notes) == ("enough", ())


def test_S04_a_smaller_release_has_no_fewer_pods_of_a_server_that_is_not_its_own(
    tmp_path: Path,
) -> None:
    """Where one of the two of its application has room, and all that the server needs has too."""
    api = live(3)
    api.objects["Node", "", "np-1"]["status"]["allocatable"]["cpu"] = "400m"

    found = room(api, tmp_path, given("smaller", **MORE))
    without = room(api, tmp_path, given("smaller", replicas=4))

    assert (found.verdict, found.scale, found.share) == ("smaller", 1, 50)
    assert without.verdict == "wait"


@pytest.mark.parametrize(("server", "verdict"), [(LARGER, "outage"), (MORE, "wait")])
def test_S04_an_outage_is_counted_with_the_whole_server_that_is_made_anew(
    tmp_path: Path, server: Mapping[str, Any], verdict: str
) -> None:
    """It goes with the last slot that asks it, so its GPU is free, and all of its pods are new."""
    assert room(live(), tmp_path, given("outage", **server)).verdict == verdict


def test_what_the_api_server_refuses_to_try_is_said_by_the_deploy(tmp_path: Path) -> None:
    """With the same words, and before anything of the slot is there."""

    class Refusing(MemoryApi):
        def apply(self, one: Mapping[str, Any], **more: Any) -> dict[str, Any]:
            raise ApiError("denied by a policy")

    api = Refusing()
    api.objects = live().objects

    assert room(api, tmp_path, given(**LARGER)).verdict == "enough"


ROLLING = {"rollingUpdate": {"maxSurge": "30%"}}


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ({"replicas": 4, "template": 1}, {"replicas": 4, "template": 2, "strategy": ROLLING}, 2),
        ({"template": 1}, {"template": 2}, 1),
        ({"replicas": 4, "template": 1}, {"replicas": 1, "template": 2}, 0),
        ({"replicas": 2, "template": 1}, {"replicas": 2, "template": 2,
                                          "strategy": {"type": "Recreate"}}, 0),
        ({"replicas": 2, "template": 1, "paused": True}, {"replicas": 2, "template": 1}, 0),
    ],
    ids=["a share is rounded up", "by default", "fewer", "all at once", "no pod is changed"],
)  # fmt: skip
def test_the_pods_that_come_first_are_those_beyond_what_runs(
    old: dict[str, Any], new: dict[str, Any], more: int
) -> None:
    """As the controller of Deployments goes about it."""
    assert Changed("model-1", ("blue",), {"spec": old}, {"spec": new}).more == more


def test_a_diff_says_who_runs_on_the_server_that_it_changes() -> None:
    """In a terminal, in a pull request and for a program; of nothing else it does."""
    api = live()
    there = ground(api, given(**LARGER))
    api.create({"kind": "Namespace", "metadata": {"name": there.namespace}})
    wanted = render_server(there.rendering(Slot("green", GREEN)), "green")

    found = [*with_slots_beside(there.live(), "green", changes(api, wanted))]

    (one,) = document(found)
    assert (one["name"], one["beside"]) == (SERVER, ["blue"])
    says = f"Deployment/{SERVER}, which blue runs on too"
    assert says in terminal(found)
    assert f"<summary>changed: {says}</summary>" in markdown(found, "x")
    assert {one.what for one in found if not one.beside} == {"same"}
    in_blue = with_slots_beside(there.live(), "blue", changes(api, wanted))
    assert "runs on too" not in terminal([*in_blue])


def test_s12_a_release_that_comes_into_the_only_slot_changes_what_is_its_own() -> None:
    """Nobody is beside it."""
    api = live()
    there = ground(api, given(**LARGER))
    wanted = [one.object for one in render_server(there.rendering(Slot("blue", GREEN)), "blue")]

    assert not [*changed(api, there.live(), wanted, "blue", there.manager)]
    assert [*changed(api, there.live(), wanted, "green", there.manager)]
