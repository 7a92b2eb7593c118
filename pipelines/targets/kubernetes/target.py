"""The kubernetes target: slots as Deployments, traffic by an HTTPRoute, counts by Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from manifests.model import Rendering, Slot
from manifests.render import render_server
from pipelines.capacity import ALL, Room
from pipelines.facts import SlotFacts
from pipelines.gitops.writer import GitNotTold, GitWriter, git_writer
from pipelines.targets.base import Endpoint, Measured, TargetFacts
from pipelines.targets.kubernetes.agreement import disagreements
from pipelines.targets.kubernetes.callers import let_in
from pipelines.targets.kubernetes.facts import (
    UNTOLD,
    Live,
    name_of,
    notes,
    place,
    ready_since,
    target_facts,
)
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.ground import Ground, ready_pods
from pipelines.targets.kubernetes.prometheus import (
    FRESH_SECONDS,
    REMEMBERED_SECONDS,
    Meter,
    Prometheus,
)
from pipelines.targets.kubernetes.queries import Place
from pipelines.targets.kubernetes.refusals import UnreachableError
from pipelines.targets.kubernetes.room import room_of
from pipelines.targets.kubernetes.routing import Routing, require_possible
from pipelines.targets.kubernetes.shared import changed
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.slots import Patience, Slots
from pipelines.targets.kubernetes.watching import COMPONENT
from pipelines.targets.kubernetes.writer import DirectWriter, Watching, Writer
from release.bundle import Release
from release.errors import BadInput, GreenlightError, Problem
from release.state import StateFolder
from serving import keys


@dataclass(frozen=True)
class KubernetesTarget:
    """One environment in a namespace of a cluster.

    ``markers`` gives the control tokens of a release's model, None where nobody knows them.
    ``watching`` makes what watches a rollout; ``stepwise``: there are any, else traffic is moved at
    once.
    """

    ground: Ground
    state: StateFolder
    markers: Callable[[Release], tuple[str, ...] | None]
    watching: Callable[[Rendering], Watching]
    refusal: tuple[str, ...] = ()
    patience: Patience = field(default_factory=Patience)
    remembered: float = REMEMBERED_SECONDS
    stepwise: bool = True

    @property
    def witness(self) -> Anchor:
        """This target's memory of the ledger's head: on its Lease."""
        return self.ground.anchor

    def key_file(self, role: str) -> Path:
        """The file of a caller's key: role user, tester or operator."""
        return self.state.keys / f"{self.ground.environment}.{role}.key"

    def facts(self) -> TargetFacts:
        """What is there, read from the cluster. One that does not answer is not provisioned."""
        try:
            live = self.ground.live()
            lease = self.ground.anchor.own_lease()
        except UnreachableError as error:
            return TargetFacts(False, reason=str(error), away=True)
        notice = notes(lease).get(UNTOLD, "") if lease else ""
        return target_facts(live, self.ground.address(live), notice)

    def drift(self) -> tuple[str, ...]:
        """Where the cluster is otherwise than Git says; nothing where no Git says anything."""
        if not isinstance(self._writer, GitWriter):
            return ()
        try:
            return disagreements(self.ground, self._writer.folder())
        except (GreenlightError, OSError) as error:
            return (f"whether Git agrees is not known: {error}",)

    def provision(self, fence: int) -> None:
        """What belongs to no slot, and a route that leads nowhere yet. Safe to repeat."""
        roles = ("user", "tester", "operator")
        digests = {role: keys.digest(keys.ensure(self.key_file(role))) for role in roles}
        Shell(self.ground, self._writer).make(fence)
        let_in(self.ground.api, self.ground.rendering(), digests)

    def destroy(self, fence: int) -> tuple[str, ...]:
        """All of it, with the namespace where that is ours."""
        if isinstance(self._writer, GitWriter):
            self._writer.require_unfollowed()
        return Shell(self.ground, self._writer).take_away(fence)

    def room(self, release: Release) -> Room:
        """By what the cluster's nodes, quotas and pools have left, as far as they may be read: of
        the rest the scheduler is the first to know.
        """
        live = self.ground.live()
        slot = place(live, release.digest)
        rendering = self.ground.rendering(Slot(slot, release, None, self.refusal))
        api, now = self.ground.api, datetime.now(UTC)
        wanted = (one.object for one in render_server(rendering, slot))
        also = (*changed(api, live, wanted, slot, self.ground.manager),)
        return room_of(api, rendering, slot, live, now, self.stepwise, also)

    def deploy(
        self, slot: str, release: Release, fence: int, scale: int | None = None, whole: bool = True
    ) -> None:
        """Start ``release`` in ``slot``; return when it has answered a real prompt."""
        self.ground.anchor.take(fence)
        slots, live = Slots(self.ground, self._writer, self.patience), self.ground.live()
        share = slots.share(live, Slot(slot, release), scale)
        if _serves(live, slot, release, share, whole):
            # whoever started it may have been killed before either
            self.ground.let_in(slot, live.routing, fence)
            slots.tidy(live, slot, fence)
            return
        what = Slot(slot, release, self.markers(release), self.refusal)
        slots.start(live, what, scale, fence, whole)

    def expose(
        self, weights: Mapping[str, int], fence: int, mirror: Mapping[str, int] | None = None
    ) -> None:
        """Write the route, whole; return when the gateway follows it. Then Git is told."""
        ground, mirror = self.ground, mirror or {}
        ground.anchor.take(fence)
        live = ground.live()
        states = {name: str(one.state) for name, one in _slots(live).items()}
        require_possible(weights, mirror, states)
        known = [slot for slot in live.routing.slots if slot in states]
        slots = tuple(dict.fromkeys((*known, *weights)))
        routing = Routing(slots, weights, mirror)
        ground.write(routing, fence)
        ground.await_accepted()
        if ground.settings.git is not None:
            ground.hold(routing, fence)
        self._tell(routing, fence)

    def measure(self, slot: str) -> Measured:
        """The counts of ``slot`` by Prometheus, since its Deployment was made."""
        live = self.ground.live()
        return self._meter(live, slot).measure(_read_by_now(live, slot))

    def watch(self, on: bool, fence: int) -> None:
        """Keep a watcher of this environment running, or no longer. It is in no Git: it comes and
        goes with a rollout.
        """
        ground = self.ground
        ground.anchor.take(fence)
        what, direct = self.watching(ground.rendering()), DirectWriter(ground.api, ground.anchor)
        if on:
            ground.api.apply(what.secret)
            direct.put(what.objects, fence, "a rollout is watched")
        keep = {one.name for one in what.objects} if on else set()
        maps = ground.api.list("ConfigMap", ground.namespace, ground.ours | COMPONENT)
        old = [("ConfigMap", name_of(one)) for one in maps if name_of(one) not in keep]
        names = old if on else [*what.goes, *old]
        direct.take_away(names, fence, "nothing is watched any more")

    def retire(self, slot: str, deadline: float, fence: int) -> int | None:
        """Let ``slot`` drain for at most ``deadline`` seconds, then go; requests that were cut.
        None where Prometheus cannot say.
        """
        self.ground.anchor.take(fence)
        live = self.ground.live()
        if live.routing.weights.get(slot):
            place = f"{self.ground.environment}/{slot}"
            raise GreenlightError(f"{place} has traffic: it is not retired")
        asked = [name_of(pod) for pod in ready_pods(live, slot)]
        Slots(self.ground, self._writer, self.patience).stop(live, slot, deadline, fence)
        if not asked or slot not in live.slots:
            return 0
        try:
            return self._meter(live, slot).taken(asked)
        except GreenlightError:
            return None

    def endpoint(self, slot: str) -> Endpoint:
        """The gateway, pinned to ``slot``, with what is asked marked as synthetic."""
        return Endpoint(
            url=self.ground.address(self.ground.live()),
            headers={
                "Authorization": f"Bearer {keys.read(self.key_file('tester'))}",
                "x-greenlight-slot": slot,
                "x-greenlight-synthetic": "1",
            },
            model=self.ground.application,
        )

    @cached_property
    def _writer(self) -> Writer:
        """By Git where the environment says so, else at once."""
        ground = self.ground
        if ground.settings.git is None:
            return DirectWriter(ground.api, ground.anchor)

        def patch(kind: str, name: str, namespace: str, what: Mapping[str, Any]) -> None:
            ground.api.patch(kind, name, namespace, what)

        return git_writer(ground.rendering(), self.state.work, ground.api.get, patch)

    def _tell(self, routing: Routing, fence: int) -> None:
        """Let Git say which slot is live. That it cannot be told now holds nothing up: the traffic
        is where it should be, and ``status`` says what Git does not know.
        """
        live = [slot for slot, weight in routing.weights.items() if weight == ALL]
        if not live:
            return
        settled = Routing(routing.slots, {live[0]: ALL})
        anchor, said = self.ground.anchor, None
        try:
            self._writer.tell(self.ground.route(settled), f"{live[0]} is live")
        except GitNotTold as error:
            said = str(error)
        lease = anchor.lease()
        if said or (lease and UNTOLD in notes(lease)):
            anchor.mark("Lease", anchor.name, {UNTOLD: said}, fence)

    def _meter(self, live: Live, slot: str) -> Meter:
        if slot not in live.slots:
            environment = self.ground.environment
            raise GreenlightError(f"{environment}: no counts of {slot}, which is not there")
        place = Place(self.ground.namespace, self.ground.application, slot)
        return self._prometheus.meter(place, _made(live.slots[slot]))

    @cached_property
    def _prometheus(self) -> Prometheus:
        url = self.ground.settings.measured_at
        if url is None:
            path = f"environments.{self.ground.environment}.kubernetes.prometheus"
            expected = "where Prometheus answers: without its counts no rollout is judged"
            raise BadInput(Problem(expected, "nothing", "Give its URL.", path=path))
        return Prometheus(url, remembered=self.remembered)


def _slots(live: Live) -> Mapping[str, SlotFacts]:
    return target_facts(live, "").slots


def _serves(live: Live, slot: str, release: Release, share: int, whole: bool) -> bool:
    found = _slots(live).get(slot)
    if found is None or (found.release, found.state) != (release.digest, "ready"):
        return False
    return found.share >= share and (found.whole or not whole)


def _read_by_now(live: Live, slot: str) -> list[str] | None:
    """Pods that Prometheus has had the time to find; None while there is none of them."""
    before = time.time() - FRESH_SECONDS
    pods = [pod for pod in ready_pods(live, slot) if (ready_since(pod) or 0) < before]
    return [name_of(pod) for pod in pods] or None


def _made(one: Mapping[str, Any]) -> float:
    """When an object was made, in epoch seconds."""
    return datetime.fromisoformat(one["metadata"]["creationTimestamp"]).timestamp()
