"""What nobody needs goes, whoever asks: a deploy that takes it away, or a diff that tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from manifests.model import Rendering, Slot
from manifests.render import Rendered, render, render_slot
from pipelines.targets.kubernetes.facts import Live
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.leftovers import (
    OF_A_SERVER,
    OF_A_SLOT,
    deployed,
    displaced,
    unneeded,
)
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.writer import DirectWriter
from release.bundle import Release
from release.errors import GreenlightError
from tests.manifests.making import release, rendering, settings
from tests.targets.kubernetes.memory import MemoryApi

OTHER_SERVER = release("Be kind.", threads=4)
"""It also has another prompt."""


def live(objects: Sequence[Rendered]) -> tuple[Live, list[dict[str, Any]]]:
    """A cluster with these, and its ConfigMaps."""
    made = [one.object for one in objects]
    there = Live("assist", "g", deployments=[one for one in made if one["kind"] == "Deployment"])
    return there, [one for one in made if one["kind"] == "ConfigMap"]


def after(before: Rendering, then: Rendering, slot: str) -> set[tuple[str, str]]:
    """What nobody needs once ``slot`` is as it is in ``then``."""
    there, maps = live(render(before))
    return {*unneeded(deployed(there, render_slot(then, slot)), maps)}


def test_what_the_release_before_has_left_in_the_slot_goes() -> None:
    """Its prompt and its model server; never what the slot beside it needs."""
    before = rendering(release(), OTHER_SERVER)
    green = before.slot("green")

    gone = after(before, rendering(release(), release("Be short.")), "green")

    servers = {(kind, green.server_name) for kind in OF_A_SERVER}
    assert gone == {("ConfigMap", green.prompt_name), *servers}


def test_a_server_that_the_slot_beside_it_asks_stays() -> None:
    """It is shared: only the prompt was the slot's own."""
    before = rendering(release(), release("Be kind."))

    gone = after(before, rendering(release(), OTHER_SERVER), "green")

    assert gone == {("ConfigMap", before.slot("green").prompt_name)}


def test_the_same_release_again_leaves_nothing() -> None:
    both = rendering(release(), OTHER_SERVER)

    assert not after(both, both, "green")
    assert not after(both, both, "blue")


def test_where_no_slot_is_left_nothing_that_served_one_is_needed() -> None:
    """All the rest stays: the watcher, callers, dashboard."""
    there, maps = live(render(rendering(release())))
    names = [("Deployment", "assist-watcher", "watcher"), ("ConfigMap", "assist-callers", "")]
    others = [
        {"kind": kind, "metadata": {
            "name": name, "labels": {"app.kubernetes.io/component": component}}}
        for kind, name, component in names
    ]  # fmt: skip
    servers = [*there.servers.values(), others[0]]

    gone = unneeded(Live("assist", "g", deployments=servers), [*maps, others[1]])

    assert {name.partition("-")[0] for _, name in gone} == {"model", "prompt"}


@pytest.mark.parametrize(
    ("scaling", "other"),
    [({}, "ScaledObject"), ({"prometheus": "http://p:9090"}, "HorizontalPodAutoscaler")],
)
def test_an_autoscaler_of_the_other_kind_goes(scaling: dict[str, str], other: str) -> None:
    """Two of them would fight over one Deployment."""
    wanted = render_slot(rendering(release(), given=settings(scaling=scaling)), "blue")

    assert displaced(wanted, "assist-blue") == [(other, "assist-blue")]


def started(
    api: MemoryApi, monkeypatch: pytest.MonkeyPatch, slot: Slot | None = None, **scaling: str
) -> None:
    """A release in a slot, blue, that is scaled so; nobody waits for it."""
    monkeypatch.setattr(Slots, "_await_ready", lambda *_: None)
    there = Ground("assist", "production", settings(scaling=scaling), 30, api)
    slots = Slots(there, DirectWriter(api, there.anchor), Patience())
    slots.start(there.live(), slot or Slot("blue", release()), None, 1)


