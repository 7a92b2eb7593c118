"""What no ledger may ever say, whoever wrote it, was killed while at it, and went on with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines import past
from release.ledger import Entry

ENDS: Mapping[str, tuple[str, ...]] = {
    past.RETRY: (past.LIVE, past.EVIDENCE, past.ROLLOUT_BEGUN, past.APPROVED),
    past.DESTROYED: (past.LIVE, past.EVIDENCE, past.ROLLOUT_BEGUN, past.APPROVED),
    past.RETURN_BEGUN: (past.LIVE, past.ROLLOUT_BEGUN, past.APPROVED),
    past.ROLLOUT_ENDED: (past.ROLLOUT_BEGUN, past.APPROVED),
}
"""After which kinds of entries others may come again."""


def twice(entries: tuple[Entry, ...]) -> list[str]:
    """What was recorded again though it was so already: live, begun, proved or approved."""
    seen: set[tuple[Any, ...]] = set()
    found = []
    for entry in entries:
        data = entry.data
        seen = {one for one in seen if one[0] not in ENDS.get(entry.kind, ())}
        if entry.kind in (past.LIVE, past.ROLLOUT_BEGUN, past.EVIDENCE, past.APPROVED):
            key = (entry.kind, entry.environment, data["release"], data.get("kind"),
                   data.get("index"))  # fmt: skip
            found += [f"{entry.sequence}: {key}"] if key in seen else []
            seen.add(key)
    return found


def moved_while_paused(entries: tuple[Entry, ...]) -> list[str]:
    """Steps that gave green more while somebody had paused the rollout."""
    found, paused, green, weight = [], False, "", 0
    for entry in entries:
        if entry.environment != "production":
            continue
        data = entry.data
        if entry.kind == past.ROLLOUT_BEGUN:
            green, paused = data["slot"], False
        if entry.kind in (past.PAUSED, past.RESUMED):
            paused = entry.kind == past.PAUSED
        if entry.kind in (past.ROLLOUT_ENDED, past.RETURN_BEGUN, past.LIVE):
            paused = False
        if entry.kind == past.DONE and data["step"] == "set-weights":
            given = data["weights"].get(green, 0)
            found += [f"{entry.sequence}: {weight} to {given}"] if paused and given > weight else []
            weight = given
    return found
