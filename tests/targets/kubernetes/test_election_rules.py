"""Who may act, whatever a cluster's answers and a process's sleep do: on a Lease in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.targets.kubernetes.election import (
    Candidacy,
    Claim,
    Election,
    LeaseAwayError,
    NotLeadingError,
    OvertakenError,
    Terms,
)
from pipelines.targets.kubernetes.watcher_pod import LeadersClock

TERMS = Terms()


@dataclass
class Time:
    """A clock that a test moves on."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Lease:
    """A Lease with the API server's rule: who writes has to have read the latest version.

    ``lost``: of the next write, its ``request`` or its ``answer``. ``slow``: seconds that pass
    between a request's arrival and its answer.
    """

    time: Time
    claim: Claim = field(default_factory=Claim)
    away: bool = False
    lost: str = ""
    slow: float = 0.0

    def read(self) -> Claim:
        if self.away:
            raise LeaseAwayError("away")
        return self.claim

    def write(self, claim: Claim) -> None:
        lost, self.lost = self.lost, ""
        if self.away or lost == "request":
            raise LeaseAwayError("away")
        if claim.version != self.claim.version:
            raise OvertakenError("409")
        self.claim = replace(claim, version=str(int(self.claim.version or 0) + 1))
        self.time.now += self.slow
        if lost == "answer":
            raise LeaseAwayError("no answer")


@dataclass
class Pair:
    """Two candidates and their Lease."""

    time: Time = field(default_factory=Time)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lease = Lease(self.time)
        self.a, self.b = (self.candidate(name) for name in "ab")

    def candidate(self, name: str) -> Election:
        return Election(self.lease, name, self.said.append, TERMS, self.time)


def test_the_first_takes_a_lease_that_nobody_has() -> None:
    pair = Pair()

    pair.a.attempt()
    pair.b.attempt()

    assert (pair.a.leads(), pair.b.leads()) == (True, False)


def test_whoever_follows_takes_a_lease_that_nobody_renewed_for_as_long_as_it_lasts() -> None:
    pair = Pair()
    pair.a.attempt()
    pair.b.attempt()

    pair.time.now += TERMS.lasts - 0.1
    pair.b.attempt()
    early = pair.b.leads()
    pair.time.now += 0.1
    pair.b.attempt()

    assert not early
    assert pair.b.leads()
    assert pair.lease.claim.transitions == 1


def test_a_lease_that_is_renewed_stays() -> None:
    pair = Pair()
    for _ in range(50):
        pair.a.attempt()
        pair.b.attempt()
        pair.time.now += TERMS.pause

    assert pair.a.leads()
    assert not pair.b.leads()


def test_a_leader_that_cannot_renew_stops_acting_before_anybody_may_take_over() -> None:
    pair = Pair()
    pair.a.attempt()
    pair.lease.away = True

    pair.time.now += TERMS.acts
    pair.a.attempt()

    assert pair.a.lost
    assert TERMS.acts + TERMS.answer < TERMS.lasts


def test_the_time_to_act_counts_from_before_the_request_since_its_answer_may_be_slow() -> None:
    pair = Pair()
    pair.lease.slow = TERMS.acts
    pair.a.attempt()

    assert not pair.a.leads()


def test_one_that_lost_does_not_lead_again() -> None:
    """Even when nobody took the Lease meanwhile: it does not know what it slept through."""
    pair = Pair()
    pair.a.attempt()
    pair.time.now += TERMS.acts
    pair.a.attempt()

    assert pair.a.lost
    pair.time.now += 100
    pair.a.attempt()
    assert not pair.a.leads()


def test_a_write_that_was_not_answered_is_found_to_be_its_own() -> None:
    pair = Pair()
    pair.lease.lost = "answer"
    pair.a.attempt()
    before = pair.a.leads()
    pair.a.attempt()

    assert not before
    assert pair.a.leads()
    assert pair.lease.claim.transitions == 0


def test_a_lease_that_was_given_back_is_taken_at_once() -> None:
    pair = Pair()
    pair.a.attempt()
    pair.b.attempt()

    pair.a.resign()
    pair.b.attempt()

    assert not pair.a.leads()
    assert pair.b.leads()


def test_nobody_gives_back_what_is_anothers() -> None:
    pair = Pair()
    pair.a.attempt()
    pair.b.attempt()

    pair.b.resign()

    assert pair.lease.claim.holder == "a"


def test_what_lasts_is_said_once() -> None:
    """S06: a cluster that is away for an hour is one line."""
    pair = Pair()
    pair.lease.away = True
    for _ in range(100):
        pair.a.attempt()

    assert pair.said == ["away"]


def test_who_does_not_lead_is_not_told_the_time() -> None:
    """Which every entry of the ledger takes."""
    pair = Pair()
    clock = LeadersClock(pair.a)
    pair.a.attempt()
    assert clock.time() > 0

    pair.time.now += TERMS.acts
    with pytest.raises(NotLeadingError, match="a does not lead"):
        clock.time()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_process_whose_election_breaks_is_ended() -> None:
    """It would else stand by for ever, and never act."""
    ended = threading.Event()

    class Broken:
        lost = False

        def attempt(self) -> None:
            raise RuntimeError("nobody thought of it")

        def resign(self) -> None:
            """Nothing to give back."""

    broken: Any = Broken()
    candidacy = Candidacy(broken, TERMS, ended.set)
    candidacy.start()

    assert ended.wait(30)
    candidacy.stop()


ACTS = st.sampled_from(["a", "b", "new", "resign a", "resign b"])
FAULTS = st.sampled_from(["", "", "", "away", "request", "answer", "slow"])
PASSES = st.sampled_from([0.0, 0.5, 2.0, 7.9, 8.0, 11.9, 12.0, 60.0])


@settings(max_examples=300)
@given(st.lists(st.tuples(ACTS, FAULTS, PASSES), max_size=60))
def test_s09_never_two_lead_at_once(history: list[tuple[str, str, float]]) -> None:
    """Whatever is lost, slow or away, whoever sleeps for however long, and starts anew."""
    pair, old = Pair(), list[Election]()
    for number, (act, fault, passes) in enumerate(history):
        lease = pair.lease
        lease.away, lease.slow = fault == "away", 9.0 if fault == "slow" else 0.0
        lease.lost = fault if fault in ("request", "answer") else ""
        if act == "new":
            old.append(pair.a)
            pair.a = pair.candidate(f"a{number}")
        else:
            candidate = pair.a if act.endswith("a") else pair.b
            candidate.resign() if act.startswith("resign") else candidate.attempt()
        assert sum(one.leads() for one in (pair.a, pair.b, *old)) <= 1
        pair.time.now += passes
        assert sum(one.leads() for one in (pair.a, pair.b, *old)) <= 1
