"""What one window of traffic says about green: pure functions over counts.

A window is the difference of two readings of a target's counts. Green is held against its limits,
against blue in the same window, and against blue's baseline from before the rollout: on a shared
model server a slow green slows blue too. Simple limits for now; sequential tests take the place of
``judge`` behind the same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pipelines.targets.base import Copies, Histogram, Measured
from release.rollout_section import Analysis, Limit

Outcome = Literal["pass", "fail", "inconclusive", "void"]


@dataclass(frozen=True)
class Side:
    """One slot in one window. Latencies are in seconds, None where nothing was measured.

    Requests, errors and latencies hold those ``copies`` that a mirror sent: a user asked them.
    ``copies`` is None where nobody can tell them from other requests, ``different`` where nobody
    can compare their answers with those that callers got.
    """

    requests: int
    synthetic: int
    errors: int
    truncated: int
    refused: int
    latency_p50_seconds: float | None = None
    latency_p95_seconds: float | None = None
    first_token_p95_seconds: float | None = None
    inter_token_p95_seconds: float | None = None
    abandoned: int = 0
    copies: int | None = 0
    different: int | None = 0
    declined: int = 0

    def value(self, metric: str) -> float | None:
        """The metric, shares between 0 and 1. None: not measured, which is never zero."""
        if metric in _SHARES:
            count: int = getattr(self, _SHARES[metric])
            return count / self.requests if self.requests else None
        seconds: float | None = getattr(self, metric)
        return seconds


_SHARES = {
    "errors": "errors",
    "truncated": "truncated",
    "refusals": "refused",
    "abandoned": "abandoned",
    "declined": "declined",
}


@dataclass(frozen=True)
class Finding:
    """What one limit says of a window, or one gate of a release: with the value and the limit that
    decided. ``metric`` is empty where only a reason is known; only a gate can be void.
    """

    metric: str
    outcome: Outcome
    reason: str
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Window:
    """A stretch of time that was judged. ``green`` is the new release, ``blue`` the one before.

    ``started`` is in seconds since 1970, ``seconds`` its length, ``weight`` per cent on green.
    ``replayed``: there were no users, evaluation queries were replayed as traffic. ``why``: by
    slot, what kept it from being measured.
    """

    phase: Literal["baseline", "step", "soak"]
    weight: int
    started: float
    seconds: float
    replayed: bool
    green: Side | None
    blue: Side | None
    verdicts: tuple[Finding, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        """A failure decides; else what could not be judged; else all is well."""
        outcomes = {one.outcome for one in self.verdicts}
        if "fail" in outcomes:
            return "fail"
        return "inconclusive" if "inconclusive" in outcomes or not outcomes else "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not a pass."""
        return tuple(one.reason for one in self.verdicts if one.outcome == self.outcome)

    def as_json(self) -> dict[str, Any]:
        """As the ledger keeps it: without ``why``, which is said when it happens."""
        kept = {**asdict(self), "verdicts": [asdict(one) for one in self.verdicts]}
        del kept["why"]
        return kept


def side(before: Measured, after: Measured) -> Side | None:
    """What happened between two readings; None when the counts began anew in between."""
    if before.since != after.since or after.requests < before.requests:
        return None
    copies, copied = before.copies or Copies(), after.copies or Copies()
    apart = before.copies is not None and after.copies is not None
    latency = before.latency.plus(copies.latency), after.latency.plus(copied.latency)
    return Side(
        requests=after.requests - before.requests + copied.requests - copies.requests,
        synthetic=after.synthetic - before.synthetic,
        errors=after.errors - before.errors + copied.errors - copies.errors,
        truncated=after.truncated - before.truncated,
        refused=after.refused - before.refused,
        abandoned=after.abandoned - before.abandoned,
        latency_p50_seconds=quantile(0.50, *latency),
        latency_p95_seconds=quantile(0.95, *latency),
        first_token_p95_seconds=quantile(0.95, before.first_token, after.first_token),
        inter_token_p95_seconds=quantile(0.95, before.inter_token, after.inter_token),
        copies=copied.requests - copies.requests if apart else None,
        different=_rise(copies.different, copied.different) if apart else None,
        declined=after.declined - before.declined,
    )


def _rise(before: int | None, after: int | None) -> int | None:
    """How much was added; None where one of them is not known."""
    return None if before is None or after is None else after - before


def quantile(share: float, before: Histogram, after: Histogram) -> float | None:
    """The value in seconds that ``share`` of the new observations stay below; None without any.

    Linear within a bucket, as Prometheus' histogram_quantile; beyond the last bound, that bound.
    """
    past = dict(before.buckets)
    counts = [(bound, count - past.get(bound, 0)) for bound, count in after.buckets]
    total = after.count - before.count
    if total <= 0:
        return None
    wanted, below, lower = share * total, 0, 0.0
    for bound, count in counts:
        if count >= wanted and count > below:
            return lower + (bound - lower) * (wanted - below) / (count - below)
        below, lower = count, bound
    return lower


