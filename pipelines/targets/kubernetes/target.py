"""The kubernetes target: slots as Deployments, traffic by an HTTPRoute, counts by Prometheus."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from manifests.model import Rendering, Slot, own
from manifests.order import RANKS
from manifests.render import Rendered, render_route, render_shell, render_slot
from pipelines.capacity import ALL, Room
from pipelines.facts import SLOTS
from pipelines.targets.base import DeployFailedError, Endpoint, Measured, TargetFacts
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.facts import (
    APPLICATION,
    FAILED,
    RELEASE,
    SERVER,
    SHARE,
    SLOT,
    Live,
    address_of,
    available,
    is_current,
    labels,
    notes,
    ready_since,
    reason_of,
    target_facts,
)
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.kinds import KINDS, kind_of
from pipelines.targets.kubernetes.prometheus import (
    FRESH_SECONDS,
    REMEMBERED_SECONDS,
    Meter,
    Prometheus,
)
from pipelines.targets.kubernetes.queries import Place
from pipelines.targets.kubernetes.reasons import Reason
from pipelines.targets.kubernetes.refusals import DeniedError, UnreachableError
from pipelines.targets.kubernetes.room import room_of
from pipelines.targets.kubernetes.routing import (
    Routing,
    read_route,
    require_possible,
    why_not_accepted,
)
from pipelines.targets.kubernetes.writer import DirectWriter, Name, Watching, Writer
from release.bundle import Release
from release.errors import BadInput, GreenlightError, Problem, Waiting
from release.kubernetes_section import Kubernetes
from release.state import StateFolder
from serving import keys

POLL_SECONDS = 0.25
ACCEPTED_SECONDS = 30.0
"""For the gateway to follow a route: those that are well take a second."""

TOLERATED_SECONDS = 30.0
"""How long what may pass, such as a registry that is away, is waited for before it is a failure."""

GONE_SECONDS = 60.0
"""Beyond its grace, for a pod to be gone."""

OF_A_SERVER = ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy")

OF_WATCHER = {"app.kubernetes.io/component": "watcher"}

MADE = own("made")
"""On a namespace that was made here, and so goes with what is in it."""

OF_A_SLOT = ("Service", "HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget")


@dataclass(frozen=True)
class KubernetesTarget:
    """One environment in a namespace of a cluster.

    ``markers`` gives the control tokens of a release's model, None where nobody knows them.
    ``watching`` makes what watches a rollout.
    ``ready_within``: seconds that a release may take to load; whoever hangs is given up then.
    """

    application: str
    environment: str
    settings: Kubernetes
    state: StateFolder
    markers: Callable[[Release], tuple[str, ...] | None]
    watching: Callable[[Rendering], Watching]
    refusal: tuple[str, ...] = ()
    drain_seconds: int = 30
    ready_within: float = 600.0
    tolerated: float = TOLERATED_SECONDS
    remembered: float = REMEMBERED_SECONDS
    api: Api = field(default_factory=Api)

    @property
    def namespace(self) -> str:
        """Where everything of it is."""
        return self._rendering().namespace

    @property
    def witness(self) -> Anchor:
        """This target's memory of the ledger's head: on its Lease."""
        return self._anchor

    def key_file(self, role: str) -> Path:
        """The file of a caller's key: role user, tester or operator."""
        return self.state.keys / f"{self.environment}.{role}.key"

    def facts(self) -> TargetFacts:
        """What is there, read from the cluster. One that does not answer is not provisioned."""
        try:
            live = self._live()
        except UnreachableError as error:
            return TargetFacts(False, reason=str(error))
        return target_facts(live, self._address(live))

    def provision(self, fence: int) -> None:
        """What belongs to no slot, and a route that leads nowhere yet. Safe to repeat."""
        for role in ("user", "tester", "operator"):
            keys.ensure(self.key_file(role))
        rendering = self._rendering()
        shell = [one for one in render_shell(rendering) if not self._is_the_platforms(one)]
        self._anchor.take(fence)
        there = self.api.get("HTTPRoute", self.application, self.namespace)
        if there is None:
            shell.append(self._route(Routing()))
        self._writer.put(shell, fence, f"what {self.environment} is in, before any release")
        self._await_accepted()

    def destroy(self, fence: int) -> None:
        """All of it, with the namespace where that is ours."""
        if self.api.get("Lease", self._anchor.name, self.namespace) is None:
            return
        self._anchor.take(fence)
        found = self.api.get("Namespace", self.namespace)
        if found and notes(found).get(MADE):
            self.api.delete("Namespace", self.namespace)
            self._await_gone("Namespace")
            return
        kinds = [kind for kind, one in KINDS.items() if one.namespaced and kind in RANKS]
        for kind in sorted(kinds, key=lambda kind: -RANKS[kind]):
            for one in self.api.list(kind, self.namespace, self._ours):
                self.api.delete(kind, one["metadata"]["name"], self.namespace)
        self._await_gone("Pod")
        self.api.delete("Lease", self._anchor.name, self.namespace)

    def room(self, release: Release) -> Room | None:
        """By what the cluster's nodes, quotas and pools have left."""
        live = self._live()
        slot = _place_of(live, release.digest)
        beside = {
            name: notes(one).get(SERVER, "") for name, one in live.slots.items() if name != slot
        }
        what = Slot(slot, release, None, self.refusal)
        return room_of(self.api, self._rendering(what), slot, beside, datetime.now(UTC))

    def deploy(self, slot: str, release: Release, fence: int, scale: int | None = None) -> None:
        """Start ``release`` in ``slot``; return when it has answered a real prompt."""
        self._anchor.take(fence)
        live = self._live()
        share = self._share(scale)
        if self._serves(live, slot, release, share):
            return
        what = Slot(slot, release, self.markers(release), self.refusal)
        self._let_in(live, slot, fence)
        objects = render_slot(self._scaled(scale, what), slot)
        self._writer.put(objects, fence, f"{release.label} in {slot}")
        told = {SHARE: str(share), FAILED: None}
        self._anchor.mark("Deployment", f"{self.application}-{slot}", told, fence)
        self._await_ready(slot, release, scale, fence)
        self._tidy(fence, f"nothing in {slot} needs them any more")

    def expose(
        self, weights: Mapping[str, int], fence: int, mirror: Mapping[str, int] | None = None
    ) -> None:
        """Write the route, whole; return when the gateway follows it."""
        self._anchor.take(fence)
        live = self._live()
        facts = target_facts(live, "")
        states = {name: str(one.state) for name, one in facts.slots.items()}
        require_possible(weights, mirror or {}, states)
        known = read_route(live.route, self.application).slots if live.route else ()
        slots = tuple(dict.fromkeys((*known, *weights)))
        route = self._route(Routing(slots, weights, mirror or {}))
        self._anchor.apply(route.object, fence)
        self._await_accepted()
        if list(filter(None, weights.values())) == [100]:
            self._writer.tell(route, f"{max(weights, key=lambda one: weights[one])} is live")

    def measure(self, slot: str) -> Measured:
        """The counts of ``slot`` by Prometheus, since its Deployment was made."""
        live = self._live()
        return self._meter(live, slot).measure(_read_by_now(live, slot))

    def watch(self, on: bool, fence: int) -> None:
        """Keep a watcher of this environment running, or no longer."""
        self._anchor.take(fence)
        what, direct = self.watching(self._rendering()), DirectWriter(self.api, self._anchor)
        if on:
            self.api.apply(what.secret)
            direct.put(what.objects, fence, "a rollout is watched")
            return
        maps = self.api.list("ConfigMap", self.namespace, self._ours | OF_WATCHER)
        names = [*what.goes, *(("ConfigMap", _name(one)) for one in maps)]
        direct.take_away(names, fence, "nothing is watched any more")

    def retire(self, slot: str, deadline: float, fence: int) -> int:
        """Let ``slot`` drain for at most ``deadline`` seconds, then go; requests that were cut."""
        self._anchor.take(fence)
        live = self._live()
        if live.route and read_route(live.route, self.application).weights.get(slot):
            raise GreenlightError(f"{self.environment}/{slot} has traffic: it is not retired")
        if slot not in live.slots:
            return 0
        self._let_out(live, slot, fence)
        return self._drain(live, slot, deadline, fence)

    def endpoint(self, slot: str) -> Endpoint:
        """The gateway, pinned to ``slot``, with what is asked marked as synthetic."""
        return Endpoint(
            url=self._address(self._live()),
            headers={
                "Authorization": f"Bearer {keys.read(self.key_file('tester'))}",
                "x-greenlight-slot": slot,
                "x-greenlight-synthetic": "1",
            },
            model=self.application,
        )

    @cached_property
    def _anchor(self) -> Anchor:
        return Anchor(self.api, self.namespace, self.application)

    @cached_property
    def _writer(self) -> Writer:
        return DirectWriter(self.api, self._anchor)

    @property
    def _ours(self) -> dict[str, str]:
        """The labels of all that is made here."""
        return {APPLICATION: self.application, "app.kubernetes.io/managed-by": "greenlight"}

    def _rendering(self, *slots: Slot) -> Rendering:
        return Rendering(
            self.application, self.environment, self.settings, slots,
            drain_seconds=self.drain_seconds,
        )  # fmt: skip

    def _route(self, routing: Routing) -> Rendered:
        rendering = replace(
            self._rendering(), known=routing.slots, weights=routing.weights, mirror=routing.mirror
        )
        return render_route(rendering)

    def _live(self) -> Live:
        gateway = self.settings.gateway
        return Live(
            application=self.application,
            gateway_name=gateway.name,
            route=self.api.get("HTTPRoute", self.application, self.namespace),
            gateway=self.api.get("Gateway", gateway.name, gateway.namespace),
            deployments=self.api.list("Deployment", self.namespace, self._ours),
            pods=self.api.list("Pod", self.namespace, self._ours),
        )

    def _address(self, live: Live) -> str:
        return address_of(live.gateway, self.settings.gateway.hostnames)

    def _is_the_platforms(self, one: Rendered) -> bool:
        """Whether what belongs to no namespace is there already: then it is not ours to change.

        A namespace that is not there is made here, since the Lease has to be in it.
        """
        if kind_of(one.kind).namespaced:
            return False
        try:
            there = self.api.get(one.kind, one.name) is not None
        except DeniedError:  # who may not even look has been given one
            return True
        if not there and one.kind == "Namespace":
            meta = {**one.object["metadata"], "annotations": {MADE: "true"}}
            self.api.create({**one.object, "metadata": meta})
        return there or one.kind == "Namespace"

    def _await_gone(self, kind: str) -> None:
        """Until no pod of ours, or the namespace itself, is left."""
        give_up = time.monotonic() + self.drain_seconds + GONE_SECONDS
        while time.monotonic() < give_up:
            if kind == "Pod" and not self.api.list("Pod", self.namespace, self._ours):
                return
            if kind == "Namespace" and self.api.get("Namespace", self.namespace) is None:
                return
            time.sleep(POLL_SECONDS)
        raise GreenlightError(f"{self.environment}: {kind} of {self.namespace} does not go away")

    def _serves(self, live: Live, slot: str, release: Release, share: int) -> bool:
        found = target_facts(live, "").slots.get(slot)
        if found is None or (found.release, found.state) != (release.digest, "ready"):
            return False
        return found.share >= share

    def _let_in(self, live: Live, slot: str, fence: int) -> None:
        """The route knows the slot: by its pin, and with no weight."""
        routing = read_route(live.route, self.application) if live.route else Routing()
        if slot not in routing.slots:
            slots = tuple(sorted({*routing.slots, slot}))
            self._write_routing(Routing(slots, routing.weights, routing.mirror), fence)

    def _let_out(self, live: Live, slot: str, fence: int) -> None:
        """The route forgets the slot, so that nothing new comes to it."""
        routing = read_route(live.route, self.application) if live.route else Routing()
        if slot in routing.slots:
            slots = tuple(one for one in routing.slots if one != slot)
            mirror = {name: one for name, one in routing.mirror.items() if name != slot}
            self._write_routing(Routing(slots, routing.weights, mirror), fence)

    def _write_routing(self, routing: Routing, fence: int) -> None:
        self._anchor.apply(self._route(routing).object, fence)

    def _await_accepted(self) -> None:
        """GreenlightError when the gateway does not follow what the route says now."""
        give_up = time.monotonic() + ACCEPTED_SECONDS
        while True:
            route = self.api.get("HTTPRoute", self.application, self.namespace)
            reason = (
                why_not_accepted(route, self.settings.gateway.name) if route else "it is not there"
            )
            if not reason:
                return
            if time.monotonic() > give_up:
                raise GreenlightError(
                    f"{self.environment}: the route {self.application} is written, but {reason} "
                    f"(waited {ACCEPTED_SECONDS:g} s)"
                )
            time.sleep(POLL_SECONDS)

    def _await_ready(self, slot: str, release: Release, scale: int | None, fence: int) -> None:
        """Until every pod that is asked for has answered. DeployFailedError with the reason."""
        give_up, since = time.monotonic() + self.ready_within, 0.0
        while True:
            live = self._live()
            one = live.slots.get(slot)
            if one is not None and self._is_whole(one, release, scale):
                return
            reason = reason_of(live, one) if one else Reason("waits", "it is not there yet")
            now = time.monotonic()
            since = (since or now) if reason.kind == "fails" else 0.0
            lasts = bool(since) and now - since > self.tolerated
            if reason.kind == "hopeless" or lasts or now > give_up:
                raise self._given_up(slot, release, reason, fence)
            time.sleep(POLL_SECONDS)

    def _is_whole(self, one: Mapping[str, Any], release: Release, scale: int | None) -> bool:
        least = (
            self.settings.scaling.min if scale is None else min(scale, self.settings.scaling.min)
        )
        wanted = max(int(one["spec"].get("replicas", 1)), least)
        mine = notes(one).get(RELEASE) == release.digest
        return mine and is_current(one) and available(one) >= wanted

    def _given_up(self, slot: str, release: Release, reason: Reason, fence: int) -> GreenlightError:
        """What to raise. The slot keeps the reason, so that whoever looks later reads it."""
        text = f"{release.label} did not get ready in {self.environment}/{slot}: {reason.text}"
        if reason.kind == "room":
            return Waiting(f"{text}. What ends it: room for it; then the same command again")
        self._anchor.mark("Deployment", f"{self.application}-{slot}", {FAILED: reason.text}, fence)
        return DeployFailedError(text)

    def _tidy(self, fence: int, why: str) -> None:
        """Take away prompts that no slot mounts, and model servers that none asks any more."""
        live = self._live()
        used = {notes(one).get(SERVER, "") for one in live.slots.values()}
        names: list[Name] = [
            (kind, name) for name in live.servers if name not in used for kind in OF_A_SERVER
        ]
        mounted = {_prompt(one) for one in live.slots.values()}
        names += [
            ("ConfigMap", one["metadata"]["name"])
            for one in self.api.list("ConfigMap", self.namespace, self._ours)
            if one["metadata"]["name"].startswith("prompt-")
            and one["metadata"]["name"] not in mounted
        ]
        if names:
            self._writer.take_away(names, fence, why)

    def _drain(self, live: Live, slot: str, deadline: float, fence: int) -> int:
        """Its pods go, each when it has answered what it has begun, or at its deadline."""
        one = live.slots[slot]
        meter, asked = self._meter(live, slot), [_name(pod) for pod in _ready_pods(live, slot)]
        name = f"{self.application}-{slot}"
        gone: list[Name] = [("Deployment", name), *((kind, name) for kind in OF_A_SLOT)]
        self._writer.take_away(gone, fence, f"{slot} is retired")
        grace = int(one["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30))
        self._hurry(slot, grace - max(0, self.drain_seconds - math.ceil(deadline)), grace)
        self._tidy(fence, f"{slot} has gone")
        return meter.taken(asked) if asked else 0

    def _hurry(self, slot: str, wanted: int, usual: int) -> None:
        """Wait until the slot's pods are gone; they may take ``wanted`` seconds, not ``usual``."""
        labels = {APPLICATION: self.application, SLOT: slot}
        give_up, told = time.monotonic() + usual + GONE_SECONDS, set[str]()
        while pods := self.api.list("Pod", self.namespace, labels):
            if time.monotonic() > give_up:
                names = ", ".join(map(_name, pods))
                raise GreenlightError(f"{self.environment}/{slot} does not stop: {names} is there")
            for pod in pods:
                leaving = "deletionTimestamp" in pod["metadata"]
                if leaving and wanted < usual and _name(pod) not in told:
                    told.add(_name(pod))
                    self.api.delete("Pod", _name(pod), self.namespace, grace=wanted)
            time.sleep(POLL_SECONDS)

    def _meter(self, live: Live, slot: str) -> Meter:
        if slot not in live.slots:
            raise GreenlightError(f"{self.environment}: no counts of {slot}, which is not there")
        place = Place(self.namespace, self.application, slot)
        return self._prometheus.meter(place, _made(live.slots[slot]))

    @cached_property
    def _prometheus(self) -> Prometheus:
        url = self.settings.measured_at
        if url is None:
            path = f"environments.{self.environment}.kubernetes.prometheus"
            expected = "where Prometheus answers: without its counts no rollout is judged"
            raise BadInput(Problem(expected, "nothing", "Give its URL.", path=path))
        return Prometheus(url, remembered=self.remembered)

    def _share(self, scale: int | None) -> int:
        """Per cent of the pods that a slot is to have, with at most ``scale`` of each kind."""
        if scale is None:
            return ALL
        whole = max(self.settings.scaling.min, self.settings.server.replicas)
        return min(ALL, ALL * scale // whole)

    def _scaled(self, scale: int | None, what: Slot) -> Rendering:
        """With at most ``scale`` pods of each kind."""
        rendering = self._rendering(what)
        if scale is None:
            return rendering
        scaling, server = self.settings.scaling, self.settings.server
        fewer = {"min": min(scale, scaling.min), "max": min(scale, scaling.max)}
        settings = self.settings.model_copy(
            update={
                "scaling": scaling.model_copy(update=fewer),
                "server": server.model_copy(update={"replicas": min(scale, server.replicas)}),
            }
        )
        return replace(rendering, settings=settings)


def _place_of(live: Live, release: str) -> str:
    """The slot that ``release`` is in, else one that is free, else one that nobody is sent to."""
    for slot, one in live.slots.items():
        if notes(one).get(RELEASE) == release:
            return slot
    weights = read_route(live.route, live.application).weights if live.route else {}
    free = [slot for slot in SLOTS if slot not in live.slots]
    return next(iter((*free, *(slot for slot in SLOTS if not weights.get(slot)))), SLOTS[0])


def _ready_pods(live: Live, slot: str) -> list[Mapping[str, Any]]:
    return [pod for pod in live.pods if labels(pod).get(SLOT) == slot and ready_since(pod)]


def _read_by_now(live: Live, slot: str) -> list[str] | None:
    """Pods that Prometheus has had the time to find; None while there is none of them."""
    before = time.time() - FRESH_SECONDS
    return [
        _name(pod) for pod in _ready_pods(live, slot) if (ready_since(pod) or 0) < before
    ] or None


def _name(one: Mapping[str, Any]) -> str:
    return str(one["metadata"]["name"])


def _prompt(one: Mapping[str, Any]) -> str:
    """The ConfigMap that a slot's pods read."""
    volumes = one["spec"]["template"]["spec"].get("volumes") or ()
    return next((v["configMap"]["name"] for v in volumes if "configMap" in v), "")


def _made(one: Mapping[str, Any]) -> float:
    """When an object was made, in epoch seconds."""
    return datetime.fromisoformat(one["metadata"]["creationTimestamp"]).timestamp()
