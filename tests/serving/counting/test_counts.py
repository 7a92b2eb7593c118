"""Counting: fixed buckets, and one ending for each request."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.rollout_section import LATENCY_MEASURED_UP_TO, MEASURED_UP_TO
from serving.counting.counts import (
    FIRST_TOKEN,
    INTER_TOKEN,
    LATENCY,
    Ending,
    Histogram,
    SlotCounts,
)
from serving.counting.visits import Visit

SECONDS = st.one_of(st.floats(0, 100), st.sampled_from(LATENCY))


@given(st.lists(SECONDS, max_size=30))
def test_a_bucket_counts_all_that_is_at_or_below_its_bound(observed: list[float]) -> None:
    histogram = Histogram(LATENCY)
    for seconds in observed:
        histogram.observe(seconds)

    assert histogram.snapshot() == {
        "count": len(observed),
        "sum": pytest.approx(sum(observed)),
        "buckets": [[bound, sum(s <= bound for s in observed)] for bound in LATENCY],
    }


def test_a_limit_may_be_as_high_as_its_histogram_goes() -> None:
    """Above the last bound nothing is told apart, so such a limit is refused where it is read."""
    assert LATENCY[-1] == FIRST_TOKEN[-1] == LATENCY_MEASURED_UP_TO
    assert INTER_TOKEN[-1] == MEASURED_UP_TO["inter_token_p95_seconds"]


@pytest.mark.parametrize("ending", Ending)
def test_a_request_is_counted_once_by_its_first_ending(ending: Ending) -> None:
    counts = SlotCounts()

    async def visit() -> None:
        one = Visit("blue", "r", True, counts)
        one.end(ending)
        one.end(Ending.ERROR)

    asyncio.run(visit())

    assert (counts.requests, counts.synthetic) == (1, 1)
    assert counts.endings == dict.fromkeys(Ending, 0) | {ending: 1}


def test_only_whole_answers_have_a_latency() -> None:
    """A quick failure must not make a slot look fast."""
    counts = SlotCounts()

    async def visits() -> None:
        for ending in Ending:
            Visit("blue", "r", False, counts).end(ending)

    asyncio.run(visits())

    assert counts.snapshot(0)["requests"] == len(Ending)
    assert counts.latency.snapshot()["count"] == 1
