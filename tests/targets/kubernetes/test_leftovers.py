"""What nobody needs goes, whoever asks: a deploy that takes it away, or a diff that tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from manifests.model import Rendering, Slot
from manifests.render import Rendered, render, render_slot
from pipelines.targets.kubernetes.facts import Live
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.leftovers import OF_A_SERVER, deployed, displaced, unneeded
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.writer import DirectWriter
from release.bundle import Release
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
