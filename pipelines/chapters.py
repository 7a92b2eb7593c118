"""Where one rollout ends and the next begins, in a ledger that only says what happened.

A ledger interleaves environments, verbs and takeovers, and the oldest ones do not mark a rollout
at all. Everything that tells of a rollout starts from the same cut, and the cut is made here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.past import (
    DESTROYED,
    DONE,
    INTENT,
    LIVE,
    REFUSED,
    RETURN_BEGUN,
    ROLLOUT_BEGUN,
    ROLLOUT_ENDED,
    WAITING,
    is_destroyed,
)
from release.ledger import Entry


@dataclass(frozen=True)
class Before:
    """What an environment was when a chapter began: the release live in it, and the weights."""

    live: str = ""
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Chapter:
    """The entries that tell of one rollout of ``release``, or of one return from it by hand.

    ``entries`` go on after ``ending``: a slot is retired when nobody asks it any more. ``goal`` is
    where a return that was begun leads. ``taken_over``: the next rollout began before an ending.
    """

    release: str
    before: Before
    entries: tuple[Entry, ...]
    ending: Entry | None = None
    goal: str = ""
    taken_over: bool = False


@dataclass
class _Draft:
    """A chapter that is still being read; linear in its entries, however long a soak was."""

    release: str
    before: Before
    entries: list[Entry] = field(default_factory=list)
    marked: bool = False
    goal: str = ""
    ending: Entry | None = None

    def add(self, entry: Entry) -> None:
        """Take ``entry`` in; the rollout's own word on its end counts more than what implies it."""
        self.entries.append(entry)
        self.marked = self.marked or entry.kind == ROLLOUT_BEGUN
        if entry.kind == RETURN_BEGUN:
            self.goal = str(entry.data["goal"])
        if entry.kind == ROLLOUT_ENDED or (self.ending is None and self._implies_end(entry)):
            self.ending = entry

    def _implies_end(self, entry: Entry) -> bool:
        """A marked rollout soaks after it is live; one of the oldest ledgers ends there."""
        if entry.kind == LIVE:
            return not self.marked or bool(entry.data.get("returned"))
        return entry.kind in (DESTROYED, REFUSED)

    def finished(self, last: bool) -> Chapter:
        """The chapter as it is told."""
        taken_over = self.ending is None and not last
        entries = tuple(self.entries)
        return Chapter(self.release, self.before, entries, self.ending, self.goal, taken_over)


def chapters(entries: Sequence[Entry], environment: str) -> tuple[Chapter, ...]:
    """The rollouts of ``environment``, oldest first, from all entries of the application."""
    drafts: list[_Draft] = []
    compared, lived, before = _compared(entries, environment), set[str](), Before()
    for entry in entries:
        current = drafts[-1] if drafts else None
        if _concerns(entry, environment, current):
            opens = _opens(entry, current, before, compared & lived)
            if opens:
                drafts.append(_Draft(opens, before))
            if drafts:
                drafts[-1].add(entry)
        before = _after(before, entry, environment)
        if entry.kind == LIVE:
            lived.add(str(entry.data["release"]))
    return tuple(draft.finished(last=draft is drafts[-1]) for draft in drafts)


def refused_elsewhere(entries: Sequence[Entry], told: Sequence[Chapter]) -> tuple[Entry, ...]:
    """The refusals that belong to none of these chapters: those releases never came here."""
    inside = {entry.sequence for chapter in told for entry in chapter.entries}
    return tuple(e for e in entries if e.kind == REFUSED and e.sequence not in inside)


def _compared(entries: Sequence[Entry], environment: str) -> set[str]:
    """Releases that were put here to be compared with: that is no rollout of theirs."""
    evaluations = (
        entry.data
        for entry in entries
        if entry.environment == environment and entry.data.get("step") == "evaluate"
    )
    return {str(data["incumbent"]) for data in evaluations if data.get("incumbent")}


def _concerns(entry: Entry, environment: str, current: _Draft | None) -> bool:
    """A refusal has no environment: it is of the release that waits for traffic here."""
    if entry.kind == REFUSED:
        return bool(current and not current.ending and current.release == entry.data["release"])
    if entry.kind == DESTROYED:
        return current is not None and is_destroyed(entry, environment)
    return entry.environment == environment


def _opens(entry: Entry, current: _Draft | None, before: Before, compared: set[str]) -> str:
    """The release whose chapter ``entry`` opens, empty when it goes on with the current one."""
    busy = current if current and not current.ending else None
    release = str(entry.data.get("release", ""))
    if entry.kind == ROLLOUT_BEGUN:
        return "" if busy and busy.release == release else release
    if entry.kind in (RETURN_BEGUN, WAITING):
        return "" if busy else release
    if entry.kind != INTENT or entry.data.get("step") != "deploy":
        return ""
    known = {before.live} | compared | ({busy.release, busy.goal} if busy else set())
    return "" if release in known else release


def _after(before: Before, entry: Entry, environment: str) -> Before:
    if entry.kind == DESTROYED:
        return Before()
    if entry.environment != environment:
        return before
    if entry.kind == LIVE:
        return Before(str(entry.data["release"]), before.weights)
    if entry.kind == DONE and entry.data.get("step") == "set-weights":
        return Before(before.live, dict(entry.data["weights"]))
    return before
