"""What a run took, on the clock and of the processors, and how several of them are told."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Collection
from typing import TypeVar

Took = tuple[float, float]
"""Seconds on the clock, seconds of CPU."""

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[Took, T]:
    """One run of what starts processes and waits for them, and what it gave. CPU is the user and
    system time of those processes, not of this one.
    """
    before, started = _children(), time.perf_counter()
    given = work()
    return (time.perf_counter() - started, _children() - before), given


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def spread(numbers: Collection[float], form: str = ".2f") -> str:
    """The median, and the lowest and the highest."""
    middle, low, high = (
        format(one, form) for one in (statistics.median(numbers), min(numbers), max(numbers))
    )
    return f"{middle} ({low} to {high})"
