"""What a slot is about to start in a namespace: from its rendered objects and what runs there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from manifests.model import Rendering
from manifests.render import Rendered, render_slot, render_watcher
from manifests.watcher import keys_name, watcher_name
from pipelines.cluster import Pods
from pipelines.targets.kubernetes.facts import SERVER, SLOT, Live, labels, name_of, notes
from pipelines.targets.kubernetes.leftovers import OF_A_SLOT, deployed, unneeded
from pipelines.targets.kubernetes.limit_ranges import Limit, filled, read_limits, why_refused
from pipelines.targets.kubernetes.pods import Thing, pods_of
from pipelines.targets.kubernetes.quotas import Lists
from pipelines.targets.kubernetes.shared import Changed

Names = frozenset[tuple[str, str]]
"""Kinds and names of objects, or keys and values of labels."""


@dataclass(frozen=True)
class Coming:
    """``slot`` of ``rendering``, where ``live`` is there. ``stepwise``: traffic moves step by step,
    with a watcher; else at once and with none. ``changed``: model servers of the slots beside it
    that it changes.
    """

    api: Lists
    rendering: Rendering
    slot: str
    live: Live
    stepwise: bool = True
    changed: tuple[Changed, ...] = ()

    @property
    def beside(self) -> dict[str, Thing]:
        """The Deployments of the other slots."""
        return {name: one for name, one in self.live.slots.items() if name != self.slot}

    @cached_property
    def objects(self) -> tuple[dict[str, Any], ...]:
        """All that is rendered for it."""
        return tuple(one.object for one in self._rendered)

    @property
    def pods(self) -> tuple[Pods, ...]:
        """Those that it starts with. A model server that a slot beside it has needs nothing new,
        unless it is changed: then what replaces its pods comes beside them.
        """
        new = ((one, one.more) for one in self.changed)
        beside = (replace(_pods_of(one, self._limits), name=f"{one.name} beyond those that run",
                          count=more) for one, more in new if more)  # fmt: skip
        return (*self._own, *beside)

    @property
    def pods_alone(self) -> tuple[Pods, ...]:
        """Those that it starts with where nothing else is left: a model server goes when the last
        slot does that asks it.
        """
        return (*self._own, *(_pods_of(one, self._limits) for one in self.changed))

    @cached_property
    def _own(self) -> tuple[Pods, ...]:
        there = {notes(one).get(SERVER) for one in self.beside.values()} & {*self._running}
        return tuple(
            _started(one, self._least(name_of(one)), self._limits)
            for one in self.objects
            if one["kind"] == "Deployment" and name_of(one) not in there
        )

    @property
    def watcher(self) -> tuple[dict[str, Any], ...]:
        """The objects of the watcher that a rollout beside another release brings along."""
        if not (self.stepwise and self.beside) or watcher_name(self.rendering) in self._running:
            return ()
        secret = {"kind": "Secret", "metadata": {"name": keys_name(self.rendering)}}
        return (*(one.object for one in render_watcher(self.rendering, "")), secret)

    @property
    def later(self) -> tuple[Pods, ...]:
        """Those of the watcher, and those by which autoscalers may grow each slot: a return at the
        busiest hour has both at their largest.
        """
        watcher = (one for one in self.watcher if one["kind"] == "Deployment")
        pods = [_started(one, one["spec"]["replicas"], self._limits) for one in watcher]
        mine = {name_of(one): one for one in self.objects if one["kind"] == "Deployment"}
        for name, (least, most) in self._scaled.items():
            pods += _growth(mine.get(name), least, most, self._limits)
        for one, most in self._most_beside():
            pods += _growth(one, one["spec"].get("replicas", 1), most, ())
        return tuple(pods)

    @cached_property
    def past(self) -> Names:
        """Labels of pods that are its own already, or that go before it starts: those of another
        release in the slot, and of a model server that nobody else asks.
        """
        starts = {(SERVER, pods.name) for pods in self._own}
        return frozenset({(SLOT, self.slot)} | starts) | _servers(self.going)

    @property
    def going(self) -> Names:
        """The objects that go before it starts."""
        return self._goes_with(self.slot)

    @property
    def past_everywhere(self) -> Names:
        """Labels of all slots' pods, but for those of a model server that it asks too, as it is."""
        slots = frozenset((SLOT, name) for name in self.live.slots)
        changed = frozenset((SERVER, one.name) for one in self.changed)
        return slots | changed | _servers(self._goes_with(*self.live.slots))

    @property
    def going_everywhere(self) -> Names:
        """The objects of all other slots."""
        slots = [self.rendering.of_slot(name) for name in self.beside]
        of_slots = frozenset((kind, name) for name in slots for kind in OF_A_SLOT)
        return of_slots | self._goes_with(*self.live.slots)

    def _goes_with(self, *slots: str) -> Names:
        """What nobody needs any more once ``slots`` are gone and it is there. What nobody needs now
        goes too: a deploy begins with that.
        """
        stay = [one for one in self.live.deployments if labels(one).get(SLOT) not in slots]
        then = deployed(replace(self.live, deployments=stay), self._rendered)
        return frozenset(unneeded(then, self._maps))

    def _least(self, name: str) -> int:
        """How many pods a Deployment of no number of its own starts with."""
        return self._scaled.get(name, (1, 1))[0]

    @cached_property
    def _scaled(self) -> dict[str, tuple[int, int]]:
        """The least and the most pods of each Deployment that is scaled."""
        found = {}
        for one in self.objects:
            spec = one.get("spec") or {}
            if one["kind"] == "HorizontalPodAutoscaler":
                least, most = spec.get("minReplicas", 1), spec["maxReplicas"]
            elif one["kind"] == "ScaledObject":
                least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", 100)
            else:
                continue
            found[str(spec["scaleTargetRef"]["name"])] = (int(least), int(most))
        return found

    def _most_beside(self) -> Iterator[tuple[Thing, int]]:
        """What serves each slot beside it, and its most pods, as its autoscaler has it."""
        running = {name_of(one): one for one in self.beside.values()}
        for scaler in self.api.list("HorizontalPodAutoscaler", self.rendering.namespace):
            if one := running.get(scaler["spec"]["scaleTargetRef"]["name"]):
                yield one, int(scaler["spec"]["maxReplicas"])

    @cached_property
    def _rendered(self) -> tuple[Rendered, ...]:
        return render_slot(self.rendering, self.slot)

    @cached_property
    def _running(self) -> dict[str, Thing]:
        return {name_of(one): one for one in self.live.deployments}

    @cached_property
    def _maps(self) -> list[dict[str, Any]]:
        """The ConfigMaps of ours."""
        return self.api.list("ConfigMap", self.rendering.namespace, self.rendering.ours)

    @cached_property
    def _limits(self) -> tuple[Limit, ...]:
        return read_limits(self.api.list("LimitRange", self.rendering.namespace))


def _servers(goes: Names) -> Names:
    """The labels of the pods of those that are model servers."""
    return frozenset((SERVER, name) for kind, name in goes if kind == "Deployment")


def _pods_of(one: Changed, limits: tuple[Limit, ...]) -> Pods:
    """All pods of a model server as it would be. It is not this release's to have fewer of them."""
    return replace(_started(one.after, 1, limits), fixed=True)


def _started(one: Thing, least: int, limits: tuple[Limit, ...]) -> Pods:
    """The pods of a Deployment, as the namespace's limits make them."""
    spec = filled(one["spec"]["template"]["spec"], limits)
    wrong = tuple(why_refused(spec, limits))
    return pods_of(name_of(one), spec, one["spec"].get("replicas", least), wrong)


def _growth(one: Thing | None, least: int, most: int, limits: tuple[Limit, ...]) -> Iterator[Pods]:
    if one is not None and most > least:
        spec = filled(one["spec"]["template"]["spec"], limits)
        yield pods_of(f"{name_of(one)} beyond its {least}", spec, most - least)
