"""Who may act on an environment, read out of the ledger's entries and nothing else.

A lease is an entry; its sequence is its fence, so a later lease has a higher one. It lasts
``ttl`` seconds beyond the latest entry that was written under it, whatever that entry is,
until it is given back or a newer lease is written. Two clocks that differ make a lease end
early or late, and never let two holders write: the fence decides that, not the clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from release.errors import Waiting
from release.ledger.entry import Draft, Entry
from release.timestamps import rfc3339

LEASE, RENEWED, RELEASED = "lease", "lease-renewed", "lease-released"


@dataclass(frozen=True)
class Holder:
    """A process that holds a lease. ``started``: seconds from its machine's start to its own."""

    id: str
    verb: str
    host: str
    pid: int
    started: float

    def __str__(self) -> str:
        return f"{self.verb} (process {self.pid} on {self.host})"


@dataclass(frozen=True)
class Lease:
    """The right to act on ``environment``; ``ttl`` is in seconds."""

    environment: str
    fence: int
    ttl: float
    holder: Holder


class Status(StrEnum):
    """What the latest lease is worth."""

    HELD = "held"
    EXPIRED = "expired"
    RELEASED = "released"


@dataclass(frozen=True)
class LeaseState:
    """The latest lease of an environment: held since ``since``, until ``expires`` if unrenewed."""

    lease: Lease
    status: Status
    since: float
    expires: float


class LeaseHeld(Waiting):
    """Somebody else is acting on this environment."""

    def __init__(self, application: str, state: LeaseState) -> None:
        lease = state.lease
        super().__init__(
            f"{lease.environment} of {application} is held by {lease.holder} "
            f"under lease {lease.fence} since {rfc3339(state.since)}, until "
            f"{rfc3339(state.expires)} unless it renews. Wait for it to end. If it hangs, end "
            f"process {lease.holder.pid} on {lease.holder.host}: its lease is then free at "
            f"once there, elsewhere at that time. "
            f"`greenlight rollback --env {lease.environment}` need not wait."
        )
        self.state = state


class LeaseLost(Waiting):
    """This holder's lease is over: what it was about to do was not done."""

    def __init__(self, lease: Lease, reason: str) -> None:
        super().__init__(
            f"{lease.holder} no longer holds {lease.environment} (lease {lease.fence}): {reason}. "
            "Nothing more was done; run the command again, it goes on from what is there."
        )
        self.lease = lease


def current_lease(entries: Sequence[Entry], now: float, environment: str) -> LeaseState | None:
    """The latest lease of ``environment`` at ``now`` (seconds since 1970); None: never taken."""
    under: list[Entry] = []
    for entry in reversed(entries):
        if entry.environment != environment or entry.fence is None:
            continue
        under.append(entry)
        if entry.kind == LEASE:
            return _state(entry, under, now)
    return None


def require(entries: Sequence[Entry], lease: Lease, now: float) -> LeaseState:
    """The state of ``lease``, which must be the latest and held; LeaseLost otherwise."""
    state = current_lease(entries, now, lease.environment)
    if state is None:
        raise LeaseLost(lease, "the ledger does not know it")
    if state.lease.fence != lease.fence:
        raise LeaseLost(lease, f"{state.lease.holder} took lease {state.lease.fence}")
    if state.status is Status.RELEASED:
        raise LeaseLost(lease, "it was given back")
    if state.status is Status.EXPIRED:
        raise LeaseLost(lease, f"it ran out at {rfc3339(state.expires)}, unrenewed")
    return state


def lease_draft(lease: Lease, replaces: Mapping[str, Any] | None) -> Draft:
    """The entry that takes ``lease``. ``replaces``: the lease before it and why it was free."""
    holder = asdict(lease.holder)
    identity = holder.pop("id")
    data = {**holder, "ttl": lease.ttl, "replaces": replaces}
    return Draft(LEASE, lease.environment, data, holder=identity)


def lease_of(entry: Entry) -> Lease:
    """The lease that ``entry`` took."""
    data = entry.data
    holder = Holder(
        id=str(entry.holder),
        verb=str(data["verb"]),
        host=str(data["host"]),
        pid=int(data["pid"]),
        started=float(data["started"]),
    )
    return Lease(str(entry.environment), entry.sequence, float(data["ttl"]), holder)


def _state(taken: Entry, under: Sequence[Entry], now: float) -> LeaseState:
    """``under``: the entries since ``taken`` with a fence, the latest first."""
    lease = lease_of(taken)
    mine = [entry for entry in under if entry.fence == lease.fence]
    expires = mine[0].time + lease.ttl
    if any(entry.kind == RELEASED for entry in mine):
        status = Status.RELEASED
    else:
        status = Status.HELD if now < expires else Status.EXPIRED
    return LeaseState(lease, status, taken.time, expires)
