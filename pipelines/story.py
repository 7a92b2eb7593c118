"""From ledger entries to the story of the rollouts of one environment: pure, frozen values.

The report, the live view and ``status`` tell the same story because they read it here. Ledgers
that were written before rollouts were marked have one too, made of their steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipelines import past
from pipelines.analysis import Finding, Side, Window
from pipelines.chapters import Chapter, chapters, refused_elsewhere
from pipelines.happenings import Line, happenings
from pipelines.past import APPROVED, RESUMED, ROLLOUT_BEGUN, ROLLOUT_ENDED, WAITING, WINDOW
from release.ledger import Entry

Outcome = Literal[
    "under way", "completed", "returned", "expired", "refused", "destroyed", "taken over"
]


def _end(window: Window) -> float:
    return window.started + window.seconds


@dataclass(frozen=True)
class Wait:
    """It waited for ``reason`` from ``since`` until ``until``, None when it still does.

    ``ends`` says what would end, or would have ended, the waiting.
    """

    reason: str
    ends: str
    since: float
    until: float | None = None


@dataclass(frozen=True)
class Weights:
    """The weights of the slots, per cent, from ``at`` on (seconds since 1970)."""

    at: float
    slots: Mapping[str, int]


@dataclass(frozen=True)
class Rollout:
    """One rollout of ``release``, or one return from it by hand; times in seconds since 1970.

    ``previous`` is the release that was live, or that a return leads to; empty when there was
    none. ``slot`` holds ``release``. ``ended`` is None while it is under way. ``step`` is the index
    of the last of its steps that was done, -1 before one was.
    """

    release: str
    previous: str
    slot: str
    begun: float
    ended: float | None
    outcome: Outcome
    reason: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[Weights, ...] = ()
    windows: tuple[Window, ...] = ()
    waits: tuple[Wait, ...] = ()
    gates: tuple[Finding, ...] = ()
    lines: tuple[Line, ...] = ()
    step: int = -1

    @property
    def waiting(self) -> Wait | None:
        """What it waits for now."""
        return next((wait for wait in self.waits if wait.until is None), None)

    @property
    def last(self) -> float:
        """When it ended, or when the last thing that is recorded of it happened.

        Never before it began, whatever the clock of who wrote it did in between.
        """
        if self.ended is not None:
            return max(self.begun, self.ended)
        return max(self.begun, *(line.at for line in self.lines), *map(_end, self.windows))


@dataclass(frozen=True)
class Refusal:
    """A release that a gate kept from coming here; ``at`` in seconds since 1970."""

    release: str
    at: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """The rollouts of an environment, oldest first, and what never came to one."""

    environment: str
    rollouts: tuple[Rollout, ...]
    refusals: tuple[Refusal, ...]


def tell(entries: Sequence[Entry], environment: str) -> Story:
    """The story of ``environment``, from all entries of the application."""
    told = chapters(entries, environment)
    judged = _gates(entries)
    refusals = tuple(
        Refusal(str(one.data["release"]), one.time, tuple(one.data["reasons"]))
        for one in refused_elsewhere(entries, told)
    )
    return Story(environment, tuple(_rollout(one, judged) for one in told), refusals)


def _rollout(chapter: Chapter, judged: Mapping[str, Sequence[_Gates]]) -> Rollout:
    first, ending = chapter.entries[0], chapter.ending
    outcome, reason = _ending(chapter)
    end = ending.sequence if ending else chapter.entries[-1].sequence
    known = [one.verdicts for one in judged.get(chapter.release, ()) if one.sequence <= end]
    return Rollout(
        release=chapter.release,
        previous=_previous(chapter),
        slot=_slot(chapter),
        begun=first.time,
        ended=ending.time if ending else None,
        outcome=outcome,
        reason=reason,
        settings=_settings(chapter.entries),
        weights=_weights(chapter),
        windows=tuple(window(e.data) for e in chapter.entries if e.kind == WINDOW),
        waits=_waits(chapter),
        gates=known[-1] if known else (),
        lines=happenings(chapter.entries),
        step=_step(chapter.entries),
    )


def _ending(chapter: Chapter) -> tuple[Outcome, str]:
    """How it ended and why; the reason of a return is what it was begun for."""
    begun = [e for e in chapter.entries if e.kind == past.RETURN_BEGUN]
    back = str(begun[-1].data["reason"]) if begun else ""
    end = chapter.ending
    if end is None:
        return ("taken over" if chapter.taken_over else "under way"), back
    if end.kind == ROLLOUT_ENDED:
        outcome: Outcome = end.data["outcome"]
        return outcome, str(end.data.get("reason") or back)
    if end.kind == past.REFUSED:
        return "refused", "; ".join(end.data["reasons"])
    if end.kind == past.DESTROYED:
        return "destroyed", "the environment was destroyed"
    if end.data.get("returned") or begun:
        return "returned", back or str(end.data.get("reason", ""))
    return "completed", str(end.data.get("reason", ""))


def _step(entries: Sequence[Entry]) -> int:
    done = (entry.data.get("index", -1) for entry in entries if entry.kind == past.DONE)
    return max(done, default=-1)


def _previous(chapter: Chapter) -> str:
    begun = [e for e in chapter.entries if e.kind == ROLLOUT_BEGUN]
    named = str(begun[0].data["from"]) if begun else chapter.before.live
    return chapter.goal if named in ("", chapter.release) else named


def _slot(chapter: Chapter) -> str:
    """The slot of the release: a window names it, and so does every step on it."""
    named = [
        str(entry.data["slot"])
        for entry in chapter.entries
        if entry.data.get("release") == chapter.release and entry.data.get("slot")
    ]
    return named[-1] if named else ""


def _settings(entries: Sequence[Entry]) -> Mapping[str, Any]:
    found = [entry.data["settings"] for entry in entries if entry.kind == ROLLOUT_BEGUN]
    return dict(found[-1]) if found else {}


def _weights(chapter: Chapter) -> tuple[Weights, ...]:
    """Every setting that was read back, and first what it found when it began."""
    found = [
        Weights(entry.time, dict(entry.data["weights"]))
        for entry in chapter.entries
        if entry.kind == past.DONE and entry.data.get("step") == "set-weights"
    ]
    before = chapter.before.weights
    start = [Weights(chapter.entries[0].time, before)] if before else []
    return (*start, *found)


def window(data: Mapping[str, Any]) -> Window:
    """The window that an entry holds. What later versions add to one is passed over."""
    return Window(
        started=float(data["started"]),
        seconds=float(data["seconds"]),
        phase=data["phase"],
        weight=int(data["weight"]),
        replayed=bool(data["replayed"]),
        green=_side(data["green"]),
        blue=_side(data["blue"]),
        verdicts=tuple(judged(one) for one in data["verdicts"]),
    )


def _side(data: Mapping[str, Any] | None) -> Side | None:
    if data is None:
        return None
    return Side(**{name: data[name] for name in Side.__dataclass_fields__ if name in data})


def judged(data: Mapping[str, Any]) -> Finding:
    """A verdict as an entry holds it."""
    limit = data.get("limit")
    return Finding(data["metric"], data["outcome"], data["reason"], data.get("value"), limit)


def _waits(chapter: Chapter) -> tuple[Wait, ...]:
    """Each wait until the entry that shows that it is over, or until the next one."""
    waits: list[Wait] = []
    now: Mapping[str, Any] | None = None
    over = (RESUMED, APPROVED, past.INTENT, past.DONE, ROLLOUT_ENDED, past.DESTROYED)
    for entry in chapter.entries:
        if entry.kind not in (*over, WAITING):
            continue
        if now is not None:
            waits[-1] = replace(waits[-1], until=entry.time)
        now = _waited_for(now, entry)
        if now is not None:
            waits.append(Wait(str(now["for"]), str(now["ends"]), float(now["since"])))
    return tuple(waits)


def _waited_for(before: Mapping[str, Any] | None, entry: Entry) -> Mapping[str, Any] | None:
    if entry.kind in (RESUMED, APPROVED):
        return past.waiting_after(before, entry)
    return entry.data if entry.kind == WAITING else None


@dataclass(frozen=True)
class _Gates:
    sequence: int
    verdicts: tuple[Finding, ...]


def _gates(entries: Sequence[Entry]) -> Mapping[str, Sequence[_Gates]]:
    """What the gates said of each release, in any environment, by the entry that says it."""
    found: dict[str, list[_Gates]] = {}
    evaluated: dict[str | None, str] = {}
    for entry in entries:
        if entry.kind == past.INTENT and entry.data.get("step") == "evaluate":
            evaluated[entry.environment] = str(entry.data["release"])
        if entry.kind == past.DONE and entry.data.get("verdicts"):
            verdicts = tuple(judged(one) for one in entry.data["verdicts"])
            release = evaluated.get(entry.environment, "")
            found.setdefault(release, []).append(_Gates(entry.sequence, verdicts))
        if entry.kind == past.REFUSED:
            reasons = tuple(Finding("", "fail", str(one)) for one in entry.data["reasons"])
            found.setdefault(entry.data["release"], []).append(_Gates(entry.sequence, reasons))
    return found
