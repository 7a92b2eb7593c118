"""What happened in each slot, counted where the caller would notice it.

A request is counted when it ends, and just before its caller can know that, so that whoever
has an answer in hand finds it in the counts.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate

# Bucket bounds in seconds. OpenTelemetry's semantic conventions for generative AI advise doubling
# ones for gen_ai.server.request.duration; each is cut in four here, since a rollout compares two
# quantiles that are read from them. The same for time_to_first_token, from its least bound on, and
# those of time_per_output_token with two above, so that a stall has a bucket.
LATENCY = tuple(round(0.01 * 2 ** (step / 4), 5) for step in range(53))
FIRST_TOKEN = (*(0.001, 0.005), *LATENCY)
INTER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)


class Ending(Enum):
    """How a request inside a slot ended; each has exactly one."""

    WHOLE = "whole"
    """A 2xx answer, complete. Only these have a latency."""
    DECLINED = "declined"
    """The application answered 3xx or 4xx: the caller's doing, not the slot's."""
    ERROR = "error"
    """A 5xx, no connection, or an answer that never became one."""
    TRUNCATED = "truncated"
    """A stream that ended without ``data: [DONE]``."""
    CUT = "cut"
    """Closed by a drain at its deadline, or by our own end."""
    ABANDONED = "abandoned"
    """The caller hung up first."""


def ending_of(status: int) -> Ending:
    """How a whole answer with this ``status`` ended its request."""
    if status >= 500:
        return Ending.ERROR
    return Ending.WHOLE if status < 300 else Ending.DECLINED


class Histogram:
    """Observations in fixed buckets; a bucket counts all that is at or below its bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        """Seconds in all."""

    def observe(self, seconds: float) -> None:
        """Add one observation."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.sum += seconds

    @property
    def count(self) -> int:
        """Of all observations."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound with the number of observations at or below it; +Inf is left to count."""
        return list(zip(self._bounds, accumulate(self._counts), strict=False))

    def add(self, other: Histogram) -> None:
        """Count what ``other``, of the same bounds, has observed as well."""
        self._counts = [
            mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)
        ]
        self.sum += other.sum

    def snapshot(self) -> dict[str, object]:
        """``{"count", "sum", "buckets": [[le, cumulative count], ...]}``."""
        buckets = [list(pair) for pair in self.cumulative()]
        return {"count": self.count, "sum": self.sum, "buckets": buckets}


@dataclass
class MirrorCounts:
    """Copies that one slot got. Some cannot be compared: ``same`` and ``different`` may not
    add up to ``requests``."""

    requests: int = 0
    errors: int = 0
    """No whole answer: a 5xx, no connection, or one that broke off."""
    same: int = 0
    different: int = 0
    dropped: int = 0
    """Nothing is known of them: never sent, because the slot was away or had too many; cut by a
    drain; or left by who had sent them."""
    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY))

    def snapshot(self) -> dict[str, object]:
        """The counts as the admin API shows them."""
        numbers = ("requests", "errors", "same", "different", "dropped")
        shown: dict[str, object] = {name: getattr(self, name) for name in numbers}
        return shown | {"latency_seconds": self.latency.snapshot()}

    def compare(self, said: bytes | None, copied: bytes | None) -> None:
        """Count whether both are the same, where both are known."""
        if said is not None and copied is not None:
            self.same += said == copied
            self.different += said != copied


@dataclass
class SlotCounts:
    """All that ended under one release in one slot since the gateway started; it only grows."""

    requests: int = 0
    streams: int = 0
    synthetic: int = 0
    refused: int = 0
    """Whole answers that hold a refusal: the application's own way of saying no."""
    endings: dict[Ending, int] = field(default_factory=lambda: dict.fromkeys(Ending, 0))
    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY))
    first_token: Histogram = field(default_factory=lambda: Histogram(FIRST_TOKEN))
    inter_token: Histogram = field(default_factory=lambda: Histogram(INTER_TOKEN))

    def add(self, other: SlotCounts) -> None:
        """Count what ``other`` has counted as well."""
        for name in ("requests", "streams", "synthetic", "refused"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for ending in Ending:
            self.endings[ending] += other.endings[ending]
        for name in ("latency", "first_token", "inter_token"):
            getattr(self, name).add(getattr(other, name))

    def snapshot(self, in_flight: int) -> dict[str, object]:
        """The counts as the admin API shows them."""
        return {
            "in_flight": in_flight,
            "requests": self.requests,
            "errors": self.endings[Ending.ERROR],
            "truncated": self.endings[Ending.TRUNCATED],
            "cut": self.endings[Ending.CUT],
            "declined": self.endings[Ending.DECLINED],
            "abandoned": self.endings[Ending.ABANDONED],
            "refused": self.refused,
            "streams": self.streams,
            "synthetic": self.synthetic,
            "latency_seconds": self.latency.snapshot(),
            "first_token_seconds": self.first_token.snapshot(),
            "inter_token_seconds": self.inter_token.snapshot(),
        }
