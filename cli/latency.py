"""Percentiles out of a slot's histogram, where its counts have one.

Targets of older versions count a sum and a number only; then there is nothing to say, and that
is what is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

NAMES = ("latency_seconds", "latency")


def percentiles(
    counts: Mapping[str, Any], before: Mapping[str, Any] | None, shares: Sequence[int]
) -> dict[str, float] | None:
    """``{"p50": seconds, ...}`` of what ended since ``before``, of all when nothing did.

    None without a histogram. Linear within a bucket, as Prometheus' histogram_quantile; what lies
    above the last bound is told as that bound.
    """
    now = _buckets(counts)
    if not now or now[-1][1] <= 0:
        return None
    then = dict(_buckets(before or {}))
    fresh = [(bound, number - then.get(bound, 0)) for bound, number in now]
    steady = all(low[1] <= high[1] for low, high in pairwise([(0.0, 0), *fresh]))
    used = fresh if steady and fresh[-1][1] > 0 else now
    return {f"p{share}": _quantile(used, share) for share in shares}


def _buckets(counts: Mapping[str, Any]) -> list[tuple[float, int]]:
    """Bounds with cumulative counts, the last of which is everything."""
    named = (counts.get(name) for name in NAMES)
    found: Mapping[str, Any] = next((one for one in named if isinstance(one, Mapping)), {})
    buckets = [(float(bound), int(number)) for bound, number in found.get("buckets", ())]
    if buckets:
        buckets.append((float("inf"), int(found.get("count", buckets[-1][1]))))
    return buckets


def _quantile(buckets: Sequence[tuple[float, int]], share: int) -> float:
    rank = buckets[-1][1] * share / 100
    low, below = 0.0, 0
    for bound, number in buckets:
        if number >= rank:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (rank - below) / max(1, number - below)
        low, below = bound, number
    return low
