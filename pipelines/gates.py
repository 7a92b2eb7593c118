"""From measurements to verdicts: pure, so that every decision is a case in a file.

Today a gate holds a limit and, where there is an incumbent, a margin on the same cases. How two
sets of scores are compared sits behind ``Comparison``: statistical tests replace ``simple_means``
and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.dataset import Case
from pipelines.scoring import QUALITY
from release.spec import LOWER_IS_BETTER, Gate

Outcome = Literal["pass", "fail", "inconclusive", "void"]


@dataclass(frozen=True)
class Answer:
    """What a slot answered to a case, and what that took."""

    case: str
    text: str
    seconds: float
    completion_tokens: int


@dataclass(frozen=True)
class Measurements:
    """Everything measured of one release on one set.

    ``answers`` by case id; ``timings`` are answers of the interleaved run, one request at a time,
    whose ``seconds`` are comparable between releases.
    """

    answers: Mapping[str, Answer]
    timings: tuple[Answer, ...]


@dataclass(frozen=True)
class Verdict:
    """What a gate says, with its reasons. ``value`` is None when nothing could be measured."""

    metric: str
    outcome: Outcome
    reason: str
    value: float | None
    incumbent: float | None = None

    @property
    def passed(self) -> bool:
        """Only a pass passes: void and inconclusive do not."""
        return self.outcome == "pass"


@dataclass(frozen=True)
class Sample:
    """Scores of candidate and incumbent on the same cases, in the same order."""

    candidate: tuple[float, ...]
    incumbent: tuple[float, ...]


Comparison = Callable[[Gate, Sample], tuple[Outcome, str]]


class MissingMeasurementError(ValueError):
    """A case without a score. It is never a zero and never a pass."""


def judge(
    gates: Sequence[Gate],
    cases: Sequence[Case],
    refusal: tuple[str, ...],
    candidate: Measurements,
    incumbent: Measurements | None,
    compare: Comparison | None = None,
) -> tuple[Verdict, ...]:
    """A verdict for each gate, in their order."""
    compare = compare or simple_means
    return tuple(_judge_one(gate, cases, refusal, candidate, incumbent, compare) for gate in gates)


def _judge_one(
    gate: Gate,
    cases: Sequence[Case],
    refusal: tuple[str, ...],
    candidate: Measurements,
    incumbent: Measurements | None,
    compare: Comparison,
) -> Verdict:
    try:
        ours = scores(gate, cases, refusal, candidate)
        theirs = scores(gate, cases, refusal, incumbent) if incumbent else ()
    except MissingMeasurementError as error:
        return Verdict(gate.metric, "inconclusive", f"{gate.metric}: {error}", None)
    value = summary(gate.metric, ours)
    other = summary(gate.metric, theirs) if theirs else None
    outcome, reason = _against_limit(gate, value)
    if outcome == "pass" and _control_passes(gate, cases, refusal):
        outcome, reason = "void", f"{gate.metric}: a known-bad control passes it too"
    if outcome == "pass" and theirs:
        outcome, against = compare(gate, Sample(ours, theirs))
        reason = f"{reason}; {against}" if outcome == "pass" else against
    return Verdict(gate.metric, outcome, reason, value, other)


def scores(
    gate: Gate, cases: Sequence[Case], refusal: tuple[str, ...], measured: Measurements
) -> tuple[float, ...]:
    """One number a case (quality) or a timed request (speed). Raises MissingMeasurementError."""
    if gate.metric not in QUALITY:
        return _speeds(gate.metric, measured.timings)
    metric = QUALITY[gate.metric]
    wanted = [case for case in cases if metric.applies(case) and _tagged(gate, case)]
    if not wanted:
        raise MissingMeasurementError("no case of the evaluation data is measured by it")
    missing = [case.id for case in wanted if case.id not in measured.answers]
    if missing:
        raise MissingMeasurementError(f"{len(missing)} cases have no answer, {missing[0]} first")
    return tuple(metric.score(measured.answers[case.id].text, case, refusal) for case in wanted)


def _tagged(gate: Gate, case: Case) -> bool:
    return not gate.tags or bool(set(gate.tags) & set(case.tags))


def _speeds(metric: str, timings: Sequence[Answer]) -> tuple[float, ...]:
    if not timings:
        raise MissingMeasurementError("no request was timed")
    if not all(0 < answer.seconds < math.inf for answer in timings):
        raise MissingMeasurementError("a request was timed at no time at all")
    if metric == "tokens_per_second":
        return tuple(answer.completion_tokens / answer.seconds for answer in timings)
    return tuple(answer.seconds for answer in timings)


def summary(metric: str, values: Sequence[float]) -> float:
    """The one number that a gate looks at: a percentile for latencies, else the mean."""
    if metric in LOWER_IS_BETTER:
        return percentile(values, 95 if metric == "latency_p95_seconds" else 50)
    return math.fsum(values) / len(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value with ``share`` per cent at or below it."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * share / 100) - 1)]


def _against_limit(gate: Gate, value: float) -> tuple[Outcome, str]:
    if gate.max is not None:
        within, sign, limit = value <= gate.max, "at most", gate.max
    else:
        limit = gate.min if gate.min is not None else 0.0
        within, sign = value >= limit, "at least"
    text = f"{gate.metric} is {value:.3g}, the limit is {sign} {limit:g}"
    return ("pass" if within else "fail"), text


def simple_means(gate: Gate, sample: Sample) -> tuple[Outcome, str]:
    """The summaries of both sides, held against the gate's margin."""
    ours, theirs = summary(gate.metric, sample.candidate), summary(gate.metric, sample.incumbent)
    if gate.max_drop is not None:
        worse, margin = theirs - ours > gate.max_drop + 1e-12, f"{gate.max_drop:g}"
    elif gate.max_change is not None and gate.metric in LOWER_IS_BETTER:
        worse, margin = ours > theirs * (1 + gate.max_change), f"{gate.max_change:.0%} more"
    elif gate.max_change is not None:
        worse, margin = ours < theirs / (1 + gate.max_change), f"{gate.max_change:.0%} slower"
    else:
        return "pass", f"the incumbent's is {theirs:.3g}, no margin is set"
    text = f"{gate.metric} is {ours:.3g} beside the incumbent's {theirs:.3g}, margin {margin}"
    return ("fail" if worse else "pass"), text


def _control_passes(gate: Gate, cases: Sequence[Case], refusal: tuple[str, ...]) -> bool:
    """Whether answers that are wrong on purpose would pass: then the gate measures nothing.

    The control answers nonsense to what can be answered and answers what cannot. Speeds have no
    wrong answers; their control is that something was timed at all.
    """
    if gate.metric not in QUALITY:
        return False
    wrong = {
        case.id: Answer(
            case.id,
            refusal[0] if gate.metric == "refusal" and case.answerable else "zq zq zq",
            1.0,
            1,
        )
        for case in cases
    }
    bad = summary(gate.metric, scores(gate, cases, refusal, Measurements(wrong, ())))
    return _against_limit(gate, bad)[0] == "pass"
