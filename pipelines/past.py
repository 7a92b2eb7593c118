"""What the ledger says: which release was live where, what was refused, held and measured.

Pure functions over entries. The kinds of entries that pipelines write are named here, beside
the code that reads them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from release.evidence import Binding
from release.ledger import Entry
from release.rollout_section import Rollout

BUILT = "built"
INTENT, DONE, FAILED = "intent", "done", "failed"
EVIDENCE = "evidence"
REFUSED = "refused"
LIVE = "live"
RETURN_BEGUN = "return-begun"
RETRY = "retry"
REVOKED = "revoked"
ROLLOUT_BEGUN, ROLLOUT_ENDED = "rollout-begun", "rollout-ended"
WINDOW = "window"
WAITING = "waiting"
PAUSED, RESUMED, APPROVED = "paused", "resumed", "approved"
DESTROYED = "destroyed"


@dataclass(frozen=True)
class LiveHistory:
    """The releases live in an environment: now, and before, newest first.

    ``returning`` and ``returned_from`` name the two ends of a return that was begun and not
    finished, though its goal may be live already; ``arriving`` the release last deployed since
    something was recorded as live; ``came_back`` whether the last return brought the live one.
    """

    live: str = ""
    before: tuple[str, ...] = ()
    returning: str = ""
    returned_from: str = ""
    arriving: str = ""
    came_back: bool = False


def is_destroyed(entry: Entry, environment: str) -> bool:
    """Whether ``entry`` says that ``environment`` is no more. One that names none is of all."""
    named = entry.data.get("environments") or (environment,)
    return entry.kind == DESTROYED and environment in named


def live_history(entries: Sequence[Entry], environment: str) -> LiveHistory:
    """What was live in ``environment``, from all entries."""
    live: list[str] = []
    returning = returned_from = arriving = ""
    came_back = False
    for entry in entries:
        if is_destroyed(entry, environment):
            live, returning, returned_from, arriving, came_back = [], "", "", "", False
        if entry.environment != environment:
            continue
        if entry.kind == RETURN_BEGUN:
            returning, returned_from = entry.data["goal"], entry.data["release"]
            came_back = False
        if entry.kind == LIVE:
            live.append(entry.data["release"])
            arriving, came_back = "", bool(entry.data.get("returned"))
        if (entry.kind == LIVE and not came_back) or _is_last_of_a_return(entry):
            returning = returned_from = ""
        if entry.kind == INTENT and entry.data.get("step") == "deploy":
            arriving = entry.data["release"]
    if not live:
        return LiveHistory("", (), returning, returned_from, arriving)
    newest_first = dict.fromkeys(reversed(live))
    del newest_first[live[-1]]
    arriving = "" if arriving == live[-1] else arriving
    before = tuple(newest_first)
    return LiveHistory(live[-1], before, returning, returned_from, arriving, came_back)


def _is_last_of_a_return(entry: Entry) -> bool:
    """``rollout-ended`` is written before the watcher goes: who is cut between them is not done."""
    return entry.kind == DONE and entry.data.get("step") == "end-rollout"


@dataclass(frozen=True)
class RolloutHistory:
    """A rollout that was begun and not ended, from its entries.

    ``settings`` are the spec's at its beginning. ``allowed`` are the steps that somebody resumed,
    ``approvals`` the evidence of those that somebody approved, whose signature is not checked
    here. ``live_since`` is when its release was recorded as live, None before.
    """

    release: str
    before: str
    slot: str
    blue: str
    settings: Rollout
    begun: float
    done: int = -1
    baseline: Mapping[str, Any] | None = None
    allowed: frozenset[int] = frozenset()
    approvals: Mapping[int, str] = field(default_factory=dict)
    live_since: float | None = None
    paused: bool = False
    waiting: Mapping[str, Any] | None = None

    @property
    def stands_by(self) -> float:
        """Seconds that blue is kept after the release was recorded as live."""
        return max(self.settings.soak, self.settings.scale_down_delay)

    @property
    def stands_by_until(self) -> float:
        """Until when blue is kept; for ever while the release is not live."""
        return math.inf if self.live_since is None else self.live_since + self.stands_by


def rollout(entries: Sequence[Entry], environment: str) -> RolloutHistory | None:
    """The rollout under way in ``environment``; a return ends it where it begins."""
    found: RolloutHistory | None = None
    for entry in entries:
        if is_destroyed(entry, environment):
            found = None
        elif entry.environment == environment:
            found = _rollout_after(found, entry)
    return found


def _rollout_after(found: RolloutHistory | None, entry: Entry) -> RolloutHistory | None:
    data = entry.data
    if entry.kind == ROLLOUT_BEGUN:
        settings = Rollout.model_validate_json(json.dumps(data["settings"]))
        return RolloutHistory(data["release"], data["from"], data["slot"], data["blue"],
                              settings, entry.time)  # fmt: skip
    if found is None:
        return None
    match entry.kind:
        case "rollout-ended" | "return-begun":
            return None
        case "live":
            return (
                replace(found, live_since=entry.time) if data["release"] == found.release else None
            )
        case "intent":  # somebody goes on with it
            return replace(found, waiting=None)
        case "done" if data.get("index", -1) > found.done:
            return replace(found, done=data["index"])
        case "window" if data["phase"] == "baseline":
            return replace(found, baseline=data["blue"])
        case "paused":
            return replace(found, paused=True)
        case "resumed":
            allowed = found.allowed | {data["index"]}
            waiting = waiting_after(found.waiting, entry)
            return replace(found, paused=False, waiting=waiting, allowed=allowed)
        case "approved":
            approvals = {**found.approvals, data["index"]: entry.refs[0]}
            return replace(found, waiting=waiting_after(found.waiting, entry), approvals=approvals)
        case "waiting":
            return replace(found, waiting=data)
    return found


def soak_windows(entries: Sequence[Entry], environment: str) -> tuple[Mapping[str, Any], ...]:
    """What watchers have seen of the rollout under way in ``environment``, in order."""
    found: list[Mapping[str, Any]] = []
    for entry in entries:
        if entry.environment == environment and entry.kind == ROLLOUT_BEGUN:
            found = []
        elif entry.environment == environment and entry.kind == WINDOW:
            found += [entry.data] if entry.data["phase"] == "soak" else []
    return tuple(found)


def waiting_after(waited: Mapping[str, Any] | None, word: Entry) -> Mapping[str, Any] | None:
    """What is waited for after a person's word: whoever shipped has ended, and has to come again.

    None where the command is at work, only paused, and goes on by itself.
    """
    if waited is None or word.data.get("at_work"):
        return None
    ends = "the command that shipped it, run again"
    return {**waited, "for": "somebody to ship it on", "since": word.time, "ends": ends,
            "until": "ship", "index": -1}  # fmt: skip


def held(entries: Sequence[Entry]) -> Mapping[str, str]:
    """Releases that were judged and brought back, with the reason; a retry lets one go."""
    reasons: dict[str, str] = {}
    for entry in entries:
        if entry.kind == RETURN_BEGUN and entry.data.get("hold", True):
            reasons[entry.data["release"]] = entry.data["reason"]
        if entry.kind == RETRY:
            reasons.pop(entry.data["release"], None)
    return reasons


def revoked(entries: Sequence[Entry]) -> frozenset[str]:
    """Releases that may not run any more."""
    return frozenset(entry.data["release"] for entry in entries if entry.kind == REVOKED)


def refusals(entries: Sequence[Entry], binding: Binding, incumbent: str) -> tuple[str, ...]:
    """Why exactly this was refused before: same release, set, policy and incumbent."""
    reasons: tuple[str, ...] = ()
    for entry in entries:
        if entry.kind == RETRY and entry.data["release"] == binding.release:
            reasons = ()
        if entry.kind == REFUSED and _is_about(entry, binding, incumbent):
            reasons = tuple(entry.data["reasons"])
    return reasons


def evidence_entries(entries: Sequence[Entry], kind: str, release: str) -> Iterator[Entry]:
    """The entries that refer to evidence of ``kind`` for ``release``, the newest first."""
    for entry in reversed(entries):
        if entry.kind == EVIDENCE and entry.data["kind"] == kind:
            if entry.data["release"] == release:
                yield entry
        elif entry.kind == RETRY and entry.data["release"] == release:
            return


def seconds(entries: Sequence[Entry]) -> Mapping[str, float]:
    """How long each kind of step took the last time."""
    return {
        entry.data["step"]: float(entry.data["seconds"]) for entry in entries if entry.kind == DONE
    }


def _is_about(entry: Entry, binding: Binding, incumbent: str) -> bool:
    data = entry.data
    return bool(
        data["release"] == binding.release
        and data["evaluation_set"] == binding.evaluation_set
        and data["policy"] == binding.policy
        and data["incumbent"] == incumbent
    )
