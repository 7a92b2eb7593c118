"""The slots as they are now: who is ready, who is being visited, and how visits ended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from serving.gateway.answers import Answer
from serving.gateway.counts import Ending, SlotCounts
from serving.gateway.limits import TICK_SECONDS, Limits
from serving.gateway.routes import SlotName
from serving.gateway.settings import Refusals
from serving.gateway.watched import Watched


class Endpoint(BaseModel):
    """Where a slot's application listens, which release it serves, whether it can."""

    model_config = ConfigDict(frozen=True)

    socket: str
    release: str
    ready: bool


class Endpoints(BaseModel):
    """``endpoints.json``."""

    model_config = ConfigDict(frozen=True)

    slots: Mapping[SlotName, Endpoint]


class Visit:
    """One request inside one slot, from the choice of the slot to its ending."""

    def __init__(
        self,
        slot: str,
        endpoint: Endpoint,
        synthetic: bool,
        counts: SlotCounts,
        refuses: Callable[[Answer], bool] = lambda _: False,
        limit: int = Limits.answer_bytes,
    ) -> None:
        self.slot, self.endpoint, self.answer = slot, endpoint, Answer(limit)
        self.fuse = asyncio.timeout(None)
        self.begun: web.StreamResponse | None = None
        """The stream that the caller has begun to receive."""
        self.ended: Ending | None = None
        self._synthetic, self._counts, self._refuses = synthetic, counts, refuses
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    def begin(self, response: web.StreamResponse) -> None:
        """The answer is a stream, and its first bytes are here."""
        self.begun = response
        self._counts.streams += 1
        self._counts.first_token.observe(self._loop.time() - self._started)

    def waited(self, seconds: float) -> None:
        """So long did the slot let its stream wait for the next chunk."""
        self._counts.inter_token.observe(seconds)

    def end(self, ending: Ending) -> None:
        """Count the visit as ended; what happens to it afterwards no longer matters."""
        if self.ended is not None:
            return
        self.ended = ending
        self._counts.requests += 1
        self._counts.synthetic += self._synthetic
        self._counts.endings[ending] += 1
        if ending is Ending.WHOLE:
            self._counts.latency.observe(self._loop.time() - self._started)
            self._counts.refused += self._refuses(self.answer)

    def cut(self) -> None:
        """Break the visit off: whoever waits inside ``fuse`` gets a TimeoutError."""
        if not self.fuse.expired():
            self.fuse.reschedule(self._loop.time())


class Slots:
    """What the supervisor says of the slots, and the visits that we make to them."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._refusals = Refusals(folder)
        self._file = Watched(folder / "endpoints.json", Endpoints)
        self._counts: defaultdict[str, SlotCounts] = defaultdict(SlotCounts)
        self._visits: defaultdict[str, set[Visit]] = defaultdict(set)
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
        counts, limit = self._counts[slot], self._limits.answer_bytes
        visit = Visit(slot, endpoint, synthetic, counts, self._refusals.held_by, limit)
        self._visits[slot].add(visit)
        try:
            yield visit
        finally:
            self._visits[slot].discard(visit)

    @contextmanager
    def draining(self, slot: str) -> Iterator[None]:
        """Keep pinned callers out of ``slot``; the mark goes with whoever set it."""
        self._draining.append(slot)
        try:
            yield
        finally:
            self._draining.remove(slot)

    def in_flight(self, slot: str | None = None) -> int:
        """How many visits are under way in ``slot``, or in all of them."""
        return len(self._visiting(slot))

    def cut(self, slot: str | None = None) -> int:
        """Break off all visits to ``slot``, or to all; how many had not ended by themselves."""
        visits = self._visiting(slot)
        unfinished = sum(visit.ended is None for visit in visits)
        for visit in visits:
            visit.cut()
        return unfinished

    async def until_empty(self, seconds: float, slot: str | None = None) -> None:
        """Return when nothing is in flight in ``slot``, or in all, or ``seconds`` have passed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.in_flight(slot) and loop.time() < end:  # noqa: ASYNC110 - two reasons to end
            await asyncio.sleep(TICK_SECONDS)

    def _visiting(self, slot: str | None) -> list[Visit]:
        slots = self._visits if slot is None else [slot]
        return [visit for name in slots for visit in self._visits.get(name, ())]

    def snapshot(self) -> dict[str, object]:
        """The counts of every slot that is, or was since the gateway's start."""
        names = sorted({*self.endpoints(), *self._counts})  # it may be gone, and still counted
        return {name: self._counts[name].snapshot(self.in_flight(name)) for name in names}


def ready(endpoints: Mapping[str, Endpoint]) -> set[str]:
    """The slots whose application is able to answer."""
    return {name for name, endpoint in endpoints.items() if endpoint.ready}
