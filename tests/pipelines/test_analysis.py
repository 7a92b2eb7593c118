"""What a window says of green: its limits, blue beside it, blue before; never a guess."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import observe
from pipelines.analysis import (
    Finding,
    Reach,
    Side,
    Tally,
    Window,
    judge,
    judge_reach,
    quantile,
    side,
    tally,
)
from pipelines.clock import SYSTEM
from pipelines.facts import SlotFacts
from pipelines.steps import Baseline
from pipelines.targets.base import Copies, Histogram, Measured, TargetFacts
from release.errors import GreenlightError
from release.rollout_section import Analysis, Limit
from tests.pipelines.memory import VirtualClock

GOOD = Side(
    requests=100, synthetic=0, errors=0, truncated=0, refused=5,
    latency_p50_seconds=0.5, latency_p95_seconds=1.0, first_token_p95_seconds=0.2,
    inter_token_p95_seconds=0.03,
)  # fmt: skip
LIMITS = (
    Limit(metric="errors", max=0.05, max_rise=0.02),
    Limit(metric="refusals", max_rise=0.1),
    Limit(metric="latency_p95_seconds", max=5, max_change=1.0),
    Limit(metric="first_token_p95_seconds", max_change=1.0),
)
ANALYSIS = Analysis(limits=LIMITS)


def but(**changes: Any) -> Side:
    return replace(GOOD, **changes)


CASES: list[tuple[str, Side | None, Side | None, Side | None, str, str]] = [
    ("all is well", GOOD, GOOD, GOOD, "pass", ""),
    ("errors over the limit", but(errors=6), GOOD, GOOD, "fail", "the limit is 0.05"),
    ("errors above blue's", but(errors=3), GOOD, GOOD, "fail", "beside blue at most 0.02"),
    ("both have them", but(errors=9), but(errors=9), GOOD, "inconclusive", "would not cure it"),
    ("slower than blue now", but(latency_p95_seconds=2.1), GOOD, but(latency_p95_seconds=2.0),
     "fail", "beside blue at most 2"),
    ("slow as blue, but blue was quicker before: a shared model server (design)",
     but(latency_p95_seconds=2.5), but(latency_p95_seconds=2.4), GOOD,
     "fail", "against blue's baseline at most 2"),
    ("all traffic on green: its baseline is what is left", but(latency_p95_seconds=2.5), None,
     GOOD, "fail", "against blue's baseline"),
    ("nothing to compare with", but(refused=5), None, None, "inconclusive", "nothing to compare"),
    ("nobody streamed (S13)", but(first_token_p95_seconds=None), GOOD, GOOD,
     "inconclusive", "was not measured"),
    ("too few requests", but(requests=7), GOOD, GOOD, "inconclusive", "8 are needed"),
    ("no requests at all are no zero errors (S13)", but(requests=0), GOOD, GOOD,
     "inconclusive", "had 0 requests"),
    ("counts began anew: the gateway restarted", None, GOOD, GOOD, "inconclusive", "began anew"),
    ("slower than the limit, as blue is, and blue was quicker before: a shared model server",
     but(latency_p95_seconds=6.0), but(latency_p95_seconds=7.0), GOOD,
     "fail", "against blue's baseline at most 2"),
    ("both err, as blue did not before: whatever it is, it is not green alone",
     but(errors=4), but(errors=4), GOOD, "inconclusive", "would not cure it"),
    ("green hangs, and one of blue's callers hung up", but(requests=4, abandoned=4),
     but(abandoned=1), GOOD, "fail", "blue 1 of 100"),
    ("both hang", but(requests=4, abandoned=4), but(requests=4, abandoned=4), GOOD,
     "inconclusive", "8 are needed"),
    ("green hangs: nobody waits for ever", but(requests=4, abandoned=4), GOOD, GOOD,
     "fail", "unanswered"),
    ("some callers hang up, as some always do", but(abandoned=9), GOOD, GOOD, "pass", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("_", "green", "blue", "baseline", "outcome", "says"), CASES, ids=[case[0] for case in CASES]
)
def test_a_window_is_judged_by_its_worst_limit(
    _: str, green: Side | None, blue: Side | None, baseline: Side | None, outcome: str, says: str
) -> None:
    verdicts = judge(green, blue, baseline, ANALYSIS)
    window = Window("step", 50, 0.0, 10.0, False, green, blue, verdicts)

    assert window.outcome == outcome
    assert outcome == "pass" or says in "; ".join(window.reasons)


def judged(outcome: Any) -> Window:
    finding = Finding("errors", outcome, "a reason")
    return Window("step", 50, 0.0, 10.0, False, GOOD, GOOD, (finding,))


P, F, I = "pass", "fail", "inconclusive"  # noqa: E741 - as in a table of results
TALLIES = [
    ([P, P, P], 0, 4, "go on"),
    ([P, F], 0, 4, "return"),
    ([F, P, F], 2, 4, "go on"),
    ([F, P, F, F], 2, 4, "return"),
    ([I, I, I, I], 0, 4, "go on"),
    ([I, I, I, I, I], 0, 4, "ask"),
    ([I, I, I, I, P, I], 0, 4, "go on"),
    ([I], 0, 0, "ask"),
]


@pytest.mark.parametrize(("outcomes", "failures", "errors", "verdict"), TALLIES)
def test_a_limit_trips_when_it_is_exceeded_not_when_it_is_reached(
    outcomes: list[str], failures: int, errors: int, verdict: str
) -> None:
    """As in Argo Rollouts: failureLimit 0 is tripped by the first failure."""
    document = {"failureLimit": failures, "consecutiveErrorLimit": errors}
    analysis = Analysis.model_validate(document)

    assert tally([judged(one) for one in outcomes]).verdict(analysis) == verdict
    assert Tally() == tally([])


def histogram(values: list[float]) -> Histogram:
    bounds = [0.1 * 2**n for n in range(12)]
    buckets = tuple((bound, sum(v <= bound for v in values)) for bound in bounds)
    return Histogram(buckets, len(values), sum(values))


@given(
    st.lists(st.floats(0.001, 200.0), max_size=30),
    st.lists(st.floats(0.001, 200.0), min_size=1, max_size=60),
    st.floats(0.01, 1.0),
)
def test_a_quantile_lies_in_the_bucket_of_the_value_it_stands_for(
    old: list[float], new: list[float], share: float
) -> None:
    """Only what was observed between the two readings counts."""
    found = quantile(share, histogram(old), histogram(old + new))
    wanted = sorted(new)[max(0, -int(-share * len(new) // 1) - 1)]

    assert found is not None
    assert found <= 0.1 * 2**11
    assert found >= min(0.0, wanted)
    assert found <= max(2 * wanted, 0.1) + 1e-9


def test_copies_that_a_mirror_sent_are_judged_as_requests() -> None:
    """A user asked them, though nobody got the answers: how many they were is told beside."""
    before = Measured(1.0, requests=10, errors=1, latency=histogram([0.1] * 10))
    copies = Copies(requests=30, errors=3, different=7, latency=histogram([2.0] * 30))

    found = side(before, replace(before, copies=copies))

    assert found is not None
    assert (found.requests, found.errors, found.copies, found.different) == (30, 3, 30, 7)
    assert found.latency_p50_seconds == pytest.approx(2.4, abs=0.9)


def test_copies_are_judged_where_nobody_can_compare_their_answers() -> None:
    """How many differed is not known then, which is not zero."""
    copies = Copies(requests=30, errors=3, different=None)
    before = Measured(1.0, copies=replace(copies, requests=10, errors=1))

    found = side(before, replace(before, copies=copies))

    assert found is not None
    assert (found.requests, found.errors, found.copies, found.different) == (20, 2, 20, None)


def test_copies_that_nobody_can_tell_apart_are_not_claimed_to_be_none() -> None:
    """They are among the requests; how many they were is not known, which is not zero."""
    before = Measured(1.0, requests=10, copies=None)

    found = side(before, replace(before, requests=15))

    assert found is not None
    assert (found.requests, found.copies, found.different) == (5, None, None)


def test_no_observation_has_no_quantile() -> None:
    """None, never zero."""
    assert quantile(0.95, histogram([1.0]), histogram([1.0])) is None


def test_counts_that_began_anew_are_no_measurement() -> None:
    """A gateway that was restarted in the window: what happened before it is not known."""
    before, after = Measured(since=1.0, requests=10), Measured(since=2.0, requests=30)

    assert side(before, after) is None
    assert side(before, replace(before, requests=30)) is not None


GONE, LOST = Reach("for 10 s and longer, it is failed: OOMKilled"), Reach("", 8, 4)


@pytest.mark.parametrize(
    ("green", "blue", "outcomes", "says"),
    [
        (Reach(), Reach(), [], ""),
        (Reach("", 8, 3), Reach(), [], ""),
        (Reach("", 1, 1), Reach(), [], ""),
        (Reach(), GONE, [], ""),
        (GONE, Reach(), ["fail"], "OOMKilled"),
        (LOST, Reach("", 8, 3), ["fail"], "4 of 8 replayed queries got no answer"),
        (GONE, GONE, ["inconclusive"], "Nor does blue"),
        (LOST, LOST, ["inconclusive"], "would not cure it"),
        (LOST, Reach(), [], ""),
        (Reach("", 7, 7), Reach("", 7, 0), [], ""),
    ],
)
def test_s01_whether_green_answers_at_all_is_asked_before_any_count(
    green: Reach, blue: Reach, outcomes: list[str], says: str
) -> None:
    """Who gets nothing from a slot is not counted there."""
    found = judge_reach(green, blue, 8)

    assert [one.outcome for one in found] == outcomes
    assert all(says in one.reason for one in found)


class Slow:
    """Blue alone, which answers once in three seconds of ``clock``."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def facts(self) -> TargetFacts:
        return TargetFacts(True, slots={"blue": SlotFacts("old")}, weights={"blue": 100})

    def measure(self, slot: str) -> Measured:
        return Measured(0.0, int(self._clock.now / 3))


