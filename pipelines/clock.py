"""Time, as whoever waits for something sees it: one place, so that tests can bring their own."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """``monotonic`` counts seconds and is never set; ``time`` is seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""

    def time(self) -> float:
        """Seconds since the epoch, as people see it."""

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""


class SystemClock:
    """This machine's."""

    def monotonic(self) -> float:
        """The kernel's monotonic clock."""
        return time.monotonic()

    def time(self) -> float:
        """The kernel's clock, which somebody may set."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait for that long."""
        await asyncio.sleep(seconds)


SYSTEM: Clock = SystemClock()
