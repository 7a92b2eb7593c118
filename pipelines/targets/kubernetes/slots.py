"""A slot's life in a cluster: started, ready, drained, and what it leaves taken away."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from manifests.model import Rendering, Slot
from manifests.render import Rendered, render_slot
from pipelines.capacity import ALL
from pipelines.targets.base import DeployFailedError
from pipelines.targets.kubernetes.facts import (
    APPLICATION,
    FAILED,
    RELEASE,
    SHARE,
    SLOT,
    Live,
    available,
    is_current,
    moved,
    name_of,
    notes,
    reason_of,
    server_short,
    why_short,
)
from pipelines.targets.kubernetes.ground import POLL_SECONDS, Ground
from pipelines.targets.kubernetes.leftovers import OF_A_SLOT, draining, left_over, unneeded
from pipelines.targets.kubernetes.reasons import ENDS, Reason
from pipelines.targets.kubernetes.writer import Writer
from release.bundle import Release
from release.errors import GreenlightError, Waiting
from release.kubernetes_section import Patch

GONE_SECONDS = 60.0
"""Beyond its grace, for a pod to be gone."""

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Patience:
    """Seconds. ``ready``: for a release to load. ``tolerated``: for what may pass by itself, such
    as a registry that is away, before it is a failure.
    """

    ready: float = 600.0
    tolerated: float = 30.0


@dataclass(frozen=True)
class Slots:
    """The slots of one environment."""

    ground: Ground
    writer: Writer
    patience: Patience

    def start(
        self, live: Live, what: Slot, scale: int | None, fence: int, whole: bool = True
    ) -> None:
        """``what`` beside what is ``live``, with at most ``scale`` pods of each kind; returns when
        they have answered, and ``whole``: when its model server has all of its pods too.
        """
        ground, release = self.ground, what.release
        objects = render_slot(self._scaled(live, what, scale), what.name)
        last = ("Deployment", ground.of_slot(what.name))  # what says that all is there
        objects = tuple(sorted(objects, key=lambda one: (one.kind, one.name) == last))
        self._make_way(live, objects, what.name, fence)
        self.writer.put(objects, fence, f"{release.label} in {what.name}")
        self._mark(what.name, {FAILED: None}, fence)
        ground.let_in(what.name, ground.routing(), fence)  # Git may have written it meanwhile
        self._await_ready(what, scale, fence, whole)
        self.tidy(ground.live(), what.name, fence)

    def stop(self, live: Live, slot: str, deadline: float, fence: int) -> None:
        """Let its pods go, each when it has answered what it has begun, or at ``deadline``."""
        ground = self.ground
        ground.let_out(slot, live.routing, fence)
        grace = _grace(live.slots.get(slot)) or ground.drain_seconds
        kinds = [kind for kind in OF_A_SLOT if kind != "Deployment" or slot in live.slots]
        gone = [(kind, ground.of_slot(slot)) for kind in kinds]
        self.writer.take_away(gone, fence, f"{slot} is retired")
        self._hurry(slot, grace - max(0, ground.drain_seconds - math.ceil(deadline)), grace)
        self.tidy(ground.live(), slot, fence)

    def share(self, live: Live, what: Slot, scale: int | None) -> int:
        """Per cent of the pods that ``what`` is to have, with at most ``scale`` of each kind. A
        model server that a slot beside it asks too is there in full.
        """
        if scale is None:
            return ALL
        settings = self.ground.settings
        shared = live.asking(what.server_name, what.name)
        whole = max(settings.scaling.min, 0 if shared else settings.server.replicas)
        return min(ALL, ALL * scale // whole)

    def tidy(self, live: Live, slot: str, fence: int) -> None:
        """Take away prompts that no slot mounts, and model servers that none asks any more, such as
        those of a release that was in ``slot``. While another slot drains they stay, until the next
        deploy.
        """
        names = [] if draining(live) else unneeded(live, self.ground.maps())
        if names:
            self.writer.take_away(names, fence, f"nobody needs what was in {slot}")

    def _make_way(self, live: Live, objects: Sequence[Rendered], slot: str, fence: int) -> None:
        """For an autoscaler: one of the other kind would fight it over the Deployment, and KEDA
        lets nobody make the second. And for pods: what a deploy that was cut has left may hold the
        only GPU, and its room was counted as free (``Coming.going``).
        """
        names = [(one["kind"], name_of(one)) for one in self.ground.displaced(objects, slot)]
        left = left_over(live, objects, self.ground.maps())
        if any(kind == "Deployment" for kind, _ in left):
            self._await_drained(live)
        names += left
        if names:
            self.writer.take_away(names, fence, f"it is in the way of what comes into {slot}")

    def _scaled(self, live: Live, what: Slot, scale: int | None) -> Rendering:
        """With fewer pods of its own; what the slot beside it runs on has no fewer."""
        rendering, settings = self.ground.rendering(what), self.ground.settings
        if scale is None:
            return rendering
        scaling, server = settings.scaling, settings.server
        fewer = {"min": min(scale, scaling.min), "max": min(scale, scaling.max)}
        if not live.asking(what.server_name, what.name):
            server = server.model_copy(update={"replicas": min(scale, server.replicas)})
        share = {"metadata": {"annotations": {SHARE: str(self.share(live, what, scale))}}}
        patch = Patch(kind="Deployment", name=rendering.of_slot(what.name), patch=share)
        update = {
            "patches": (*settings.patches, patch),
            "scaling": scaling.model_copy(update=fewer),
            "server": server,
        }
        return replace(rendering, settings=settings.model_copy(update=update))

    def _await_ready(self, what: Slot, scale: int | None, fence: int, whole: bool) -> None:
        """Until every pod that is asked for has answered. DeployFailedError with the reason. Each
        pod that a model server has more begins the patience anew: they may come one by one.
        """
        give_up, since, most = time.monotonic() + self.patience.ready, 0.0, 0
        while True:
            live = self.ground.live()
            one = self._still_there(live, what, fence)
            answers = self._answers(one, what.release, scale)
            short = server_short(live, one) if whole else None
            if answers and short is None:
                return
            reason = (
                why_short(live, short, what.name) if answers and short else reason_of(live, one)
            )
            now = time.monotonic()
            if short and (there := moved(short)) > most:
                most, give_up = there, now + self.patience.ready
            since = (since or now) if reason.kind == "fails" else 0.0
            lasts = bool(since) and now - since > self.patience.tolerated
            if reason.kind == "hopeless" or lasts or now > give_up:
                raise self._given_up(what, reason, fence)
            time.sleep(POLL_SECONDS)

    def _still_there(self, live: Live, what: Slot, fence: int) -> Object:
        """The slot's Deployment, which was there a moment ago."""
        one = live.slots.get(what.name)
        if one is None or "deletionTimestamp" in one["metadata"]:
            self.ground.anchor.take(fence)  # whoever has a newer fence may do so; this one ends
            raise GreenlightError(
                f"{self.ground.environment}/{what.name}: expected Deployment "
                f"{self.ground.of_slot(what.name)} in namespace {self.ground.namespace}, "
                f"which was made for {what.release.label}; found that somebody took it away. "
                "Nothing is said of the release; find out who, then run the same command again"
            )
        return one

    def _answers(self, one: Object, release: Release, scale: int | None) -> bool:
        """Whether each pod of the application has had an answer; one of the model's is enough."""
        least = self.ground.settings.scaling.min
        least = least if scale is None else min(scale, least)
        wanted = max(int(one["spec"].get("replicas", 1)), least)
        mine = notes(one).get(RELEASE) == release.digest
        return mine and is_current(one) and available(one) >= wanted

    def _given_up(self, what: Slot, reason: Reason, fence: int) -> GreenlightError:
        """What to raise. The slot keeps the reason, so that whoever looks later reads it."""
        place = f"{self.ground.environment}/{what.name}"
        text = f"{what.release.label} did not get ready in {place}: {reason.text}"
        if ends := ENDS.get(reason.kind):
            return Waiting(f"{text}. What ends it: {ends}; then the same command again")
        self._mark(what.name, {FAILED: reason.text}, fence)
        return DeployFailedError(text)

    def _mark(self, slot: str, told: Mapping[str, str | None], fence: int) -> None:
        self.ground.anchor.mark("Deployment", self.ground.of_slot(slot), told, fence)

    def _hurry(self, slot: str, wanted: int, usual: int) -> None:
        """Wait until the slot's pods are gone; they may take ``wanted`` seconds, not ``usual``."""
        give_up, told = time.monotonic() + usual + GONE_SECONDS, set[str]()
        while pods := self._pods(slot):
            if time.monotonic() > give_up:
                names = ", ".join(map(name_of, pods))
                place = f"{self.ground.environment}/{slot}"
                raise GreenlightError(f"{place} does not stop: {names} is there")
            leaving = [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
            for name in {name_of(pod) for pod in leaving if wanted < usual} - told:
                self.ground.api.delete("Pod", name, self.ground.namespace, grace=wanted)
                told.add(name)
            time.sleep(POLL_SECONDS)

    def _await_drained(self, live: Live) -> None:
        """Wait until no pod is left of a slot that has gone, as after a run that was killed while
        it waited: it may be answering, by the very model server that is in the way.
        """
        usual = max((_seconds(pod["spec"]) for pod in draining(live)), default=0)
        give_up = time.monotonic() + usual + GONE_SECONDS
        while pods := draining(live):
            if time.monotonic() > give_up:
                names = ", ".join(map(name_of, pods))
                raise GreenlightError(
                    f"{self.ground.environment}: a slot that has gone does not stop: {names} is "
                    "there, and may ask a model server that is in the way"
                )
            time.sleep(POLL_SECONDS)
            live = self.ground.live()

    def _pods(self, slot: str) -> list[dict[str, Any]]:
        its = {APPLICATION: self.ground.application, SLOT: slot}
        return self.ground.api.list("Pod", self.ground.namespace, its)


def _grace(one: Object | None) -> int:
    """Seconds that each pod of a slot has from being told to go; 0 where there is no slot."""
    return _seconds(one["spec"]["template"]["spec"]) if one else 0


def _seconds(spec: Object) -> int:
    """What a pod of ``spec`` has from being told to go."""
    return int(spec["terminationGracePeriodSeconds"])
