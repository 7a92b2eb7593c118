"""From measurements to verdicts. Each row is a decision: what was measured, and what it means."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.dataset import Case
from pipelines.gates import (
    Answer,
    Measurements,
    Outcome,
    Sample,
    Verdict,
    judge,
    percentile,
    simple_means,
    summary,
)
from release.spec import Gate

REFUSAL = ("i don't know",)
CASES = (
    *(Case(f"q{number}", "?", "", "green", ("colour",)) for number in range(4)),
    Case("u0", "?", "", "I don't know", ("unanswerable",)),
)


def gate(metric: str, **limits: Any) -> Gate:
    return Gate.model_validate_json(json.dumps({"metric": metric, **limits}))


def answers(*right: bool) -> dict[str, Answer]:
    """Answers to the cases in their order, each right or wrong."""
    return {
        case.id: Answer(case.id, case.ground_truth if good else "blue", 1.0, 3)
        for case, good in zip(CASES, right, strict=False)
    }


def timings(*seconds: float, tokens: int = 10) -> tuple[Answer, ...]:
    return tuple(Answer(f"q{number}", "", one, tokens) for number, one in enumerate(seconds))


def verdict(
    of: Gate,
    ours: Mapping[str, Answer] | None = None,
    theirs: Mapping[str, Answer] | None = None,
    *,
    timed: tuple[Answer, ...] = (),
    timed_theirs: tuple[Answer, ...] | None = None,
) -> Verdict:
    incumbent = None
    if theirs is not None or timed_theirs is not None:
        incumbent = Measurements(theirs or {}, timed_theirs or ())
    (one,) = judge([of], CASES, REFUSAL, Measurements(ours or {}, timed), incumbent)
    return one


ALL = answers(True, True, True, True, True)
HALF = answers(True, True, False, False, True)
NONE = answers(False, False, False, False, False)

# gate, answers, what it says, its value
LIMITS: list[tuple[Gate, dict[str, Answer], Outcome, float]] = [
    (gate("exact_match", min=0.5), ALL, "pass", 1.0),
    (gate("exact_match", min=0.5), HALF, "pass", 0.5),
    (gate("exact_match", min=0.51), HALF, "fail", 0.5),
    (gate("contains", min=0.9), HALF, "fail", 0.5),
    (gate("f1", min=0.5), HALF, "pass", 0.5),
    (gate("f1", min=0.1), NONE, "fail", 0.0),
    (gate("refusal", min=1.0), ALL, "pass", 1.0),
    (gate("refusal", min=1.0), NONE, "fail", 0.8),
    (gate("refusal", min=0.5, tags=["unanswerable"]), NONE, "fail", 0.0),
    (gate("refusal", min=0.5, tags=["unanswerable"]), ALL, "pass", 1.0),
    (gate("exact_match", min=0.5, tags=["colour", "size"]), HALF, "pass", 0.5),
]


@pytest.mark.parametrize(("of", "given_answers", "outcome", "value"), LIMITS)
def test_a_quality_is_held_against_its_limit(
    of: Gate, given_answers: dict[str, Answer], outcome: Outcome, value: float
) -> None:
    """The limit itself passes; only the cases with one of the tags count."""
    found = verdict(of, given_answers)

    assert (found.outcome, found.value) == (outcome, value)
    assert found.passed == (outcome == "pass")
    assert found.metric in found.reason


TEN = tuple(float(number) for number in range(1, 11))

# gate, seconds of each timed request, what it says, its value
SPEEDS: list[tuple[Gate, tuple[float, ...], Outcome, float]] = [
    (gate("latency_p50_seconds", max=5), TEN, "pass", 5.0),
    (gate("latency_p50_seconds", max=4.9), TEN, "fail", 5.0),
    (gate("latency_p95_seconds", max=10), TEN, "pass", 10.0),
    (gate("latency_p95_seconds", max=9), TEN, "fail", 10.0),
    (gate("latency_p95_seconds", max=1), (0.5,), "pass", 0.5),
    (gate("tokens_per_second", min=10), (1.0, 1.0), "pass", 10.0),
    (gate("tokens_per_second", min=10), (2.0, 2.0), "fail", 5.0),
    (gate("tokens_per_second", min=12.5), (0.5, 2.0), "pass", 12.5),
]


@pytest.mark.parametrize(("of", "seconds", "outcome", "value"), SPEEDS)
def test_a_speed_is_held_against_its_limit(
    of: Gate, seconds: tuple[float, ...], outcome: Outcome, value: float
) -> None:
    """Latencies are better when lower, tokens per second when higher."""
    found = verdict(of, timed=timings(*seconds))

    assert (found.outcome, found.value) == (outcome, value)


# gate, ours, the incumbent's, what it says
AGAINST: list[tuple[Gate, dict[str, Answer], dict[str, Answer], Outcome]] = [
    (gate("exact_match", min=0.1, max_drop=0.5), HALF, ALL, "pass"),
    (gate("exact_match", min=0.1, max_drop=0.49), HALF, ALL, "fail"),
    (gate("exact_match", min=0.1, max_drop=0), ALL, ALL, "pass"),
    (gate("exact_match", min=0.1, max_drop=0), ALL, HALF, "pass"),
    (gate("exact_match", min=0.6, max_drop=1), HALF, ALL, "fail"),
    (gate("exact_match", min=0.1), HALF, ALL, "pass"),
]


@pytest.mark.parametrize(("of", "ours", "theirs", "outcome"), AGAINST)
def test_a_quality_is_held_against_the_incumbent_on_the_same_cases(
    of: Gate, ours: dict[str, Answer], theirs: dict[str, Answer], outcome: Outcome
) -> None:
    """It may be worse by the margin, and must be within the limit all the same."""
    found = verdict(of, ours, theirs)

    assert found.outcome == outcome
    assert found.incumbent is not None


# gate, our seconds, the incumbent's, what it says
SPEED_AGAINST: list[tuple[Gate, float, float, Outcome]] = [
    (gate("latency_p50_seconds", max=10, max_change=0.5), 1.5, 1.0, "pass"),
    (gate("latency_p50_seconds", max=10, max_change=0.5), 1.51, 1.0, "fail"),
    (gate("latency_p50_seconds", max=10, max_change=0.5), 0.1, 1.0, "pass"),
    (gate("latency_p50_seconds", max=1, max_change=9), 1.5, 1.0, "fail"),
    (gate("latency_p50_seconds", max=10), 9.0, 1.0, "pass"),
    (gate("tokens_per_second", min=1, max_change=0.5), 1.5, 1.0, "pass"),
    (gate("tokens_per_second", min=1, max_change=0.5), 1.51, 1.0, "fail"),
    (gate("tokens_per_second", min=1, max_change=0.5), 0.5, 1.0, "pass"),
]


@pytest.mark.parametrize(("of", "ours", "theirs", "outcome"), SPEED_AGAINST)
def test_a_speed_is_held_against_the_incumbent_in_the_same_run(
    of: Gate, ours: float, theirs: float, outcome: Outcome
) -> None:
    """A change of 0.5 is half as much again: longer for a latency, slower for a rate."""
    assert verdict(of, timed=timings(ours), timed_theirs=timings(theirs)).outcome == outcome


def without(one: str) -> dict[str, Answer]:
    return {key: answer for key, answer in ALL.items() if key != one}


# gate, our answers, the incumbent's, words of the reason
MISSING: dict[str, tuple[Gate, dict[str, Answer], dict[str, Answer] | None, str]] = {
    "one answer": (gate("f1", min=0), without("q2"), None, "1 cases have no answer, q2 first"),
    "every answer": (gate("f1", min=0), {}, None, "4 cases have no answer"),
    "one of the incumbent's": (gate("f1", min=0.1), ALL, without("q1"), "q1 first"),
    "every case": (gate("f1", min=0.1, tags=["other"]), ALL, None, "no case"),
    "every case with a truth": (gate("f1", min=0.1, tags=["unanswerable"]), ALL, None, "no case"),
    "every timing": (gate("tokens_per_second", min=0), ALL, None, "no request was timed"),
}


@pytest.mark.parametrize(("of", "ours", "theirs", "words"), MISSING.values(), ids=MISSING.keys())
def test_S13_what_is_missing_is_inconclusive_and_never_zero(
    of: Gate, ours: dict[str, Answer], theirs: dict[str, Answer] | None, words: str
) -> None:
    """Even under a limit that zero would pass."""
    found = verdict(of, ours, theirs)

    assert (found.outcome, found.value, found.passed) == ("inconclusive", None, False)
    assert words in found.reason


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("metric", ["latency_p50_seconds", "tokens_per_second"])
def test_S13_a_time_that_no_clock_shows_is_no_measurement(metric: str, seconds: float) -> None:
    """Nothing is divided by it, and no comparison with it is a pass."""
    limit = {"max": 9.0} if metric.startswith("latency") else {"min": 0.0}

    found = verdict(gate(metric, **limit), timed=timings(1.0, seconds))

    assert (found.outcome, found.value) == ("inconclusive", None)


def test_S13_the_incumbents_timings_are_needed_as_well() -> None:
    found = verdict(
        gate("latency_p50_seconds", max=9, max_change=1), timed=timings(1.0), timed_theirs=()
    )

    assert found.outcome == "inconclusive"


VOID: dict[str, tuple[Gate, tuple[str, ...]]] = {
    "a limit that everything passes": (gate("f1", min=0), REFUSAL),
    "a share that everything passes": (gate("refusal", min=0), REFUSAL),
    "a phrase that nonsense holds": (
        gate("refusal", min=0.5, tags=["unanswerable"]),
        ("zq", *REFUSAL),
    ),
}


@pytest.mark.parametrize(("of", "refusal"), VOID.values(), ids=VOID.keys())
def test_S14_a_gate_that_a_known_bad_control_passes_is_void(
    of: Gate, refusal: tuple[str, ...]
) -> None:
    """An evaluator that always passes measures nothing, however good the answers were."""
    (found,) = judge([of], CASES, refusal, Measurements(ALL, ()), None)

    assert (found.outcome, found.passed) == ("void", False)
    assert "known-bad control" in found.reason


def test_S14_a_truth_of_nonsense_makes_a_gate_void() -> None:
    """The control answers with exactly that."""
    cases = (Case("1", "?", "", "zq zq zq"),)
    measured = Measurements({"1": Answer("1", "zq zq zq", 1.0, 1)}, ())

    (found,) = judge([gate("exact_match", min=0.5)], cases, REFUSAL, measured, None)

    assert found.outcome == "void"


def test_every_gate_has_its_verdict_in_order() -> None:
    """All are judged: the reasons of a refusal are complete."""
    gates = [gate("f1", min=0.9), gate("latency_p50_seconds", max=1), gate("refusal", min=0.5)]

    found = judge(gates, CASES, REFUSAL, Measurements(NONE, timings(2.0)), None)

    assert [(one.metric, one.outcome) for one in found] == [
        ("f1", "fail"),
        ("latency_p50_seconds", "fail"),
        ("refusal", "pass"),
    ]


def test_how_samples_are_compared_can_be_exchanged() -> None:
    """Statistical tests take the place of the means, and nothing else changes."""
    seen: list[Sample] = []

    def compare(_: Gate, sample: Sample) -> tuple[Outcome, str]:
        seen.append(sample)
        return "inconclusive", "more cases are needed"

    (found,) = judge(
        [gate("exact_match", min=0.1, max_drop=0)],
        CASES,
        REFUSAL,
        Measurements(ALL, ()),
        Measurements(HALF, ()),
        compare,
    )

    assert (found.outcome, found.reason) == ("inconclusive", "more cases are needed")
    assert seen == [Sample((1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 0.0, 0.0))]


PERCENTILES: list[tuple[tuple[float, ...], float, float]] = [
    ((7.0,), 50, 7.0),
    ((7.0,), 95, 7.0),
    ((1.0, 2.0), 50, 1.0),
    ((2.0, 1.0, 3.0), 50, 2.0),
    (TEN, 50, 5.0),
    (TEN, 95, 10.0),
    (TEN, 100, 10.0),
    (TEN, 1, 1.0),
    (tuple(float(n) for n in range(1, 21)), 95, 19.0),
    (tuple(float(n) for n in range(1, 101)), 95, 95.0),
]


@pytest.mark.parametrize(("values", "share", "expected"), PERCENTILES)
def test_a_percentile_is_one_of_the_values(
    values: tuple[float, ...], share: float, expected: float
) -> None:
    """Nearest rank: the smallest with that share at or below it."""
    assert percentile(values, share) == expected


seconds_list = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


@given(seconds_list, st.integers(1, 100))
def test_the_stated_share_lies_at_or_below_a_percentile(values: list[float], share: int) -> None:
    found = percentile(values, share)

    assert found in values
    assert sum(one <= found for one in values) * 100 >= share * len(values)
    assert sum(one < found for one in values) * 100 < share * len(values)


speed_gates = st.sampled_from(
    [
        gate("latency_p50_seconds", max=1, max_change=0.5),
        gate("latency_p95_seconds", max=1),
        gate("tokens_per_second", min=10, max_change=0.5),
    ]
)


@given(speed_gates, seconds_list, seconds_list)
def test_no_measured_speed_gives_anything_but_a_number(
    of: Gate, ours: list[float], theirs: list[float]
) -> None:
    found = verdict(of, timed=timings(*ours), timed_theirs=timings(*theirs))

    assert found.outcome in ("pass", "fail")
    assert found.value is not None
    assert found.incumbent is not None
    assert math.isfinite(found.value)
    assert math.isfinite(found.incumbent)


@given(st.lists(st.booleans(), min_size=5, max_size=5), st.floats(0.01, 1))
def test_a_release_is_never_worse_than_itself(right: list[bool], margin: float) -> None:
    """Whatever the margin, the comparison of a release with its like passes."""
    of, scores = gate("f1", min=0.01, max_drop=margin), tuple(map(float, right))

    assert simple_means(of, Sample(scores, scores))[0] == "pass"
    assert simple_means(gate("f1", min=0.01, max_drop=0), Sample(scores, scores))[0] == "pass"


def test_a_summary_of_a_quality_is_its_mean() -> None:
    assert summary("f1", (0.1,) * 10) == 0.1
