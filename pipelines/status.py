"""``status``: what is live where, what is on its way, and who is at work."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from pipelines import past
from pipelines.gather import environment_facts
from pipelines.workspace import Workspace
from release.bundle import label
from release.errors import GreenlightError
from release.ledger import Entry
from release.ledger.leases import Status, current_lease
from release.timestamps import rfc3339


def status(workspace: Workspace) -> dict[str, Any]:
    """The application's state as one JSON document. Reads only."""
    entries = workspace.entries()
    candidate, problem = _candidate(workspace)
    return {
        "application": workspace.application,
        "candidate": candidate,
        "problem": problem,
        "environments": {
            name: _environment(workspace, name, entries) for name in workspace.environments
        },
        "held": {
            label(workspace.application, digest): reason
            for digest, reason in past.held(entries).items()
        },
        "ledger": {"entries": len(entries), "last": _last(entries)},
    }


def _candidate(workspace: Workspace) -> tuple[str | None, str | None]:
    """The candidate's label, or why there is none: what is live is shown either way."""
    try:
        return workspace.built.release.label, None
    except GreenlightError as error:
        return None, str(error)


def _environment(workspace: Workspace, name: str, entries: tuple[Entry, ...]) -> dict[str, Any]:
    facts = environment_facts(workspace, name, entries)
    application = workspace.application
    return {
        "provisioned": facts.provisioned,
        "reason": facts.reason,
        "address": facts.address,
        "live": label(application, facts.live) if facts.live else None,
        "before": [label(application, digest) for digest in facts.before],
        "slots": {
            slot: {
                "release": label(application, one.release),
                "state": one.state,
                "reason": one.reason,
                "weight": facts.weights.get(slot, 0),
                "counts": _counts(workspace, name, slot) if facts.provisioned else None,
            }
            for slot, one in sorted(facts.slots.items())
        },
        "lease": _lease(entries, name),
    }


def _counts(workspace: Workspace, name: str, slot: str) -> dict[str, Any] | None:
    """The slot's counts, None where it has none: unknown is not zero."""
    try:
        return asdict(workspace.targets[name].measure(slot))
    except GreenlightError:
        return None


def _lease(entries: tuple[Entry, ...], environment: str) -> dict[str, Any] | None:
    state = current_lease(entries, time.time(), environment)
    if state is None or state.status is not Status.HELD:
        return None
    return {
        "holder": str(state.lease.holder),
        "fence": state.lease.fence,
        "since": rfc3339(state.since),
        "until": rfc3339(state.expires),
    }


def _last(entries: tuple[Entry, ...]) -> dict[str, Any] | None:
    if not entries:
        return None
    last = entries[-1]
    return {"sequence": last.sequence, "kind": last.kind, "time": rfc3339(last.time)}
