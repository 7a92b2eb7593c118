"""Reading what is: ledger, evidence, targets and the program's fingerprint → facts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace

from pipelines import past
from pipelines.facts import EnvironmentFacts, Facts, RolloutFacts
from pipelines.provisioning import provision_reason
from pipelines.workspace import Workspace
from release.bundle import parse_release
from release.errors import Refused
from release.evidence import Kind, verify
from release.integrity import Damaged
from release.ledger import Entry, Records


def gather(workspace: Workspace, entries: Sequence[Entry]) -> Facts:
    """The facts of the application now. Reads everything, changes nothing."""
    workspace.require_cases()
    environments = tuple(
        _with_room(
            workspace,
            _for_promotion(workspace, environment_facts(workspace, name, entries), entries),
        )
        for name in workspace.environments
    )
    binding, incumbent = workspace.binding, incumbent_of(environments, workspace)
    release = workspace.built.release
    return Facts(
        application=workspace.application,
        candidate=release.digest,
        environments=environments,
        engines={**_engines(workspace, environments), release.digest: release.engine_key},
        provision_reason=provision_reason(workspace, environments),
        evidence=valid_evidence(workspace, entries, incumbent),
        refusals=past.refusals(entries, binding, incumbent),
        held=past.held(entries),
        revoked=past.revoked(entries),
        seconds=past.seconds(entries),
    )


def gather_for_return(workspace: Workspace, entries: Sequence[Entry], name: str) -> Facts:
    """What a return needs, and no more: nothing that is wrong with the candidate stops it."""
    there = environment_facts(workspace, name, entries)
    return Facts(
        application=workspace.application,
        candidate="",
        environments=(there,),
        engines=_engines(workspace, (there,)),
        held=past.held(entries),
        revoked=past.revoked(entries),
        seconds=past.seconds(entries),
    )


def _engines(workspace: Workspace, environments: Sequence[EnvironmentFacts]) -> dict[str, str]:
    """The model server that each release needs which is, or was, live somewhere."""
    known = {
        digest
        for one in environments
        for digest in (one.live, *one.before, *(slot.release for slot in one.slots.values()))
        if digest
    }
    engines, blobs = {}, workspace.records().blobs
    for digest in known:
        with contextlib.suppress(Damaged):  # one that cannot be read cannot be shared with either
            engines[digest] = parse_release(blobs.get(digest)).engine_key
    return engines


def environment_facts(
    workspace: Workspace, name: str, entries: Sequence[Entry]
) -> EnvironmentFacts:
    """One environment: its target's facts and its ledger's."""
    found = workspace.targets[name].facts()
    lived = past.live_history(entries, name)
    return EnvironmentFacts(
        name=name,
        provisioned=found.provisioned,
        address=found.address,
        reason=found.reason,
        notice=found.notice,
        away=found.away,
        slots=found.slots,
        weights=found.weights,
        live=lived.live,
        before=lived.before,
        returning=lived.returning,
        returned_from=lived.returned_from,
        arriving=lived.arriving,
        came_back=lived.came_back,
        rollout=_rollout(past.rollout(entries, name), workspace),
    )


def _rollout(found: past.RolloutHistory | None, workspace: Workspace) -> RolloutFacts | None:
    if found is None:
        return None
    return RolloutFacts(
        release=found.release,
        before=found.before,
        done=found.done,
        measured=found.baseline is not None,
        allowed=found.allowed,
        keeps=found.live_since is not None and workspace.clock.time() < found.stands_by_until,
    )


def _for_promotion(
    workspace: Workspace, there: EnvironmentFacts, entries: Sequence[Entry]
) -> EnvironmentFacts:
    """``there``, as a promotion may go on from it: with the approvals that are valid, and without
    a rollout that was begun with other steps. A return asks for neither.
    """
    found = past.rollout(entries, there.name)
    if found is None or there.rollout is None:
        return there
    if found.live_since is None and found.settings != workspace.spec.rollout:
        return replace(there, rollout=None)
    allowed = there.rollout.allowed | _approved(workspace, found)
    return replace(there, rollout=replace(there.rollout, allowed=allowed))


def _with_room(workspace: Workspace, there: EnvironmentFacts) -> EnvironmentFacts:
    """``there``, with the room that the candidate has where it is still to be started. What is not
    provisioned yet is counted too: later, the pods would be the first to find out.
    """
    release = workspace.built.release
    slot = there.slots.get(there.slot_of(release.digest))
    if there.away or (slot and slot.state == "ready"):
        return there
    with workspace.placed():
        return replace(there, room=workspace.targets[there.name].room(release))


def _approved(workspace: Workspace, found: past.RolloutHistory) -> frozenset[int]:
    """The steps whose approval is signed, for the candidate, by somebody trusted to approve."""
    records, valid = workspace.records(), set()
    for index, digest in found.approvals.items():
        with contextlib.suppress(Refused):
            verify(
                records.blobs.get(digest), records.trusted, Kind.APPROVAL, workspace.binding,
                workspace.clock.time(), records.blobs.store.where(digest),
            )  # fmt: skip
            valid.add(index)
    return frozenset(valid)


def incumbent_of(environments: Sequence[EnvironmentFacts], workspace: Workspace) -> str:
    """The release that the candidate has to be held against, or an empty string."""
    live = environments[-1].live
    return "" if live == workspace.built.release.digest else live


def valid_evidence(
    workspace: Workspace, entries: Sequence[Entry], incumbent: str
) -> frozenset[str]:
    """The kinds of evidence that hold for the candidate now and say yes."""
    if not entries:
        return frozenset()
    records, release = workspace.records(), workspace.binding.release
    valid = set()
    for kind in (Kind.COMPLIANCE, Kind.EVALUATION):
        name = kind.name.lower()
        verdicts = (
            _verdict(workspace, records, kind, entry, incumbent)
            for entry in past.evidence_entries(entries, name, release)
        )
        if next((one for one in verdicts if one is not None), False):
            valid.add(name)
    return frozenset(valid)


def _verdict(
    workspace: Workspace, records: Records, kind: Kind, entry: Entry, incumbent: str
) -> bool | None:
    """What the envelope that ``entry`` refers to says; None when it is not about this, or over.

    The newest that applies decides, so an older yes does not outlive a newer no. An evaluation
    against one incumbent says nothing about another; once the candidate itself is live there is
    none to be held against.
    """
    digest = entry.refs[0]
    try:
        statement = verify(
            records.blobs.get(digest),
            records.trusted,
            kind,
            workspace.binding,
            time.time(),
            records.blobs.store.where(digest),
        )
    except Refused:
        return None
    against = statement.result.get("incumbent", "")
    if kind is Kind.EVALUATION and incumbent and against != incumbent:
        return None
    return statement.result["passed"] is True