def test_a_baseline_is_drawn_out_where_few_ask() -> None:
    """There is no green yet, and none that answers nobody."""
    clock, replayer = VirtualClock(0.0), SimpleNamespace(at_work=True)
    target: Any = Slow(clock)
    look = observe.Look("baseline", target, "", "blue", 0, Analysis(), clock=clock)

    window = asyncio.run(observe.measure_window(look, replayer))  # type: ignore[arg-type]

    assert window.blue
    assert window.blue.requests == 8
    assert 24 <= window.seconds < 25


@pytest.mark.parametrize(
    ("facts", "lost"),
    [
        (TargetFacts(True, slots={}), True),
        (TargetFacts(False, reason="its file is damaged"), False),
        (TargetFacts(True, away=True), False),
    ],
    ids=["not there", "nothing is known", "nobody can be asked"],
)
def test_a_slot_is_lost_where_that_is_known(facts: TargetFacts, lost: bool) -> None:
    """Not where nobody says what is there."""
    clock = VirtualClock(0.0)
    target: Any = Slow(clock)
    target.facts = lambda: facts
    look = observe.Look("soak", target, "green", "blue", 100, Analysis(), clock=clock)

    window = asyncio.run(observe.measure_window(look, None))

    assert (window.verdicts[0].metric == "answers") is lost


BLUE = Baseline(environment="production", slot="blue", release="0" * 64, reason="first")


def test_s13_who_cannot_be_measured_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the target has it: where to look is in there."""
    why = "Prometheus at http://p does not answer (refused)."

    def measure(slot: str) -> Measured:
        raise GreenlightError(why)

    target: Any = SimpleNamespace(measure=measure, facts=partial(TargetFacts, True, away=True))
    run: Any = SimpleNamespace(target=lambda _: target, clock=SYSTEM)
    look = observe.Look("step", target, "green", "blue", 5, Analysis(interval=0.04))
    window = asyncio.run(observe.measure_window(look, None))
    monkeypatch.setattr(observe, "_analysis", lambda _: Analysis())
    monkeypatch.setattr(observe, "_window", lambda *_: window)
    monkeypatch.setattr(observe, "_record", lambda *_, **__: None)

    with pytest.raises(GreenlightError, match=r"blue could not be measured: Prometheus at .*refu"):
        observe.observe_baseline(run, BLUE)
    assert dict(window.why) == {"green": why, "blue": why}
    assert "why" not in window.as_json()
