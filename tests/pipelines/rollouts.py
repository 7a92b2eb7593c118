"""Ledgers of rollouts, written by hand: each a list of acts that read like what happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from release.ledger import Entry

OLD, NEW, OTHER = "a" * 64, "b" * 64, "c" * 64
START = 1_767_268_800.0  # 2026-01-01 12:00 UTC
SLOW = "latency_p95_seconds is 2.4 beside blue's 0.8, margin 50% more"
SETTINGS = {"steps": [{"setWeight": 25}, {"pause": {"duration": 20}}, {"setWeight": 100}]}

Act = tuple[float, str, str | None, dict[str, Any]]
"""Seconds since the start, kind, environment, data."""


def written(*acts: Act | Iterable[Act]) -> tuple[Entry, ...]:
    """The entries of ``acts``, in the order in which they are given."""
    flat = [one for act in acts for one in ([act] if isinstance(act, tuple) else list(act))]
    return tuple(
        Entry("tiny-bot", i, "", START + at, kind, where, None, None, data, (), f"{i:064x}")
        for i, (at, kind, where, data) in enumerate(flat, 1)
    )


def act(at: float, kind: str, where: str | None = "production", /, **data: Any) -> Act:
    """One entry."""
    return at, kind, where, data


def step(
    at: float, name: str, where: str = "production", found: Any = None, /, **data: Any
) -> list[Act]:
    """A step that was meant at ``at`` and done half a second later."""
    reason = {"reason": f"{name} has its reason"}
    return [
        act(at, "intent", where, step=name, **reason, **data),
        act(at + 0.5, "done", where, step=name, seconds=0.5, **(found or {})),
    ]


def deploy(at: float, release: str, slot: str, where: str = "production") -> list[Act]:
    """A deployment."""
    return step(at, "deploy", where, {"slot": slot}, release=release, slot=slot)


def weigh(at: float, where: str = "production", /, **weights: int) -> list[Act]:
    """A change of weights."""
    return step(at, "set-weights", where, {"weights": weights}, weights=weights)


def evaluate(at: float, release: str, incumbent: str = "", where: str = "staging") -> list[Act]:
    """An evaluation that every gate passes."""
    gates = [
        {"metric": "f1", "outcome": "pass", "reason": "f1 is 0.81, the limit is at least 0.5",
         "value": 0.81, "incumbent": None},
        {"metric": "latency_p95_seconds", "outcome": "pass",
         "reason": "latency_p95_seconds is 0.9, the limit is at most 10", "value": 0.9},
    ]  # fmt: skip
    slot = {"release": release, "slot": "green", "incumbent": incumbent}
    return step(at, "evaluate", where, {"verdicts": gates}, **slot)


def live(at: float, release: str, where: str = "production", returned: bool = False) -> list[Act]:
    """Recorded as live."""
    data = {"release": release, "returned": returned, "reason": "all checks passed"}
    intent, done = step(at, "record-live", where, release=release)
    return [intent, act(at + 0.2, "live", where, **data), done]


def side(requests: int = 100, **changes: Any) -> dict[str, Any]:
    """One side of a window, in good health."""
    return {
        "requests": requests, "synthetic": 0, "errors": 0, "truncated": 0, "refused": 2,
        "latency_p50_seconds": 0.4, "latency_p95_seconds": 0.8, "first_token_p95_seconds": 0.2,
        "inter_token_p95_seconds": 0.03, **changes,
    }  # fmt: skip


def verdict(metric: str = "errors", outcome: str = "pass", reason: str = "") -> dict[str, Any]:
    """What a window said of one metric."""
    words = reason or f"{metric} is 0 % beside blue's 0 %, the limit is 2 %"
    return {"metric": metric, "outcome": outcome, "reason": words, "value": 0.0, "limit": 0.02}


def window(at: float, weight: int, **changes: Any) -> Act:
    """A window of ten seconds that begins at ``at`` and is recorded when it has ended."""
    data = {
        "release": NEW, "from": OLD, "slot": "green", "weight": weight, "started": START + at,
        "seconds": 10.0, "replayed": False, "phase": "step", "green": side(weight * 4),
        "blue": side(400 - weight * 4), "verdicts": [verdict(), verdict("latency_p95_seconds")],
        **changes,
    }  # fmt: skip
    return act(at + 10, "window", **data)


def first() -> list[Act]:
    """The old release, live before anything here, as the oldest ledgers have it."""
    return [*deploy(-900, OLD, "blue"), *weigh(-890, blue=100), *live(-880, OLD)]


def begun(release: str = NEW, origin: str = OLD) -> list[Act]:
    """A rollout that began at 0, after staging."""
    mark = act(0, "rollout-begun", **{"release": release, "from": origin, "settings": SETTINGS})
    blue = window(5, 0, phase="baseline", green=None, blue=side(400), verdicts=[])
    return [*evaluate(-60, release, origin), mark, *deploy(1, release, "green"), blue]


def half_way(**changes: Any) -> list[Act]:
    """And its first step, watched for two windows."""
    return [
        *begun(), *weigh(16, blue=75, green=25), window(17, 25), window(27, 25, **changes),
    ]  # fmt: skip


def completed() -> list[Act]:
    """To the end, with a pause that somebody ended."""
    wait = {"for": "Somebody has to approve 100 %.", "since": START + 38,
            "ends": "`greenlight approve`, or the deadline in 600 s.",
            "until": "approve", "index": 1}  # fmt: skip
    return [
        *half_way(),
        act(38, "waiting", **wait),
        act(60, "approved", by="ops", comment="", index=1),
        *weigh(61, blue=0, green=100),
        window(62, 100, phase="soak", blue=None),
        *live(73, NEW),
        act(75, "rollout-ended", release=NEW, outcome="completed", reason="The soak time is over."),
        *step(76, "retire", slot="blue", release=OLD),
    ]


def returned() -> list[Act]:
    """Slow in traffic, and back."""
    bad = {
        "green": side(100, latency_p50_seconds=1.1, latency_p95_seconds=2.4, errors=3, truncated=1),
        "verdicts": [verdict(), verdict("latency_p95_seconds", "fail", SLOW)],
    }
    return [
        *half_way(**bad),
        act(37.1, "intent", step="begin-return", release=NEW, goal=OLD, reason=SLOW),
        act(37.2, "return-begun", release=NEW, goal=OLD, reason=SLOW),
        act(37.3, "done", step="begin-return", seconds=0.1),
        *weigh(37.8, blue=100),
        *live(39, OLD, returned=True),
        act(40, "rollout-ended", release=NEW, outcome="returned", reason=SLOW),
        *step(41, "retire", slot="green", release=NEW),
    ]


def expired() -> list[Act]:
    """The command was killed, and nobody renewed its lease."""
    why = "The lease ran out at 12:02 and was not renewed."
    return [
        *half_way(), *weigh(150, blue=100),
        act(151, "rollout-ended", release=NEW, outcome="expired", reason=why),
    ]  # fmt: skip


def refused() -> list[Act]:
    """A gate's no, in staging: production never saw it."""
    reasons = ["f1 is 0.31, the limit is at least 0.5"]
    return [
        *deploy(-70, NEW, "green", "staging"),
        *evaluate(-60, NEW, OLD)[:1],
        act(-30, "refused", None, release=NEW, evaluation_set="s", policy="p", incumbent=OLD,
            reasons=reasons),
        act(-29, "failed", "staging", step="evaluate", reason=reasons[0]),
    ]  # fmt: skip


def waiting() -> list[Act]:
    """Too few requests to tell, and it says so."""
    short = "errors: 12 requests are too few to tell, 50 are needed"
    wait = {"for": "The last window is inconclusive.", "since": START + 38,
            "ends": "38 more requests, or the deadline in 600 s.",
            "until": "ship", "index": -1}  # fmt: skip
    odd = [verdict("errors", "inconclusive", short)]
    few = side(12, synthetic=12)
    return [*half_way(green=few, verdicts=odd, replayed=True), act(38, "waiting", **wait)]


ENDINGS: dict[str, tuple[Sequence[Act], str, str]] = {
    "completed": ([*first(), *completed()], "completed", "The soak time is over."),
    "returned": ([*first(), *returned()], "returned", SLOW),
    "expired": ([*first(), *expired()], "expired", "The lease ran out at 12:02"),
    "under way": ([*first(), *waiting()], "under way", ""),
}
"""Acts, and how the last rollout in production ends."""
