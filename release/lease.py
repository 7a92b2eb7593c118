"""Taking, keeping and giving back the right to act on an environment.

Taking a lease is an append, so of two that try at once create-only lets one win, and the
other reads who that was. A holder that is a dead process on this machine holds nothing; one
elsewhere is believed until its time is up. A rollback never waits: it takes over, and the
higher fence ends whatever the other was doing.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from release.errors import GreenlightError
from release.ledger.entry import Draft, Entry
from release.ledger.leases import (
    RELEASED,
    RENEWED,
    Holder,
    Lease,
    LeaseHeld,
    LeaseLost,
    LeaseState,
    Status,
    current_lease,
    lease_draft,
    lease_of,
    require,
)
from release.ledger.log import Ledger

TTL = 120.0
"""Seconds. Long enough for a machine under load to renew in time, short enough to wait for."""

_SAME_START = 2.0  # seconds; the kernel's start time of the machine is a whole number of them


def this_process(verb: str) -> Holder:
    """A new holder that is this process."""
    pid = os.getpid()
    return Holder(str(uuid.uuid4()), verb, socket.gethostname(), pid, _started(pid) or 0.0)


def is_gone(holder: Holder) -> bool:
    """Whether ``holder`` was a process of this machine, and is no more."""
    if holder.host != socket.gethostname():
        return False
    started = _started(holder.pid)
    return started is None or abs(started - holder.started) > _SAME_START


def acquire(
    ledger: Ledger,
    environment: str,
    verb: str,
    ttl: float = TTL,
    takeover: bool = False,
    holder: Holder | None = None,
    gone: Callable[[Holder], bool] = is_gone,
) -> Lease:
    """The lease of ``environment`` for ``ttl`` seconds; LeaseHeld, naming who, when it is taken.

    ``takeover`` takes it from whoever holds it, with a higher fence.
    """
    me = holder or this_process(verb)

    def decide(entries: Sequence[Entry]) -> Draft:
        state = current_lease(entries, ledger.clock(), environment)
        reason = _free(state, takeover, gone)
        if state is not None and reason is None:
            raise LeaseHeld(ledger.application, state)
        return lease_draft(Lease(environment, 0, ttl, me), _replaced(state, reason))

    return lease_of(ledger.transact(decide))


def renew(ledger: Ledger, lease: Lease) -> Entry:
    """Start the lease's time again; LeaseLost when it is over."""
    return ledger.append(RENEWED, lease.environment, lease=lease)


def release(ledger: Ledger, lease: Lease) -> bool:
    """Give the lease back; False when it was no longer this holder's to give."""
    try:
        ledger.append(RELEASED, lease.environment, lease=lease)
    except LeaseLost:
        return False
    return True


class HeldLease:
    """A lease that a thread keeps alive. ``lost`` is set when it could not."""

    def __init__(self, ledger: Ledger, lease: Lease) -> None:
        self.lease = lease
        self.lost = threading.Event()
        self._ledger = ledger
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew, a third of the lease's time after each entry under it."""
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing; returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        pause = self.lease.ttl / 3
        while not self._stop.wait(pause):
            try:
                pause = self._renew_if_due()
            except LeaseLost:
                self.lost.set()
                return
            except (GreenlightError, OSError):
                # The disk may be full for a moment. If it stays so the lease runs out, and
                # the next append says both.
                pause = self.lease.ttl / 12

    def _renew_if_due(self) -> float:
        """Seconds until the next look. Work that appends keeps its lease by that alone."""
        third, now = self.lease.ttl / 3, self._ledger.clock()
        state = require(self._ledger.refresh(), self.lease, now)
        early = state.expires - 2 * third - now
        if early > 0:
            return min(early, third)
        renew(self._ledger, self.lease)
        return third


@contextmanager
def held(
    ledger: Ledger, environment: str, verb: str, ttl: float = TTL, takeover: bool = False
) -> Iterator[HeldLease]:
    """Hold the lease of ``environment`` while the block runs, renewed in the background.

    LeaseHeld when it is taken. Work in the block appends with ``.lease``; once the lease is
    lost, ``.lost`` is set and the next append raises LeaseLost.
    """
    kept = HeldLease(ledger, acquire(ledger, environment, verb, ttl, takeover))
    kept.start()
    try:
        yield kept
    finally:
        kept.stop()
        release(ledger, kept.lease)


def _free(state: LeaseState | None, takeover: bool, gone: Callable[[Holder], bool]) -> str | None:
    """Why the lease may be taken, None when it may not."""
    if state is None:
        return "never taken"
    if state.status is not Status.HELD:
        return state.status.value
    if gone(state.lease.holder):
        return "its process is gone"
    return "taken over" if takeover else None


def _replaced(state: LeaseState | None, reason: str | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {"fence": state.lease.fence, "holder": state.lease.holder.id, "why": reason}


def _started(pid: int) -> float | None:
    """Seconds from the machine's start to the process's; None when no such process runs.

    Counted from the machine's start because that stands still when somebody sets the clock.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return round(process.create_time() - psutil.boot_time(), 2)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None  # another user's process cannot be the holder: the record is ours alone
