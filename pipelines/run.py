"""One verb at work: the workspace, its open ledger, and the leases that it holds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines import past
from pipelines.clock import SYSTEM, Clock
from pipelines.facts import Facts
from pipelines.gather import gather
from pipelines.reporting import Reporter
from pipelines.steps import Step
from pipelines.targets.base import Target
from pipelines.workspace import Workspace
from release.errors import GreenlightError
from release.evidence import Binding, Kind, Statement, attest
from release.lease import HeldLease, held, is_gone
from release.ledger import Entry, Ledger
from release.ledger.leases import Lease, LeaseHeld, LeaseState, Status, current_lease

WATCH = "watch"
"""The verb under which a watcher holds a lease: to bring back or to stand down, no longer."""

WATCHER_PATIENCE = 45.0  # seconds: a drain of 30, and what is around it

VALID_FOR = 30 * 86_400.0
"""Seconds that evidence holds: a month, after which models and data have moved on."""


class BreachError(GreenlightError):
    """A step showed that the candidate must not have traffic in ``environment``."""

    def __init__(self, environment: str, release: str, reason: str) -> None:
        super().__init__(reason)
        self.environment = environment
        self.release = release
        self.reason = reason


class GateRefusedError(GreenlightError):
    """A gate said no before any user was concerned."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass
class Run:
    """What a step may use: where it is, what it may write, and whom it tells."""

    workspace: Workspace
    ledger: Ledger
    leases: Mapping[str, HeldLease]
    reporter: Reporter
    clock: Clock = SYSTEM
    results: list[dict[str, Any]] = field(default_factory=list)
    step: Step | None = None

    def facts(self) -> Facts:
        """What is, read now."""
        return gather(self.workspace, self.ledger.refresh())

    def lease(self, environment: str) -> Lease:
        """The lease of ``environment``, whose fence goes with every write to its target."""
        return self.leases[environment].lease

    def target(self, environment: str) -> Target:
        """The target of ``environment``."""
        return self.workspace.targets[environment]

    def append(
        self, kind: str, data: Mapping[str, Any], environment: str = "", refs: tuple[str, ...] = ()
    ) -> None:
        """Append to the ledger, under the environment's lease where there is an environment."""
        lease = self.lease(environment) if environment else None
        self.ledger.append(kind, environment or None, data, refs, lease)

    def keep(self, data: bytes) -> str:
        """Keep a blob beside the evidence; its digest."""
        return self.ledger.records.blobs.put(data)

    def attest(self, kind: Kind, result: Mapping[str, Any], refs: tuple[str, ...]) -> str:
        """Sign ``result`` as evidence for the candidate and record it; the envelope's digest."""
        workspace, now = self.workspace, time.time()
        binding: Binding = workspace.binding
        statement = Statement(
            kind=kind,
            name=workspace.built.release.label,
            binding=binding,
            issued=now,
            expires=now + VALID_FOR,
            result=result,
        )
        digest = self.keep(attest(statement, self.ledger.signer))
        data = {"kind": kind.name.lower(), **vars(binding), "passed": result["passed"]}
        self.append(past.EVIDENCE, data, refs=(digest, *refs))
        return digest

    def record_build(self) -> None:
        """The candidate's model in the cache; its lock file kept, and named in the ledger once."""
        built, cache = self.workspace.built, self.workspace.cache
        release = built.release
        if built.model and release.file:
            cache.keep(built.model, release.file.sha256, self._models_in_use())
        known = {e.data["release"] for e in self.ledger.entries if e.kind == past.BUILT}
        if release.digest not in known:
            data = {"release": release.digest, "label": release.label}
            self.append(past.BUILT, data, refs=(self.keep(release.content),))

    def _models_in_use(self) -> frozenset[str]:
        """SHA-256 of every model that a slot or the next return needs: the cache keeps these."""
        releases = {
            slot.release
            for target in self.workspace.targets.values()
            for slot in target.facts().slots.values()
        }
        for name in self.workspace.environments:
            releases.update(past.live_history(self.ledger.entries, name).before[:1])
        files = (self.workspace.release(one).file for one in releases)
        return frozenset(one.sha256 for one in files if one)


def holder(entries: Sequence[Entry], now: float, environment: str) -> LeaseState | None:
    """The lease of ``environment`` that somebody alive holds at ``now``; None when nobody does."""
    state = current_lease(entries, now, environment)
    if state is None or state.status is not Status.HELD or is_gone(state.lease.holder):
        return None
    return state


@contextlib.contextmanager
def open_run(
    workspace: Workspace,
    verb: str,
    environments: tuple[str, ...],
    reporter: Reporter,
    takeover: bool = False,
) -> Iterator[Run]:
    """A run that holds the leases of ``environments``. Waiting, naming who, when one is held."""
    ledger, ttl = workspace.open_ledger(), workspace.spec.rollout.lease_duration
    with contextlib.ExitStack() as stack:
        leases = {name: _take(stack, ledger, name, verb, ttl, takeover) for name in environments}
        yield Run(workspace, ledger, leases, reporter, workspace.clock)


def _take(
    stack: contextlib.ExitStack, ledger: Ledger, environment: str, verb: str, ttl: float,
    takeover: bool,
) -> HeldLease:  # fmt: skip
    """The lease, for as long as ``stack`` is open; the watcher's, which is brief, is waited for."""
    give_up = time.monotonic() + WATCHER_PATIENCE
    while True:
        try:
            return stack.enter_context(held(ledger, environment, verb, ttl, takeover))
        except LeaseHeld as error:
            if error.state.lease.holder.verb != WATCH or time.monotonic() > give_up:
                raise
            time.sleep(0.5)
