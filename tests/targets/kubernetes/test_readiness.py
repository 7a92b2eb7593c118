"""When a watcher's pod says that it could do its work, and that saying so decides nothing else."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipelines.targets.base import TargetFacts
from pipelines.targets.kubernetes.readiness import (
    STALE_SECONDS,
    Needs,
    Outlook,
    Readiness,
    Turns,
)
from pipelines.targets.kubernetes.watcher_pod import Pulse, telling_health
from release.errors import GreenlightError
from tests.targets.kubernetes.test_election_rules import TERMS, Pair, Time

THERE = TargetFacts(True, weights={"blue": 100, "green": 0})


@dataclass
class World:
    """What a watcher needs, each of which can be away."""

    facts_now: TargetFacts = THERE
    ledger_away: str = ""
    counts_away: str = ""
    measured: list[str] = field(default_factory=list)

    def refresh(self) -> None:
        if self.ledger_away:
            raise OSError(self.ledger_away)

    def facts(self) -> TargetFacts:
        return self.facts_now

    def measure(self, slot: str) -> None:
        self.measured.append(slot)
        if self.counts_away:
            raise GreenlightError(self.counts_away)


@dataclass
class Pod:
    """One that leads unless another does, with all that its answer comes from."""

    pair: Pair = field(default_factory=Pair)
    world: World = field(default_factory=World)
    turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        needs: Any = self.world
        self.said: list[str] = []
        self.outlook = Outlook(lambda: Needs(needs, needs), self.said.append, self.pair.time)
        self.ready = Readiness(self.pair.a, self.outlook, self.turns)

    def look(self) -> str:
        """Try the Lease and look once; the trouble."""
        self.pair.a.attempt()
        self.outlook.look()
        return self.ready.trouble()


def asked(port: int, path: str) -> tuple[int, str]:
    """The status and the words of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_who_has_all_that_a_turn_needs_is_ready_whether_it_leads_or_waits() -> None:
    """Counts are asked for of who has users alone."""
    leads, waits = Pod(), Pod()
    waits.pair.b.attempt()

    assert (leads.look(), waits.look()) == ("", "")
    assert (leads.pair.a.leads(), waits.pair.a.leads()) == (True, False)
    assert leads.world.measured == ["blue"]


AWAY = TargetFacts(False, reason="the API server does not answer", away=True)


@pytest.mark.parametrize(
    ("world", "why"),
    [
        (World(ledger_away="no such credential"), "no such credential"),
        (World(facts_now=AWAY), "the API server does not answer"),
        (World(counts_away="Prometheus does not answer"), "Prometheus does not answer"),
    ],
)
@pytest.mark.parametrize("leads", [True, False])
def test_s06_who_lacks_something_is_not_ready_and_says_what_once(
    world: World, why: str, leads: bool
) -> None:
    """Also the one that waits: nobody else would notice before it has to act."""
    pod = Pod(world=replace(world, measured=[]))
    if not leads:
        pod.pair.b.attempt()

    assert [pod.look(), pod.look()] == [why, why]
    assert pod.said == [f"not ready: {why}"]
    assert pod.pair.a.leads() == leads  # who is not ready leads as any other


def test_what_is_back_makes_it_ready_again_by_what_is_opened_anew() -> None:
    pod = Pod(world=World(ledger_away="away"))
    pod.look()

    pod.world.ledger_away = ""

    assert pod.look() == ""


def test_a_leader_whose_turn_fails_is_not_ready_until_one_succeeds() -> None:
    """Reading everything is not writing it: a role may be missing on the ledger's container."""
    pod = Pod()
    pod.look()

    with pytest.raises(GreenlightError), pod.turns.noted():
        raise GreenlightError("may not write the ledger")
    failed = pod.ready.trouble()
    with pod.turns.noted():
        pass

    assert (failed, pod.ready.trouble()) == ("may not write the ledger", "")


def test_it_is_not_ready_before_it_has_looked_nor_while_a_look_hangs() -> None:
    pod = Pod()
    pod.pair.b.attempt()
    pod.pair.a.attempt()
    before = pod.ready.trouble()
    pod.look()
    pod.pair.time.now += STALE_SECONDS
    pod.pair.a.attempt()

    assert before == "it has not looked yet"
    assert pod.ready.trouble() == f"its look has taken longer than {STALE_SECONDS:g} s"


def test_a_lease_that_cannot_be_had_for_as_long_as_it_lasts_is_told() -> None:
    """One try that fails is none of it."""
    pod = Pod()
    pod.look()

    pod.pair.lease.away = True
    pod.pair.time.now += TERMS.lasts - 1
    pod.pair.a.attempt()
    soon = pod.ready.trouble()
    pod.pair.time.now += 1

    assert (soon, pod.ready.trouble()) == ("", "its Lease cannot be had")


def test_a_lease_that_can_be_read_and_not_written_is_not_had() -> None:
    """Nobody leads then."""
    pod = Pod()
    pod.pair.lease.lost = "request"

    assert pod.look() == "its Lease cannot be had"


def test_who_is_overtaken_at_the_lease_has_heard_of_it() -> None:
    pod = Pod()
    lease: Any = pod.pair.lease
    read = lease.read
    lease.read = lambda: replace(read(), version="older")

    assert pod.look() == ""


def test_a_pod_without_a_way_to_the_api_server_is_alive_and_not_ready() -> None:
    """No restart would help it."""
    pod = Pod()
    pod.pair.lease.away = True
    pod.look()
    pulse = Pulse(Time())

    with telling_health(0, pulse, 60.0, pod.ready.trouble) as port:
        before = asked(port, "/alive"), asked(port, "/ready")
        pod.pair.lease.away = False
        pod.look()
        after = asked(port, "/ready")

    assert before == ((200, ""), (503, "its Lease cannot be had"))
    assert after == (200, "")
