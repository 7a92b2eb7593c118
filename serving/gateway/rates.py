"""How often a key may ask: a token bucket each, in memory.

A bucket holds ``burst`` requests and gets ``per_second`` back. A restart of the gateway fills
them all: what it costs is one burst, and what it saves is a write for each request.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from serving.gateway.callers import Caller, Rate
from serving.gateway.errors import ApiError

LIMIT, REMAINING, RESET = (
    f"x-ratelimit-{what}-requests" for what in ("limit", "remaining", "reset")
)


@dataclass(frozen=True)
class Bucket:
    """So many ``tokens`` at the moment ``at``, in seconds of any steady clock."""

    tokens: float
    at: float


def refill(bucket: Bucket, rate: Rate, now: float) -> Bucket:
    """The bucket at ``now``, never fuller than a burst."""
    gained = max(0.0, now - bucket.at) * rate.per_second
    return Bucket(min(float(rate.burst), bucket.tokens + gained), now)


def headers(bucket: Bucket, rate: Rate) -> dict[str, str]:
    """What a client may know of its bucket, under OpenAI's names; ``reset`` is until full."""
    return {
        LIMIT: str(rate.burst),
        REMAINING: str(int(bucket.tokens)),
        RESET: f"{(rate.burst - bucket.tokens) / rate.per_second:.3f}s",
    }


class Rates:
    """The buckets of all callers that have a rate. ``clock`` counts seconds steadily."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[Rate, Bucket]] = {}
        self.limited: Counter[str] = Counter()
        """Requests that were turned away, by caller's name."""

    def take(self, caller: Caller) -> Mapping[str, str]:
        """Let ``caller`` ask once: headers for the answer, or ApiError 429 with when to retry."""
        rate, now = caller.rate, self._clock()
        if rate is None:
            return {}
        bucket = refill(self._bucket(caller.name, rate, now), rate, now)
        if bucket.tokens < 1:
            self.limited[caller.name] += 1
            raise _too_many(bucket, rate)
        bucket = Bucket(bucket.tokens - 1, now)
        self._buckets[caller.name] = rate, bucket
        return headers(bucket, rate)

    def _bucket(self, name: str, rate: Rate, now: float) -> Bucket:
        """The bucket of a caller; a full one after the rate was changed."""
        known, bucket = self._buckets.get(name, (None, None))
        return bucket if bucket is not None and known == rate else Bucket(rate.burst, now)


def _too_many(bucket: Bucket, rate: Rate) -> ApiError:
    seconds = (1 - bucket.tokens) / rate.per_second
    return ApiError(
        429,
        "rate_limit_exceeded",
        f"This key may ask {rate.per_second:g} times a second, {rate.burst} at once."
        f" Try again in {seconds:.3f} s.",
        headers={"Retry-After": str(math.ceil(seconds)), **headers(bucket, rate)},
    )
