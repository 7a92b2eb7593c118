"""One request inside one slot, from the choice of the slot to its ending."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from serving.gateway.answers import Answer
from serving.gateway.counts import Ending, MirrorCounts, SlotCounts
from serving.gateway.limits import Limits


class Endpoint(BaseModel):
    """Where a slot's application listens, which release it serves, whether it can."""

    model_config = ConfigDict(frozen=True)

    socket: str
    release: str
    ready: bool


class Stay(ABC):
    """Being in flight inside a slot, for whatever purpose."""

    def __init__(self, slot: str, endpoint: Endpoint, limit: int) -> None:
        self.slot, self.endpoint, self.answer = slot, endpoint, Answer(limit)
        self.fuse = asyncio.timeout(None)
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

    @abstractmethod
    def _count(self, ending: Ending) -> None:
        """Count how it ended, once."""


class Visit(Stay):
    """A caller's request. ``refuses`` says whether an answer is a refusal."""

    def __init__(
        self,
        slot: str,
        endpoint: Endpoint,
        synthetic: bool,
        counts: SlotCounts,
        refuses: Callable[[Answer], bool] = lambda _: False,
        limit: int = Limits.answer_bytes,
    ) -> None:
        super().__init__(slot, endpoint, limit)
        self.begun: web.StreamResponse | None = None
        """The stream that the caller has begun to receive."""
        self._synthetic, self._counts, self._refuses = synthetic, counts, refuses

    def begin(self, response: web.StreamResponse) -> None:
        """The answer is a stream, and its first bytes are here."""
        self.begun = response
        self._counts.streams += 1
        self._counts.first_token.observe(self.seconds)

    def waited(self, seconds: float) -> None:
        """So long did the slot let its stream wait for the next chunk."""
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

    def __init__(self, slot: str, endpoint: Endpoint, counts: MirrorCounts, limit: int) -> None:
        super().__init__(slot, endpoint, limit)
        self._counts = counts

    def cut(self) -> bool:
        """As of any stay; but no answer is taken from anybody."""
        super().cut()
        return False

    def _count(self, ending: Ending) -> None:
        if ending is Ending.CUT:
            self._counts.dropped += 1
            return
        self._counts.requests += 1
        self._counts.errors += ending in (Ending.ERROR, Ending.TRUNCATED)
        if ending is Ending.WHOLE:
            self._counts.latency.observe(self.seconds)
