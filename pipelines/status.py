"""``status``: what is live where, what is on its way, and who is at work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipelines import past
from pipelines.facts import EnvironmentFacts
from pipelines.gather import environment_facts
from pipelines.reached import progress
from pipelines.run import holder
from pipelines.story import Rollout, tell
from pipelines.workspace import Workspace
from release.bundle import label
from release.errors import GreenlightError
from release.ledger import Entry
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
    facts, lease = environment_facts(workspace, name, entries), _lease(entries, name)
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
        "drift": _drift(workspace, facts, lease is not None),
        "lease": lease,
        "rollout": _rollout(workspace, name, entries),
    }


def _drift(workspace: Workspace, there: EnvironmentFacts, at_work: bool) -> list[str]:
    """What somebody should know of the environment, and put right."""
    told = [there.notice] if there.notice else []
    if there.returning and not at_work:
        goal = label(workspace.application, there.returning)
        verb = f"greenlight rollback {workspace.sources.app} --env {there.name}"
        told.append(f"the return to {goal} is not finished; `{verb}` finishes it")
    try:
        return [*told, *workspace.targets[there.name].drift()]
    except GreenlightError as error:
        return [*told, f"not known: {error}"]


def _rollout(workspace: Workspace, name: str, entries: tuple[Entry, ...]) -> dict[str, Any] | None:
    """The last rollout of the environment, None where there was none yet."""
    rollouts = tell(entries, name).rollouts
    if not rollouts:
        return None
    last = rollouts[-1]
    settings = last.settings or workspace.spec.rollout.model_dump(mode="json", by_alias=True)
    return rollout_document(workspace.application, last, settings)


def rollout_document(
    application: str, rollout: Rollout, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """A rollout as it stands: its last window, what it waits for, steps done and left."""
    waiting, window = rollout.waiting, rollout.windows[-1] if rollout.windows else None
    return {
        "release": label(application, rollout.release),
        "from": label(application, rollout.previous) if rollout.previous else None,
        "slot": rollout.slot or None,
        "begun": rfc3339(rollout.begun),
        "ended": rfc3339(rollout.ended) if rollout.ended is not None else None,
        "outcome": rollout.outcome,
        "reason": rollout.reason,
        "steps": progress(rollout, settings),
        "gates": [asdict(gate) for gate in rollout.gates],
        "window": {**asdict(window), "started": rfc3339(window.started)} if window else None,
        "waiting": waiting and {
            "for": waiting.reason, "since": rfc3339(waiting.since), "ends": waiting.ends
        },
    }  # fmt: skip


def _counts(workspace: Workspace, name: str, slot: str) -> dict[str, Any] | None:
    """The slot's counts, None where it has none: unknown is not zero."""
    try:
        return asdict(workspace.targets[name].measure(slot))
    except GreenlightError:
        return None


def _lease(entries: tuple[Entry, ...], environment: str) -> dict[str, Any] | None:
    state = holder(entries, time.time(), environment)
    if state is None:
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
