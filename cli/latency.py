"""Percentiles out of a slot's counts as ``status`` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.analysis import quantile
from pipelines.targets.base import Histogram


def percentiles(
    counts: Mapping[str, Any], before: Mapping[str, Any] | None, shares: Sequence[int]
) -> dict[str, float] | None:
    """``{"p50": seconds, ...}`` of what ended since ``before``, of all when nothing did.

    None where nothing ended at all.
    """
    now, then = _histogram(counts), _histogram(before) if before else Histogram()
    if now.count <= then.count:  # nothing new, or a gateway that started again
        then = Histogram()
    found = {f"p{share}": quantile(share / 100, then, now) for share in shares}
    return {name: value for name, value in found.items() if value is not None} or None


def _histogram(counts: Mapping[str, Any]) -> Histogram:
    found = counts["latency"]
    return Histogram(tuple((bound, number) for bound, number in found["buckets"]), found["count"])
