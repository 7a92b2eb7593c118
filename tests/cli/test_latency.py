"""Percentiles from a histogram of counts that only grow."""

from __future__ import annotations

from typing import Any

import pytest

from cli.latency import percentiles


def counts(*numbers: int, rest: int = 0) -> dict[str, Any]:
    """Cumulative ``numbers`` at 0.1, 0.5 and 1 second, and ``rest`` above."""
    buckets = list(zip((0.1, 0.5, 1.0), numbers, strict=True))
    return {"latency": {"count": numbers[-1] + rest, "sum": 1.0, "buckets": buckets}}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any] | None, dict[str, float] | None]] = {
    "in the middle of a bucket": (counts(0, 20, 40), None, {"p50": 0.5, "p95": 0.95}),
    "only what is new": (counts(0, 20, 50), counts(0, 20, 40), {"p50": 0.75, "p95": 0.975}),
    "nothing new": (counts(0, 20, 40), counts(0, 20, 40), {"p50": 0.5, "p95": 0.95}),
    "a gateway that started again": (
        counts(0, 2, 4), counts(0, 20, 40), {"p50": 0.5, "p95": 0.95}
    ),
    "above the last bound": (counts(0, 0, 0, rest=9), None, {"p50": 1.0, "p95": 1.0}),
    "no request yet": (counts(0, 0, 0), None, None),
}  # fmt: skip


@pytest.mark.parametrize(("now", "before", "expected"), CASES.values(), ids=CASES.keys())
def test_percentiles_are_of_what_ended_since(
    now: dict[str, Any], before: dict[str, Any] | None, expected: dict[str, float] | None
) -> None:
    """What cannot be known is None, never a zero."""
    found = percentiles(now, before, (50, 95))

    assert (found is None) == (expected is None)
    assert found is None or found == pytest.approx(expected)
