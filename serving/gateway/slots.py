"""The slots as they are now: who is ready, who is being visited, and how visits ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from serving.gateway.counts import MirrorCounts, SlotCounts
from serving.gateway.limits import TICK_SECONDS, Limits
from serving.gateway.routes import SlotName
from serving.gateway.settings import Refusals
from serving.gateway.visits import Copy, Endpoint, Stay, Visit
from serving.gateway.watched import Watched


class Endpoints(BaseModel):
    """``endpoints.json``."""

    model_config = ConfigDict(frozen=True)

    slots: Mapping[SlotName, Endpoint]


class Slots:
    """What the supervisor says of the slots, and the visits that we make to them."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._refusals = Refusals(folder)
        self._file = Watched(folder / "endpoints.json", Endpoints)
        self._counts: defaultdict[tuple[str, str], SlotCounts] = defaultdict(SlotCounts)
        self.mirrors: defaultdict[str, MirrorCounts] = defaultdict(MirrorCounts)
        """Counts of the copies that each slot got, or should have got."""
        self._visits: defaultdict[str, set[Stay]] = defaultdict(set)
        self._draining: list[str] = []

    def endpoints(self) -> Mapping[str, Endpoint]:
        """All slots now; none while the supervisor's file is absent or damaged."""
        found = self._file.get()
        return found.slots if found is not None else {}

    def problem(self) -> str:
        """What is wrong with the supervisor's file; empty when nothing is."""
        return self._file.problem

    def socket(self, endpoint: Endpoint) -> str:
        """The path of the endpoint's socket, as short as the environment's folder allows."""
        return str(self._folder / endpoint.socket)

    def is_draining(self, slot: str) -> bool:
        """Whether somebody waits for ``slot`` to become empty."""
        return slot in self._draining

    @contextmanager
    def visit(self, slot: str, endpoint: Endpoint, synthetic: bool) -> Iterator[Visit]:
        """Be inside ``slot``: in flight until the block is left."""
        counts, limit = self._counts[slot, endpoint.release], self._limits.answer_bytes
        visit = Visit(slot, endpoint, synthetic, counts, self._refusals.held_by, limit)
        with self._inside(visit):
            yield visit

    @contextmanager
    def copy(self, slot: str, endpoint: Endpoint) -> Iterator[Copy]:
        """Be inside ``slot`` with a mirrored request: in flight, and in the mirror's counts."""
        copy = Copy(slot, endpoint, self.mirrors[slot], self._limits.answer_bytes)
        with self._inside(copy):
            yield copy

    @contextmanager
    def _inside(self, stay: Stay) -> Iterator[None]:
        self._visits[stay.slot].add(stay)
        try:
            yield
        finally:
            self._visits[stay.slot].discard(stay)
            stay.left.set()

    @contextmanager
    def draining(self, slot: str) -> Iterator[None]:
        """Keep pinned callers out of ``slot``; the mark goes with whoever set it."""
        self._draining.append(slot)
        try:
            yield
        finally:
            self._draining.remove(slot)

    def in_flight(self, slot: str | None = None) -> int:
        """How many requests and copies are under way in ``slot``, or in all of them."""
        return len(self._visiting(slot))

    def cut(self, slot: str | None = None) -> int:
        """Break off all that is in ``slot``, or in all; how many answers that took from callers."""
        return sum(stay.cut() for stay in self._visiting(slot))

    async def until_empty(self, seconds: float, slot: str | None = None) -> None:
        """Return when nothing is in flight in ``slot``, or in all, or ``seconds`` have passed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.in_flight(slot) and loop.time() < end:  # noqa: ASYNC110 - two reasons to end
            await asyncio.sleep(TICK_SECONDS)

    def _visiting(self, slot: str | None) -> list[Stay]:
        slots = self._visits if slot is None else [slot]
        return [stay for name in slots for stay in self._visits.get(name, ())]

    def by_release(self) -> dict[tuple[str, str], SlotCounts]:
        """The counts of every slot and release that is, or was since the gateway's start."""
        now = {(name, endpoint.release) for name, endpoint in self.endpoints().items()}
        return {key: self._counts[key] for key in sorted(now | self._counts.keys())}

    def by_slot(self) -> dict[str, SlotCounts]:
        """As ``by_release``, summed up: a slot's counts only grow, whatever it serves."""
        sums: defaultdict[str, SlotCounts] = defaultdict(SlotCounts)
        for (slot, _), counts in self.by_release().items():
            sums[slot].add(counts)
        return dict(sums) | {slot: SlotCounts() for slot in self.mirrors if slot not in sums}

    def snapshot(self) -> dict[str, object]:
        """The counts of every slot as the admin API shows them."""
        return {
            slot: counts.snapshot(self.in_flight(slot)) | {"mirror": self.mirrors[slot].snapshot()}
            for slot, counts in self.by_slot().items()
        }


def ready(endpoints: Mapping[str, Endpoint]) -> set[str]:
    """The slots whose application is able to answer."""
    return {name for name, endpoint in endpoints.items() if endpoint.ready}
