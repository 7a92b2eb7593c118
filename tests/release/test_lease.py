"""Leases: one acts on an environment at a time, and the others learn who."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from release.lease import TTL, acquire, held, is_gone, release, renew, this_process
from release.ledger import Entry, Ledger, verify
from release.ledger.leases import Holder, LeaseHeld, LeaseLost
from tests.release.making import HandClock, holder, ledger, records

PRODUCTION = "production"
PATIENCE = 20.0  # seconds; only a test that fails waits that long


def alive(_: Holder) -> bool:
    return False


def dead(_: Holder) -> bool:
    return True


def test_the_fence_of_a_lease_is_the_sequence_of_its_entry() -> None:
    book = ledger()
    book.append("built")

    lease = acquire(book, PRODUCTION, "ship")

    entry = book.entries[-1]
    assert (lease.fence, entry.fence, entry.sequence) == (2, 2, 2)
    assert (entry.kind, entry.environment, entry.holder) == ("lease", PRODUCTION, lease.holder.id)


def test_an_entry_under_a_lease_carries_its_fence_and_its_holder() -> None:
    book = ledger()
    lease = acquire(book, PRODUCTION, "ship")

    entry = book.append("exposed", PRODUCTION, lease=lease)

    assert (entry.fence, entry.holder) == (lease.fence, lease.holder.id)


def test_a_lease_covers_its_own_environment_only() -> None:
    book = ledger()
    lease = acquire(book, PRODUCTION, "ship")

    with pytest.raises(ValueError, match="a lease of production for an entry of staging"):
        book.append("exposed", "staging", lease=lease)
    assert acquire(book, "staging", "ship").fence == 2


def test_s09_a_second_holder_is_told_who_holds_it_since_when_until_when_and_what_to_do() -> None:
    book = ledger()
    acquire(book, PRODUCTION, "ship", holder=holder("ship"))

    with pytest.raises(LeaseHeld) as error:
        acquire(ledger(book.records), PRODUCTION, "promote", gone=alive)

    assert error.value.exit_code == 4
    text = str(error.value)
    assert "production of support-bot is held by ship (process 4242 on build-1)" in text
    assert "since 2026-01-01T12:00:00.000000Z, until 2026-01-01T12:02:00.000000Z" in text
    assert "end process 4242 on build-1" in text
    assert "greenlight rollback --env production" in text
    assert len(book.refresh()) == 1


def test_a_lease_that_ran_out_can_be_taken_with_a_higher_fence() -> None:
    clock = HandClock()
    book = ledger(clock=clock)
    first = acquire(book, PRODUCTION, "ship")
    clock.now += TTL

    second = acquire(book, PRODUCTION, "promote", gone=alive)

    assert second.fence > first.fence
    assert book.entries[-1].data["replaces"] == {
        "fence": first.fence,
        "holder": first.holder.id,
        "why": "expired",
    }


def test_a_lease_that_was_given_back_can_be_taken() -> None:
    book = ledger()

    assert release(book, acquire(book, PRODUCTION, "ship"))

    assert acquire(book, PRODUCTION, "promote", gone=alive).fence == 3


def test_a_renewal_keeps_a_lease() -> None:
    clock = HandClock()
    book = ledger(clock=clock)
    lease = acquire(book, PRODUCTION, "ship")
    clock.now += TTL - 1
    renew(book, lease)
    clock.now += TTL - 1

    with pytest.raises(LeaseHeld):
        acquire(book, PRODUCTION, "promote", gone=alive)


def test_s09_a_rollback_takes_over_and_the_other_learns_it_at_its_next_entry() -> None:
    shared = records()
    ship, rollback = ledger(shared), ledger(shared)
    old = acquire(ship, PRODUCTION, "ship")

    new = acquire(rollback, PRODUCTION, "rollback", takeover=True, gone=alive)

    assert new.fence > old.fence
    with pytest.raises(LeaseLost, match=r"rollback \(process .* took lease 2"):
        ship.append("exposed", PRODUCTION, lease=old)
    assert [entry.kind for entry in ship.entries] == ["lease", "lease"]


def test_a_holder_whose_lease_ran_out_writes_nothing_even_while_it_is_free() -> None:
    """As after a stop and a late wake: it has to take the lease again, and look again."""
    clock = HandClock()
    book = ledger(clock=clock)
    lease = acquire(book, PRODUCTION, "ship")
    clock.now += TTL

    with pytest.raises(LeaseLost, match="ran out"):
        book.append("exposed", PRODUCTION, lease=lease)
    with pytest.raises(LeaseLost, match="ran out"):
        renew(book, lease)
    assert len(book.entries) == 1


def test_a_lost_lease_cannot_be_given_back() -> None:
    book = ledger()
    old = acquire(book, PRODUCTION, "ship")
    acquire(book, PRODUCTION, "rollback", takeover=True)

    assert not release(book, old)
    assert [entry.kind for entry in book.entries] == ["lease", "lease"]


class Between(Ledger):
    """A ledger in which something happens between the reading and the writing."""

    happens: Callable[[], object] | None = None

    def refresh(self) -> tuple[Entry, ...]:
        found = super().refresh()
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        return found


def between(other: Ledger) -> Between:
    return Between(other.records, other.signer, other.clock)


def test_s09_a_writer_that_lost_a_race_reads_its_lease_again_before_it_tries_again() -> None:
    rollback = ledger()
    ship = between(rollback)
    lease = acquire(ship, PRODUCTION, "ship")
    ship.happens = lambda: acquire(rollback, PRODUCTION, "rollback", takeover=True)

    with pytest.raises(LeaseLost, match="took lease 2"):
        ship.append("exposed", PRODUCTION, lease=lease)

    assert [entry.kind for entry in ship.entries] == ["lease", "lease"]
    assert verify(ship.records).problems == ()


def test_s09_of_two_that_find_the_lease_free_one_takes_it_and_the_other_reads_who() -> None:
    fast = ledger()
    slow = between(fast)
    slow.happens = lambda: acquire(fast, PRODUCTION, "promote", holder=holder("promote", "b"))

    with pytest.raises(LeaseHeld, match=r"held by promote \(process 4242 on build-1\)"):
        acquire(slow, PRODUCTION, "ship", gone=alive)

    assert len(slow.entries) == 1


def test_a_lost_race_against_another_environment_does_not_cost_the_lease() -> None:
    other = ledger()
    book = between(other)
    book.happens = lambda: acquire(other, "staging", "ship")

    assert acquire(book, PRODUCTION, "ship").fence == 2


# Holders that died


def test_a_lease_whose_process_is_gone_is_free_at_once() -> None:
    book = ledger()
    acquire(book, PRODUCTION, "ship", holder=holder())

    acquire(book, PRODUCTION, "ship", gone=dead)

    assert book.entries[-1].data["replaces"]["why"] == "its process is gone"


def test_this_process_is_not_gone() -> None:
    assert not is_gone(this_process("ship"))


def test_a_process_elsewhere_is_believed_to_live() -> None:
    assert not is_gone(holder(host="not-" + socket.gethostname()))


def test_a_process_that_reuses_a_number_is_not_the_holder() -> None:
    me = this_process("ship")

    assert is_gone(replace(me, started=me.started - 3600))


def test_s09_the_lease_of_a_killed_process_is_free_at_once_reaped_or_not() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    me = this_process("ship")
    born = psutil.Process(child.pid).create_time() - psutil.boot_time()
    theirs = replace(me, pid=child.pid, started=born)
    try:
        assert not is_gone(theirs)

        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert is_gone(theirs)
    finally:
        child.kill()
        child.communicate()
    assert is_gone(theirs)


# Kept in the background


def renewals(book: Ledger) -> int:
    return sum(entry.kind == "lease-renewed" for entry in book.refresh())


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when ``condition`` holds; fail when it does not for a long time."""
    pause, tries = threading.Event(), int(PATIENCE / 0.005)
    assert any(condition() or pause.wait(0.005) for _ in range(tries))


