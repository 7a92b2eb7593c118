"""One request inside one slot, from the choice of the slot to its ending; and all of them."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from serving.counting.answers import ANSWER_BYTES, Answer
from serving.counting.counts import Ending, MirrorCounts, SlotCounts

TICK_SECONDS = 0.02
"""How often something that waits looks again: shorter than a person or a probe notices."""


class Stay(ABC):
    """Being in flight inside a slot, for whatever purpose."""

    def __init__(self, slot: str, release: str, limit: int) -> None:
        self.slot, self.release, self.answer = slot, release, Answer(limit)
        self.fuse = asyncio.timeout(None)
        self.begun: web.StreamResponse | None = None
        """The stream that has begun to arrive where it was asked for."""
        self.ended: Ending | None = None
        self.left = asyncio.Event()
        """Set once the slot is no longer visited."""
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()

    @property
    def seconds(self) -> float:
        """Since the slot was chosen."""
        return self._loop.time() - self._started

    def end(self, ending: Ending) -> None:
        """Count the stay as ended; what happens to it afterwards no longer matters."""
        if self.ended is None:
            self.ended = ending
            self._count(ending)

    def cut(self) -> bool:
        """Break it off: whoever waits inside ``fuse`` gets a TimeoutError.

        True when that takes an answer from somebody.
        """
        if not self.fuse.expired():
            self.fuse.reschedule(self._loop.time())
        return self.ended is None

    def begin(self, response: web.StreamResponse) -> None:
        """The answer is a stream, and its first bytes are here."""
        self.begun = response

    def waited(self, seconds: float) -> None:  # noqa: B027 - only a visit is timed so closely
        """So long did the slot let its stream wait for the next chunk."""

    @abstractmethod
    def _count(self, ending: Ending) -> None:
        """Count how it ended, once."""


class Visit(Stay):
    """A caller's request. ``refuses`` says whether an answer is a refusal."""

    def __init__(
        self,
        slot: str,
        release: str,
        synthetic: bool,
        counts: SlotCounts,
        refuses: Callable[[Answer], bool] = lambda _: False,
        limit: int = ANSWER_BYTES,
    ) -> None:
        super().__init__(slot, release, limit)
        self._synthetic, self._counts, self._refuses = synthetic, counts, refuses

    def begin(self, response: web.StreamResponse) -> None:
        """As of any stay, and timed."""
        super().begin(response)
        self._counts.streams += 1
        self._counts.first_token.observe(self.seconds)

    def waited(self, seconds: float) -> None:
        """Count it as a time between two chunks."""
        self._counts.inter_token.observe(seconds)

    def _count(self, ending: Ending) -> None:
        self._counts.requests += 1
        self._counts.synthetic += self._synthetic
        self._counts.endings[ending] += 1
        if ending is Ending.WHOLE:
            self._counts.latency.observe(self.seconds)
            self._counts.refused += self._refuses(self.answer)


class Copy(Stay):
    """A mirrored request, which nobody waits for: only ``counts`` know of it."""

    def __init__(self, slot: str, release: str, counts: MirrorCounts, limit: int) -> None:
        super().__init__(slot, release, limit)
        self._counts = counts

    def cut(self) -> bool:
        """As of any stay; but no answer is taken from anybody."""
        super().cut()
        return False

    def _count(self, ending: Ending) -> None:
        if ending in (Ending.CUT, Ending.ABANDONED):
            self._counts.dropped += 1
            return
        self._counts.requests += 1
        self._counts.errors += ending in (Ending.ERROR, Ending.TRUNCATED)
        if ending is Ending.WHOLE:
            self._counts.latency.observe(self.seconds)


class Stays:
    """All that is in flight, in every slot of this process."""

    def __init__(self) -> None:
        self._stays: set[Stay] = set()

    @contextmanager
    def inside(self, stay: Stay) -> Iterator[None]:
        """``stay`` is in flight until the block is left."""
        self._stays.add(stay)
        try:
            yield
        finally:
            self._stays.discard(stay)
            stay.left.set()

    def in_flight(self, slot: str | None = None) -> int:
        """How many requests and copies are under way in ``slot``, or in all of them."""
        return len(self._in(slot))

    def cut(self, slot: str | None = None) -> int:
        """Break off all that is in ``slot``, or in all; how many answers that took from callers."""
        return sum(stay.cut() for stay in self._in(slot))

    async def until_empty(self, seconds: float, slot: str | None = None) -> None:
        """Return when nothing is in flight in ``slot``, or in all, or ``seconds`` have passed."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self.in_flight(slot) and loop.time() < end:  # noqa: ASYNC110 - two reasons to end
            await asyncio.sleep(TICK_SECONDS)

    def _in(self, slot: str | None) -> list[Stay]:
        return [stay for stay in self._stays if slot in (None, stay.slot)]


def hang_up(request: web.Request, begun: web.StreamResponse) -> web.StreamResponse:
    """Close the caller's connection in the middle of the answer, for all to see."""
    if request.transport is not None:
        request.transport.close()
    return begun