@pytest.mark.parametrize("again", [OTHER_SERVER, release("Be kind.", threads=8)])
def test_what_a_deploy_that_was_cut_has_left_goes_before_anything_is_started(
    again: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model server may have the only GPU. The same release again goes on with it."""
    api, done = MemoryApi(), list[tuple[str, str, str]]()
    started(api, monkeypatch)
    green = rendering(release(), OTHER_SERVER).slot("green")

    def cut(verb: str, kind: str, name: str) -> None:
        if (kind, name) == ("Deployment", "assist-green"):
            raise KeyboardInterrupt

    api.before = cut
    with pytest.raises(KeyboardInterrupt):
        started(api, monkeypatch, Slot("green", OTHER_SERVER))
    api.before = lambda *what: done.append(what)

    started(api, monkeypatch, Slot("green", again))

    left = ("delete", "Deployment", green.server_name)
    first = next(i for i, (verb, kind, _) in enumerate(done) if (verb, kind) != ("patch", "Lease"))
    gone = [one for one in done if one[0] == "delete"]
    assert (left in gone) == (again is not OTHER_SERVER)
    assert done[first : first + len(gone)] == gone


@pytest.mark.parametrize("kind", OF_A_SLOT)
def test_a_slot_that_is_cut_while_it_goes_has_all_that_serves_it_or_is_not_there(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A return that finds it goes on with it as it is: also with its autoscaler."""
    api = MemoryApi()
    started(api, monkeypatch)
    there = Ground("assist", "production", settings(), 30, api)
    before = {what for what, _, name in api.objects if name == "assist-blue"}

    def cut(verb: str, what: str, name: str) -> None:
        if (verb, what, name) == ("delete", kind, "assist-blue"):
            raise KeyboardInterrupt

    api.before = cut
    with suppress(KeyboardInterrupt):
        Slots(there, DirectWriter(api, there.anchor), Patience()).stop(there.live(), "blue", 1, 2)

    left = {what for what, _, name in api.objects if name == "assist-blue"}
    assert left == before or "Deployment" not in left


def drained(api: MemoryApi, monkeypatch: pytest.MonkeyPatch) -> str:
    """Green has gone, and one of its pods still answers, by the model server whose name this is."""
    started(api, monkeypatch)
    started(api, monkeypatch, Slot("green", OTHER_SERVER))
    green = api.objects.pop(("Deployment", "assist-production", "assist-green"))
    template = green["spec"]["template"]
    meta = {**template["metadata"], "name": "green-1", "namespace": "assist-production"}
    api.create({"kind": "Pod", "metadata": meta, "spec": template["spec"]})
    return rendering(release(), OTHER_SERVER).slot("green").server_name


def test_a_model_server_that_a_draining_slots_pod_may_ask_goes_when_that_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run was killed while the slot drained: no Deployment tells of its pods any more."""
    api, looks = MemoryApi(), list[bool]()
    server = drained(api, monkeypatch)

    def look(_: float) -> None:
        looks.append(("Deployment", "assist-production", server) in api.objects)
        if len(looks) == 3:
            del api.objects["Pod", "assist-production", "green-1"]

    monkeypatch.setattr("pipelines.targets.kubernetes.slots.time.sleep", look)
    started(api, monkeypatch, Slot("green", release("Be kind.", threads=8)))

    assert looks == [True, True, True]
    assert ("Deployment", "assist-production", server) not in api.objects


@pytest.mark.parametrize("comes", [OTHER_SERVER, release("Be quick.", threads=4)])
def test_a_draining_slot_holds_up_nothing_that_takes_no_server_away(
    comes: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes asks that server too; a prompt that pods have mounted may go."""
    api = MemoryApi()
    server = drained(api, monkeypatch)
    monkeypatch.setattr("pipelines.targets.kubernetes.slots.time.sleep", pytest.fail)

    started(api, monkeypatch, Slot("green", comes))

    assert ("Deployment", "assist-production", server) in api.objects


def test_what_is_tidied_away_waits_for_the_slot_that_drains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is held up for it: a return must not be."""
    api = MemoryApi()
    key = ("Deployment", "assist-production", drained(api, monkeypatch))
    there = Ground("assist", "production", settings(), 30, api)
    slots = Slots(there, DirectWriter(api, there.anchor), Patience())

    slots.tidy(there.live(), "blue", 1)
    assert key in api.objects

    del api.objects["Pod", "assist-production", "green-1"]
    slots.tidy(there.live(), "blue", 1)
    assert key not in api.objects


def test_a_draining_slot_that_does_not_stop_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its pods may take, and a while."""
    api, now = MemoryApi(), [0.0]
    drained(api, monkeypatch)
    monkeypatch.setattr("pipelines.targets.kubernetes.slots.time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        "pipelines.targets.kubernetes.slots.time.sleep", lambda _: now.append(now.pop() + 30)
    )

    with pytest.raises(GreenlightError, match="green-1 is there"):
        started(api, monkeypatch, Slot("green", release("Be kind.", threads=8)))

    assert now[0] >= 60


def test_an_autoscaler_goes_before_the_other_kind_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """KEDA's webhook refuses one for a Deployment that another autoscaler has."""
    api, done = MemoryApi(), list[tuple[str, str]]()
    started(api, monkeypatch)
    api.before = lambda verb, kind, name: done.append((verb, kind))

    started(api, monkeypatch, prometheus="http://p:9090")

    old, new = ("delete", "HorizontalPodAutoscaler"), ("create", "ScaledObject")
    assert [one for one in done if one in (old, new)] == [old, new]


def test_an_autoscaler_of_somebody_elses_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it has the slot's name."""
    meta = {"name": "assist-blue", "namespace": "assist-production"}
    api = MemoryApi({"kind": "ScaledObject", "metadata": meta})

    started(api, monkeypatch)

    assert api.get("ScaledObject", "assist-blue", "assist-production")