def test_a_held_lease_is_given_back_at_the_end() -> None:
    book = ledger()

    with held(book, PRODUCTION, "ship") as kept:
        book.append("exposed", PRODUCTION, lease=kept.lease)

    assert [entry.kind for entry in book.entries] == ["lease", "exposed", "lease-released"]
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_a_held_lease_is_given_back_when_the_work_fails() -> None:
    book = ledger()

    with pytest.raises(ZeroDivisionError), held(book, PRODUCTION, "ship"):
        raise ZeroDivisionError

    assert book.entries[-1].kind == "lease-released"
    assert "lease" not in {thread.name for thread in threading.enumerate()}


def test_a_held_lease_is_renewed_a_third_of_its_time_after_the_last_entry() -> None:
    clock = HandClock()
    book = ledger(clock=clock)

    with held(book, PRODUCTION, "ship", ttl=0.03) as kept:
        clock.now += 0.0201
        wait_for(lambda: renewals(book) == 1)
        clock.now += 0.0201
        wait_for(lambda: renewals(book) == 2)

    assert not kept.lost.is_set()
    assert book.entries[-1].kind == "lease-released"


def test_work_that_appends_needs_no_renewals() -> None:
    clock = HandClock()
    book = ledger(clock=clock)
    looks = threading.Semaphore(0)
    read_on = book.refresh

    def counted() -> tuple[Entry, ...]:
        looks.release()
        return read_on()

    book.refresh = counted  # type: ignore[method-assign]
    with held(book, PRODUCTION, "ship", ttl=0.03) as kept:
        for _ in range(3):
            clock.now += 0.009
            book.append("step", PRODUCTION, lease=kept.lease)
            for _ in range(4):
                assert looks.acquire(timeout=PATIENCE)

    assert renewals(book) == 0


def test_a_takeover_is_seen_by_the_holder_while_it_works_and_at_its_next_entry() -> None:
    shared = records()
    ship, rollback = ledger(shared), ledger(shared)

    with held(ship, PRODUCTION, "ship", ttl=0.03) as kept:
        acquire(rollback, PRODUCTION, "rollback", takeover=True, holder=holder("rollback"))
        assert kept.lost.wait(PATIENCE)
        with pytest.raises(LeaseLost, match="rollback"):
            ship.append("exposed", PRODUCTION, lease=kept.lease)

    assert [entry.kind for entry in rollback.refresh()] == ["lease", "lease"]


def test_a_holder_that_slept_too_long_is_told_that_its_lease_is_lost() -> None:
    clock = HandClock()
    book = ledger(clock=clock)

    with held(book, PRODUCTION, "ship", ttl=0.03) as kept:
        clock.now += 1
        assert kept.lost.wait(PATIENCE)

    assert [entry.kind for entry in book.entries] == ["lease"]


def test_a_storage_that_fails_for_a_moment_does_not_cost_the_lease() -> None:
    clock = HandClock()
    book = ledger(clock=clock)
    failures = iter([OSError("no space"), OSError("no space")])
    read_on = book.refresh

    def flaky() -> tuple[Entry, ...]:
        for error in failures:
            raise error
        return read_on()

    with held(book, PRODUCTION, "ship", ttl=0.03) as kept:
        book.refresh = flaky  # type: ignore[method-assign]
        clock.now += 0.0201
        wait_for(lambda: any(entry.kind == "lease-renewed" for entry in book.entries))

    assert not kept.lost.is_set()
