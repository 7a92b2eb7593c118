"""Who holds an environment, as data: entries and a time in, the state of the lease out."""

from __future__ import annotations

from typing import Any

import pytest

from release.ledger.entry import NOTHING, Entry
from release.ledger.leases import LeaseLost, Status, current_lease, require
from tests.release.making import holder

TTL = 120.0
PRODUCTION, STAGING = "production", "staging"


def entries(*rows: tuple[float, str, str | None, int | None]) -> tuple[Entry, ...]:
    """Rows of time, kind, environment and fence, numbered from 1."""
    return tuple(entry(number, *row) for number, row in enumerate(rows, 1))


def entry(number: int, time: float, kind: str, environment: str | None, fence: int | None) -> Entry:
    data: dict[str, Any] = {}
    if kind == "lease":
        data = {"verb": "ship", "host": "build-1", "pid": 4242, "started": 100.0, "ttl": TTL}
    by = None if fence is None else f"holder-{fence}"
    return Entry(
        "app", number, NOTHING, time, kind, environment, fence, by, data, (), f"{number:064d}"
    )


TAKEN = (0.0, "lease", PRODUCTION, 1)
HELD, EXPIRED, RELEASED = Status.HELD, Status.EXPIRED, Status.RELEASED

# name: (entries, now, (fence, status, since, expires) or None)
CASES: dict[str, tuple[tuple[Entry, ...], float, tuple[int, Status, float, float] | None]] = {
    "an empty ledger has no lease": ((), 0, None),
    "a lease of another environment is none of this one": (
        entries((0, "lease", STAGING, 1)), 1, None,
    ),
    "an entry under no lease takes none": (entries((0, "approved", PRODUCTION, None)), 1, None),
    "a lease is held from its entry on": (entries(TAKEN), 0, (1, HELD, 0, 120)),
    "and until just before its time is up": (entries(TAKEN), 119.9, (1, HELD, 0, 120)),
    "and no longer": (entries(TAKEN), 120, (1, EXPIRED, 0, 120)),
    "a renewal starts its time again": (
        entries(TAKEN, (100, "lease-renewed", PRODUCTION, 1)), 200, (1, HELD, 0, 220),
    ),
    "so does any entry under it": (
        entries(TAKEN, (100, "exposed", PRODUCTION, 1)), 200, (1, HELD, 0, 220),
    ),
    "an entry without the fence does not": (
        entries(TAKEN, (100, "approved", PRODUCTION, None)), 200, (1, EXPIRED, 0, 120),
    ),
    "nor one of another environment": (
        entries(TAKEN, (1, "lease", STAGING, 2), (100, "exposed", STAGING, 2)),
        200, (1, EXPIRED, 0, 120),
    ),
    "the latest entry counts, even when the clock went back": (
        entries(TAKEN, (100, "exposed", PRODUCTION, 1), (50, "exposed", PRODUCTION, 1)),
        180, (1, EXPIRED, 0, 170),
    ),
    "a lease that was given back is nobody's": (
        entries(TAKEN, (10, "lease-released", PRODUCTION, 1)), 20, (1, RELEASED, 0, 130),
    ),
    "a newer lease ends the older one": (
        entries(TAKEN, (10, "lease", PRODUCTION, 2)), 20, (2, HELD, 10, 130),
    ),
    "what the older one still wrote renews nothing": (
        entries(TAKEN, (10, "lease", PRODUCTION, 2), (100, "exposed", PRODUCTION, 1)),
        200, (2, EXPIRED, 10, 130),
    ),
    "what the older one gave back is not the newer one": (
        entries(TAKEN, (10, "lease", PRODUCTION, 2), (11, "lease-released", PRODUCTION, 1)),
        20, (2, HELD, 10, 130),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("ledger", "now", "expected"), CASES.values(), ids=CASES)
def test_the_state_of_a_lease(
    ledger: tuple[Entry, ...], now: float, expected: tuple[int, Status, float, float] | None
) -> None:
    state = current_lease(ledger, now, PRODUCTION)

    found = state and (state.lease.fence, state.status, state.since, state.expires)
    assert found == expected


# name: (what came after the lease, now, the reason that it is over or None)
LOST: dict[str, tuple[tuple[Any, ...], float, str | None]] = {
    "still held": ((), 119, None),
    "ran out": ((), 120, "ran out at 1970-01-01T00:02:00.000000Z, unrenewed"),
    "given back": (((1.0, "lease-released", PRODUCTION, 1),), 2, "given back"),
    "taken over": (((1.0, "lease", PRODUCTION, 2),), 2, r"\(process 4242 on build-1\) took lease"),
    "taken over, though that is over too": (((1.0, "lease", PRODUCTION, 2),), 500, "took lease 2"),
}


@pytest.mark.parametrize(("after", "now", "reason"), LOST.values(), ids=LOST)
def test_a_lease_is_required_to_be_the_latest_and_held(
    after: tuple[Any, ...], now: float, reason: str | None
) -> None:
    state = current_lease(entries(TAKEN), 0, PRODUCTION)
    assert state is not None
    ledger = entries(TAKEN, *after)

    if reason is None:
        assert require(ledger, state.lease, now).expires == 120
        return
    with pytest.raises(LeaseLost, match=reason) as error:
        require(ledger, state.lease, now)
    assert error.value.exit_code == 4


def test_a_lease_that_the_ledger_does_not_know_is_lost() -> None:
    state = current_lease(entries(TAKEN), 0, PRODUCTION)
    assert state is not None

    with pytest.raises(LeaseLost, match="does not know it"):
        require((), state.lease, 0)


def test_a_holder_is_named_by_what_it_does_and_where() -> None:
    assert str(holder("rollback")) == "rollback (process 4242 on build-1)"
