"""What a slot is about to start in a namespace: from its rendered objects and what runs there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from manifests.model import Rendering, own
from manifests.render import render_slot, render_watcher
from manifests.watcher import keys_name, watcher_name
from pipelines.cluster import Pods
from pipelines.targets.kubernetes.facts import name_of
from pipelines.targets.kubernetes.leftovers import OF_A_SERVER, OF_A_SLOT, prompt_of
from pipelines.targets.kubernetes.limit_ranges import Limit, filled, read_limits, why_refused
from pipelines.targets.kubernetes.pods import Thing, pods_of
from pipelines.targets.kubernetes.quotas import Lists

Names = frozenset[tuple[str, str]]
"""Kinds and names of objects, or keys and values of labels."""


@dataclass(frozen=True)
class Coming:
    """``slot`` of ``rendering``. ``servers`` are the model servers of the slots that are there.
    ``stepwise``: traffic moves step by step, with a watcher; else at once and with none.
    """

    api: Lists
    rendering: Rendering
    slot: str
    servers: Mapping[str, str]
    stepwise: bool = True

    @property
    def beside(self) -> tuple[str, ...]:
        """The other slots."""
        return tuple(name for name in self.servers if name != self.slot)

    @cached_property
    def objects(self) -> tuple[dict[str, Any], ...]:
        """All that is rendered for it."""
        return tuple(one.object for one in render_slot(self.rendering, self.slot))

    @property
    def pods(self) -> tuple[Pods, ...]:
        """Those that it starts with. A model server that a slot beside it has needs nothing new."""
        there = {self.servers[name] for name in self.beside} & {*self._running}
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
        for name, most in self._most_beside():
            one = self._running.get(name)
            pods += _growth(one, one["spec"].get("replicas", 1) if one else 0, most, ())
        return tuple(pods)

    @cached_property
    def past(self) -> Names:
        """Labels of pods that are its own already, or that go before it starts: those of another
        release in the slot, and of a model server that nobody else asks.
        """
        names = [pods.name for pods in self.pods] + self._leaving((self.slot,))
        return frozenset({(own("slot"), self.slot), *((own("server"), one) for one in names)})

    @property
    def going(self) -> Names:
        """The objects that go before it starts."""
        here = (self.slot,)
        servers = {(kind, name) for name in self._leaving(here) for kind in OF_A_SERVER}
        return frozenset(servers) | self._prompts(here)

    @property
    def past_everywhere(self) -> Names:
        """Labels of all slots' pods, but for those of a model server that it asks too."""
        slots = {(own("slot"), name) for name in self.servers}
        return frozenset(slots | {(own("server"), one) for one in self._leaving((*self.servers,))})

    @property
    def going_everywhere(self) -> Names:
        """The objects of all other slots."""
        slots, every = [self.rendering.of_slot(name) for name in self.beside], (*self.servers,)
        of_slots = {(kind, name) for name in slots for kind in OF_A_SLOT}
        servers = {(kind, one) for one in self._leaving(every) for kind in OF_A_SERVER}
        return frozenset(of_slots | servers) | self._prompts(every)

    def _leaving(self, slots: tuple[str, ...]) -> list[str]:
        """The model servers that go with ``slots``: neither the slot nor any that stays asks."""
        mine = {name_of(one) for one in self.objects if one["kind"] == "Deployment"}
        stay = {one for name, one in self.servers.items() if name not in slots}
        return sorted({self.servers.get(name, "") for name in slots} - stay - mine - {""})

    def _prompts(self, slots: tuple[str, ...]) -> Names:
        """The prompts that ``slots`` read, and neither it nor any other."""
        names = {name: self._running.get(self.rendering.of_slot(name)) for name in self.servers}
        read = {name: prompt_of(one) for name, one in names.items() if one}
        stay = {prompt for name, prompt in read.items() if name not in slots}
        mine = {name_of(one) for one in self.objects if one["kind"] == "ConfigMap"}
        goes = {prompt for name, prompt in read.items() if name in slots and prompt}
        return frozenset(("ConfigMap", one) for one in goes - stay - mine)

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

    def _most_beside(self) -> Iterator[tuple[str, int]]:
        """The most pods of what serves each slot beside it, as its autoscaler has it."""
        names = {self.rendering.of_slot(name) for name in self.beside}
        for one in self.api.list("HorizontalPodAutoscaler", self.rendering.namespace):
            target = str(one["spec"]["scaleTargetRef"]["name"])
            if target in names:
                yield target, int(one["spec"]["maxReplicas"])

    @cached_property
    def _running(self) -> dict[str, dict[str, Any]]:
        found = self.api.list("Deployment", self.rendering.namespace)
        return {name_of(one): one for one in found}

    @cached_property
    def _limits(self) -> tuple[Limit, ...]:
        return read_limits(self.api.list("LimitRange", self.rendering.namespace))


def _started(one: Thing, least: int, limits: tuple[Limit, ...]) -> Pods:
    """The pods of a Deployment, as the namespace's limits make them."""
    spec = filled(one["spec"]["template"]["spec"], limits)
    wrong = tuple(why_refused(spec, limits))
    return pods_of(name_of(one), spec, one["spec"].get("replicas", least), wrong)


def _growth(one: Thing | None, least: int, most: int, limits: tuple[Limit, ...]) -> Iterator[Pods]:
    if one is not None and most > least:
        spec = filled(one["spec"]["template"]["spec"], limits)
        yield pods_of(f"{name_of(one)} beyond its {least}", spec, most - least)
