"""``pause``, ``resume`` and ``approve``: a person's word to a rollout that is under way.

A word is an entry and needs no lease: whoever runs the rollout, a command or the watcher, reads it
at the next look. An approval is signed evidence, with a key that no pipeline can use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pipelines import past
from pipelines.run import VALID_FOR, holder
from pipelines.workspace import Workspace
from release.bundle import label
from release.errors import BadInput, GreenlightError, Problem, Refused
from release.evidence import Binding, Kind, Statement, attest
from release.keys import Role, SigningKey, approver_key, trust, trusted_keys
from release.ledger import Entry, Ledger

KEY = "approver.key"


def default_key() -> Path:
    """A person's own key: ``$XDG_CONFIG_HOME/greenlight/approver.key``, by default in ~/.config."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "greenlight" / KEY


def pause(workspace: Workspace, environment: str, reason: str = "") -> str:
    """Hold the weights: green gets no more before it is resumed. Windows go on being judged."""
    ledger, rollout = _under_way(workspace, environment)
    if rollout.live_since is not None:
        raise BadInput(_nothing("a rollout whose weights still move", "one that soaks"))
    if rollout.paused:
        return f"{environment} is paused already"
    ledger.append(past.PAUSED, environment, {"release": rollout.release, "reason": reason})
    return f"{environment} is paused; `greenlight resume` lets it go on"


def resume(workspace: Workspace, environment: str) -> str:
    """Let a rollout go on that was paused by hand, by the spec, or by what could not be judged."""
    ledger, rollout = _under_way(workspace, environment)
    waits = rollout.waiting or {}
    if waits.get("until") == "approve":
        raise Refused(f"{environment} waits for an approval: `greenlight approve`")
    if not rollout.paused and not waits:
        return f"{environment} is not paused"
    at_work = holder(ledger.entries, workspace.clock.time(), environment) is not None
    data = {"release": rollout.release, "index": waits.get("index", -1), "at_work": at_work}
    ledger.append(past.RESUMED, environment, data)
    return _goes_on(environment, not at_work)


def approve(
    workspace: Workspace, environment: str, key: Path, *, trusted: bool = False, comment: str = ""
) -> str:
    """Say yes where the spec asks for it, signed with ``key``, which is made at first use.

    ``trusted``: trust that key as an approver's from now on. Refused when it is not trusted.
    """
    ledger, rollout = _under_way(workspace, environment)
    waits = rollout.waiting or {}
    if waits.get("until") != "approve":
        raise BadInput(_nothing("a rollout that waits for an approval", _state(rollout)))
    signer, keys = approver_key(key), workspace.state.keys
    if trusted:
        trust(keys, signer.public, Role.APPROVER)
    if not trusted_keys(keys).trusts(signer.keyid, Role.APPROVER):
        raise Refused(
            f"the key in {key} is not trusted to approve; whoever owns {keys} trusts it once with "
            "`greenlight approve --trust`"
        )
    index = int(waits["index"])
    digest = ledger.blobs.put(_statement(workspace, ledger.entries, rollout, signer, comment))
    data = {"release": rollout.release, "index": index, "by": signer.keyid, "comment": comment}
    ledger.append(past.APPROVED, environment, data, (digest,))
    return _goes_on(environment, True)


def _statement(
    workspace: Workspace, entries: Sequence[Entry], rollout: past.RolloutHistory,
    signer: SigningKey, comment: str,
) -> bytes:  # fmt: skip
    evidence = next(past.evidence_entries(entries, "evaluation", rollout.release), None)
    if evidence is None:
        raise GreenlightError(f"there is no evaluation of {rollout.release[:7]} to approve")
    names = ("release", "evaluation_set", "policy")
    now = workspace.clock.time()
    statement = Statement(
        kind=Kind.APPROVAL,
        name=label(workspace.application, rollout.release),
        binding=Binding(**{name: evidence.data[name] for name in names}),
        issued=now,
        expires=now + VALID_FOR,
        result={"passed": True, "comment": comment},
    )
    return attest(statement, signer)


def _under_way(workspace: Workspace, environment: str) -> tuple[Ledger, past.RolloutHistory]:
    workspace.environment(environment)
    rollout = past.rollout(workspace.entries(), environment)
    if rollout is None:
        raise BadInput(_nothing("a rollout under way", f"none in {environment}"))
    return workspace.open_ledger(), rollout


def _nothing(expected: str, found: str) -> Problem:
    return Problem(path="--env", expected=expected, found=found,
                   remedy="`greenlight status` shows what is under way.")  # fmt: skip


def _state(rollout: past.RolloutHistory) -> str:
    if rollout.live_since is not None:
        return "one that soaks"
    return f"one that waits for {rollout.waiting['for']}" if rollout.waiting else "one at work"


def _goes_on(environment: str, ended: bool) -> str:
    how = "run `greenlight ship` again to go on" if ended else "it goes on with the next window"
    return f"{environment}: recorded; {how}"