@dataclass(frozen=True)
class Reach:
    """A slot as it is found from outside: one that nobody gets through to counts nothing itself.

    ``why``: why it takes no requests, by what its platform says; empty where it does. ``asked`` and
    ``unanswered`` are queries that were replayed.
    """

    why: str = ""
    asked: int = 0
    unanswered: int = 0

    @property
    def lost(self) -> str:
        """Why it answers nobody, or hardly anybody; empty where it does."""
        if not self.why and self.unanswered > 1 and self.unanswered * 2 >= self.asked:
            return f"{self.unanswered} of {self.asked} replayed queries got no answer"
        return self.why

    def tells(self, beside: Reach, least: int) -> bool:
        """Whether it is for this slot that nobody got an answer. Replays alone say so only beside
        ones that went to the other slot: what is between here and both may be away.
        """
        return bool(self.why) or (self.asked >= least and beside.asked > 0)


def judge_reach(green: Reach, blue: Reach, least: int) -> tuple[Finding, ...]:
    """What decides before any count: whether green answers at all. Nothing where it does, or where
    fewer than ``least`` queries were replayed.

    ``blue`` is the slot to go back to, also where nobody is sent there just now.
    """
    if not green.lost or not green.tells(blue, least):
        return ()
    reason = f"green answers nobody: {green.lost}"
    if blue.lost:
        reason = f"{reason}. Nor does blue: {blue.lost}. Going back would not cure it"
        return (Finding("answers", "inconclusive", reason),)
    return (Finding("answers", "fail", reason),)


def judge(
    green: Side | None, blue: Side | None, baseline: Side | None, analysis: Analysis
) -> tuple[Finding, ...]:
    """What each limit says. ``blue`` and ``baseline`` None: there is none to compare with."""
    if green is None:
        return (Finding("requests", "inconclusive", "green's counts began anew in this window"),)
    if _hangs(green) and not (blue and _hangs(blue)):
        reason = (
            f"green left {green.abandoned} of {green.requests} requests unanswered until their "
            f"callers gave up, blue {f'{blue.abandoned} of {blue.requests}' if blue else 'none'}"
        )
        return (Finding("abandoned", "fail", reason, green.abandoned, 1),)
    if green.requests < analysis.min_requests:
        reason = f"green had {green.requests} requests, {analysis.min_requests} are needed"
        return (Finding("requests", "inconclusive", reason, green.requests, analysis.min_requests),)
    return tuple(_judge_one(limit, green, blue, baseline) for limit in analysis.limits)


def _hangs(side: Side) -> bool:
    """Whether it leaves most of its callers without an answer: some always hang up."""
    return side.abandoned > 1 and side.abandoned * 2 >= side.requests


def _judge_one(limit: Limit, green: Side, blue: Side | None, baseline: Side | None) -> Finding:
    value = green.value(limit.metric)
    if value is None:
        return Finding(limit.metric, "inconclusive", f"{limit.metric} of green was not measured")
    beside = blue.value(limit.metric) if blue else None
    if not _bounds(limit, beside, baseline):
        reason = (
            f"{limit.metric} of green is {_number(value)}, and there is nothing to compare with"
        )
        return Finding(limit.metric, "inconclusive", reason, value)
    passed = [one for one in _bounds(limit, beside, baseline).items() if value > one[1]]
    if passed and beside is not None and beside >= value:
        passed = [one for one in passed if one[0] == "baseline" and limit.metric not in _SHARES]
        if not passed:  # on a shared server a slow green slows blue as well; errors are its own
            reason = (
                f"{limit.metric} of green is {_number(value)}, and blue's is {_number(beside)}: "
                "whatever it is, going back would not cure it"
            )
            return Finding(limit.metric, "inconclusive", reason, value)
    if passed:
        name, bound = passed[0]
        against = {"max": "the limit is", "blue": "beside blue at most",
                   "baseline": "against blue's baseline at most"}[name]  # fmt: skip
        reason = f"{limit.metric} of green is {_number(value)}, {against} {_number(bound)}"
        return Finding(limit.metric, "fail", reason, value, bound)
    reason = f"{limit.metric} of green is {_number(value)}"
    reason += f", blue's {_number(beside)}" if beside is not None else ""
    return Finding(limit.metric, "pass", reason, value, limit.max)


def _bounds(limit: Limit, blue: float | None, baseline: Side | None) -> Mapping[str, float]:
    """Every number that green must not be above, by what it comes from."""
    bounds = {} if limit.max is None else {"max": limit.max}
    before = baseline.value(limit.metric) if baseline else None
    for name, value in (("blue", blue), ("baseline", before)):
        if value is None:
            continue
        if limit.max_change is not None:
            bounds[name] = value * (1 + limit.max_change)
        if limit.max_rise is not None:
            bounds[name] = value + limit.max_rise
    return bounds


@dataclass(frozen=True)
class Tally:
    """Windows so far: how many failed, and how many in a row could not be judged."""

    failures: int = 0
    unjudged: int = 0

    def add(self, window: Window) -> Tally:
        """The tally with one more window."""
        if window.outcome == "inconclusive":
            return Tally(self.failures, self.unjudged + 1)
        return Tally(self.failures + (window.outcome == "fail"), 0)

    def verdict(self, analysis: Analysis) -> Literal["go on", "return", "ask"]:
        """Argo Rollouts' rule: a limit trips when it is exceeded, not when it is reached."""
        if self.failures > analysis.failure_limit:
            return "return"
        return "ask" if self.unjudged > analysis.consecutive_error_limit else "go on"


def tally(windows: Sequence[Window]) -> Tally:
    """The tally of windows in their order."""
    found = Tally()
    for window in windows:
        found = found.add(window)
    return found


def _number(value: float) -> str:
    return f"{value:.3g}"
