"""What the ledger says: which release was live where, what was refused, held and measured.

Pure functions over entries. The kinds of entries that pipelines write are named here, beside
the code that reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from release.evidence import Binding
from release.ledger import Entry

BUILT = "built"
INTENT, DONE, FAILED = "intent", "done", "failed"
EVIDENCE = "evidence"
REFUSED = "refused"
LIVE = "live"
RETURN_BEGUN = "return-begun"
RETRY = "retry"
REVOKED = "revoked"
DESTROYED = "destroyed"


@dataclass(frozen=True)
class LiveHistory:
    """The releases live in an environment: now, and before, newest first.

    ``returning`` and ``returned_from`` name the two ends of a return that was begun and not
    finished; ``arriving`` the release last deployed since something was recorded as live.
    """

    live: str = ""
    before: tuple[str, ...] = ()
    returning: str = ""
    returned_from: str = ""
    arriving: str = ""


def live_history(entries: Sequence[Entry], environment: str) -> LiveHistory:
    """What was live in ``environment``, from all entries."""
    live: list[str] = []
    returning = returned_from = arriving = ""
    for entry in entries:
        if entry.kind == DESTROYED:
            live, returning, returned_from, arriving = [], "", "", ""
        if entry.environment != environment:
            continue
        if entry.kind == RETURN_BEGUN:
            returning, returned_from = entry.data["goal"], entry.data["release"]
        if entry.kind == LIVE:
            live.append(entry.data["release"])
            returning = returned_from = arriving = ""
        if entry.kind == INTENT and entry.data.get("step") == "deploy":
            arriving = entry.data["release"]
    if not live:
        return LiveHistory("", (), returning, returned_from, arriving)
    newest_first = dict.fromkeys(reversed(live))
    del newest_first[live[-1]]
    arriving = "" if arriving == live[-1] else arriving
    return LiveHistory(live[-1], tuple(newest_first), returning, returned_from, arriving)


def held(entries: Sequence[Entry]) -> Mapping[str, str]:
    """Releases that were brought back, with the reason; a retry lets one go."""
    reasons: dict[str, str] = {}
    for entry in entries:
        if entry.kind == RETURN_BEGUN:
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
