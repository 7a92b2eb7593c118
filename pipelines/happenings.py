"""What happened, as a line for people for each entry that they want to read of.

An entry is written for the program that goes on from it; a line is for whoever asks, at three in
the morning, what this rollout did and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines import past
from pipelines.past import APPROVED, RESUMED, ROLLOUT_BEGUN, ROLLOUT_ENDED, WAITING, WINDOW
from pipelines.steps import Hold
from release.bundle import label
from release.ledger import Entry
from release.ledger.leases import LEASE

Tone = Literal["plain", "good", "bad", "waiting"]
Told = tuple[str, str, Tone]
"""What happened, why, and how it sounds."""


@dataclass(frozen=True)
class Line:
    """One thing that happened, at ``at`` (seconds since 1970), and the entry that says so."""

    at: float
    sequence: int
    kind: str
    text: str
    reason: str = ""
    tone: Tone = "plain"
    step: str = ""


def happenings(entries: Sequence[Entry]) -> tuple[Line, ...]:
    """A line for each entry that tells something, in order.

    A step is told when it has ended, with the reason of its intent; an intent without an end is
    told as what it is: under way, or cut.
    """
    open_steps: dict[str, Entry] = {}
    lines: list[Line] = []
    for entry in entries:
        step = str(entry.data.get("step", ""))
        if entry.kind == past.INTENT:
            lines += _cut(open_steps.pop(step, None))
            open_steps[step] = entry
            continue
        intent = open_steps.pop(step, None) if entry.kind in (past.DONE, past.FAILED) else None
        told = _told(entry, intent)
        if told:
            lines.append(Line(entry.time, entry.sequence, entry.kind, *told, step))
    pending = [line for intent in open_steps.values() for line in _cut(intent)]
    return tuple(sorted([*lines, *pending], key=lambda line: line.sequence))


def _cut(intent: Entry | None) -> list[Line]:
    if intent is None:
        return []
    text = f"{_step(intent)} was begun, and its end is not recorded"
    reason = str(intent.data.get("reason", ""))
    return [Line(intent.time, intent.sequence, intent.kind, text, reason)]


def _told(entry: Entry, intent: Entry | None) -> Told | None:
    if entry.kind in (past.DONE, past.FAILED):
        return _ended_step(entry, intent)
    if entry.kind in _TELLERS:
        return _TELLERS[entry.kind](entry, entry.data)
    return None


def _ended_step(entry: Entry, intent: Entry | None) -> Told | None:
    data = entry.data
    if data.get("step") in ("record-live", "begin-return") and entry.kind == past.DONE:
        return None  # the entry that the step wrote tells more
    what = _step(intent or entry)
    if entry.kind == past.FAILED:
        waits = data.get("step") == Hold.kind  # which ends by waiting, and has said for what
        return None if waits else (f"{what} failed", str(data.get("reason", "")), "bad")
    reason = str(intent.data.get("reason", "")) if intent else ""
    return "; ".join([what, *_read_back(data)]), reason, "plain"


def _step(entry: Entry) -> str:
    """The step that an entry is about: what, where, which release."""
    data = entry.data
    weights = data.get("weights")
    parts = [
        str(data.get("step", "a step")),
        str(data.get("slot", "")),
        label(entry.application, data["release"]) if data.get("release") else "",
        shares(weights) if weights is not None else "",
    ]
    return " ".join(part for part in parts if part)


def shares(weights: Mapping[str, int]) -> str:
    """Weights as people read them: ``blue 75 %, green 25 %``."""
    return ", ".join(f"{slot} {weight} %" for slot, weight in sorted(weights.items())) or "none"


def _read_back(data: Mapping[str, Any]) -> list[str]:
    """What a step found that is worth a word."""
    found = []
    if data.get("synthetic"):
        queries = "query" if data["synthetic"] == 1 else "queries"
        found.append(f"{data['synthetic']} evaluation {queries}, synthetic")
    if data.get("slowest_seconds") is not None:
        found.append(f"the slowest took {data['slowest_seconds']:.2f} s")
    if data.get("verdicts"):
        passed = sum(1 for one in data["verdicts"] if one["outcome"] == "pass")
        found.append(f"{passed} of {len(data['verdicts'])} gates passed")
    if data.get("cut"):
        found.append(f"{data['cut']} requests were cut at the deadline")
    if "cut" in data and data["cut"] is None:
        found.append("how many requests were cut is not known")
    return found


def _begun(entry: Entry, data: Mapping[str, Any]) -> Told:
    origin = f" from {label(entry.application, data['from'])}" if data.get("from") else ""
    return f"the rollout to {label(entry.application, data['release'])}{origin} began", "", "plain"


def _window(entry: Entry, data: Mapping[str, Any]) -> Told | None:
    """A window that passed needs no line: it is in the table. One that did not is news."""
    odd = [one for one in data["verdicts"] if one["outcome"] != "pass"]
    if not odd:
        return None
    worst: Tone = "bad" if any(one["outcome"] == "fail" for one in odd) else "waiting"
    outcomes = " and ".join(dict.fromkeys(str(one["outcome"]) for one in odd))
    reasons = "; ".join(str(one["reason"]) for one in odd)
    return f"window at {data['weight']} %: {outcomes}", reasons, worst


def _waiting(entry: Entry, data: Mapping[str, Any]) -> Told:
    return f"it waits: {data['for']}", f"what ends it: {data['ends']}", "waiting"


def _ended(entry: Entry, data: Mapping[str, Any]) -> Told:
    tone: Tone = "good" if data["outcome"] == "completed" else "bad"
    return f"the rollout ended: {data['outcome']}", str(data.get("reason", "")), tone


def _live(entry: Entry, data: Mapping[str, Any]) -> Told:
    again = " again" if data.get("returned") else ""
    name = label(entry.application, data["release"])
    return f"{name} is live{again}", str(data.get("reason", "")), "good"


def _return_begun(entry: Entry, data: Mapping[str, Any]) -> Told:
    bad, goal = (label(entry.application, data[key]) for key in ("release", "goal"))
    return f"a return from {bad} to {goal} began", str(data["reason"]), "bad"


def _refused(entry: Entry, data: Mapping[str, Any]) -> Told:
    name = label(entry.application, data["release"])
    return f"{name} was refused", "; ".join(data["reasons"]), "bad"


def _lease(entry: Entry, data: Mapping[str, Any]) -> Told | None:
    """Only one that was taken from somebody: the others say nothing of a rollout."""
    why = (data.get("replaces") or {}).get("why")
    if why in (None, "never taken", "released"):
        return None
    return f"{data['verb']} took the lease over", f"the one before it: {why}", "waiting"


_TELLERS: Mapping[str, Callable[[Entry, Mapping[str, Any]], Told | None]] = {
    ROLLOUT_BEGUN: _begun,
    ROLLOUT_ENDED: _ended,
    WINDOW: _window,
    WAITING: _waiting,
    past.PAUSED: lambda entry, data: ("it was paused by hand", data["reason"], "waiting"),
    RESUMED: lambda entry, data: ("it was resumed", "", "plain"),
    APPROVED: lambda entry, data: (f"it was approved by {data['by']}", data["comment"], "good"),
    LEASE: _lease,
    past.LIVE: _live,
    past.RETURN_BEGUN: _return_begun,
    past.REFUSED: _refused,
    past.DESTROYED: lambda entry, data: ("everything was destroyed", "", "bad"),
}
