"""How every target behaves: plain tests over the protocol, collected once for each target.

A target comes in by a class that inherits these and a fixture ``bed``; docs/targets.md is the
table of who holds what. Each test begins with one release in blue that has all traffic, and
another in green that has none.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipelines.facts import SlotFacts
from pipelines.targets.base import DeployFailedError, StaleFenceError, TargetFacts
from release.errors import GreenlightError
from release.integrity import Damaged
from release.ledger import Mark
from tests.serving.making import eventually
from tests.targets.bed import Bed

Write = Callable[[Bed, int], object]

WRITES: dict[str, Write] = {
    "deploy": lambda bed, fence: bed.target.deploy("green", bed.release("two"), fence),
    "expose": lambda bed, fence: bed.target.expose({"blue": 100}, fence),
    "watch": lambda bed, fence: bed.target.watch(False, fence),
    "retire": lambda bed, fence: bed.target.retire("green", 5.0, fence),
}
"""What may be said again; nothing of it moves traffic."""

CHANGES: dict[str, Write] = {
    "deploy": lambda bed, fence: bed.target.deploy("green", bed.release("three"), fence),
    "expose": lambda bed, fence: bed.target.expose({"blue": 40, "green": 60}, fence),
    "watch": lambda bed, fence: bed.target.watch(True, fence),
    "retire": lambda bed, fence: bed.target.retire("green", 5.0, fence),
}

WRONG_WEIGHTS: dict[str, dict[str, int]] = {
    "less than 100": {"blue": 50},
    "more than 100": {"blue": 60, "green": 60},
    "one below 0": {"blue": 110, "green": -10},
    "a slot that is not there": {"blue": 50, "nobody": 50},
}


def seen(bed: Bed) -> tuple[TargetFacts, bool]:
    """All that a write could change."""
    return bed.target.facts(), bed.watched()


def slot(bed: Bed, name: str) -> SlotFacts:
    """One slot now."""
    return bed.target.facts().slots[name]


class Conformance:
    """The suite."""

    @pytest.fixture(autouse=True)
    def pair(self, bed: Bed) -> None:
        """Blue and green are ready, and blue has everything."""
        fence = bed.fence()
        bed.target.deploy("blue", bed.release("one"), fence)
        bed.target.expose({"blue": 100}, fence)
        bed.target.deploy("green", bed.release("two"), fence)
        bed.target.watch(False, fence)

    def test_nothing_is_there_before_it_is_provisioned(self, bed: Bed) -> None:
        """Facts of an environment that is not provisioned say so and why, and name no slot."""
        facts = bed.nowhere().facts()

        assert not facts.provisioned
        assert facts.reason
        assert (dict(facts.slots), dict(facts.weights)) == ({}, {})

    def test_an_empty_environment_has_no_slots_and_no_weights(self, bed: Bed) -> None:
        """Provisioned, with an address, and nothing else."""
        fence = bed.fence()
        bed.target.expose({}, fence)
        for name in ("blue", "green"):
            bed.target.retire(name, 0.0, fence)

        facts = bed.target.facts()
        assert (facts.provisioned, facts.reason) == (True, "")
        assert facts.address
        assert (dict(facts.slots), dict(facts.weights)) == ({}, {})

    def test_a_deploy_gets_no_traffic(self, bed: Bed) -> None:
        """Ready in its slot, and every user is answered by the other."""
        assert slot(bed, "green").release == bed.release("two").digest
        assert slot(bed, "green").state == "ready"
        assert dict(bed.target.facts().weights) == {"blue": 100}
        assert {bed.ask() for _ in range(4)} == {bed.release("one").label}

    def test_a_deploy_replaces_what_is_in_the_slot(self, bed: Bed) -> None:
        """It returns when the new one answers, and not the old one."""
        bed.target.deploy("green", bed.release("three"), bed.fence())

        assert slot(bed, "green").release == bed.release("three").digest
        assert bed.ask_pinned("green") == bed.release("three").label

    def test_a_deploy_that_cannot_get_ready_says_why(self, bed: Bed) -> None:
        """The slot has failed with the reason; weights stand, and users notice nothing."""
        broken = bed.release("broken", broken=True)

        with pytest.raises(DeployFailedError) as caught:
            bed.target.deploy("green", broken, bed.fence())

        assert slot(bed, "green").state == "failed"
        assert slot(bed, "green").reason
        assert broken.label in str(caught.value)
        assert slot(bed, "green").reason in str(caught.value)
        assert dict(bed.target.facts().weights) == {"blue": 100}
        assert bed.ask() == bed.release("one").label

    def test_s12_weights_are_replaced_and_never_merged(self, bed: Bed) -> None:
        """What the new map does not name has nothing; what is written is what is read."""
        for weights in ({"blue": 60, "green": 40}, {"green": 100}, {}, {"blue": 100}):
            bed.target.expose(weights, bed.fence())

            assert dict(bed.target.facts().weights) == weights

    def test_weights_decide_who_answers(self, bed: Bed) -> None:
        """All traffic to green is all traffic."""
        bed.target.expose({"green": 100}, bed.fence())

        assert {bed.ask() for _ in range(4)} == {bed.release("two").label}

    def test_weights_survive_a_restart_of_what_holds_them(self, bed: Bed) -> None:
        """At the same address."""
        bed.target.expose({"green": 100}, bed.fence())
        before = bed.target.facts()

        bed.restart()

        assert bed.target.facts() == before
        assert bed.ask() == bed.release("two").label

    @pytest.mark.parametrize("case", WRONG_WEIGHTS)
    def test_s12_weights_that_cannot_be_are_refused(self, bed: Bed, case: str) -> None:
        """Not of a total of 0 or 100, or of a slot that is not there; and nothing changes."""
        before = seen(bed)

        with pytest.raises(GreenlightError) as caught:
            bed.target.expose(WRONG_WEIGHTS[case], bed.fence())

        assert not isinstance(caught.value, StaleFenceError)
        assert seen(bed) == before

    def test_s02_a_slot_that_is_not_ready_gets_no_weight(self, bed: Bed) -> None:
        """Refused, and nothing changes."""
        with pytest.raises(DeployFailedError):
            bed.target.deploy("green", bed.release("broken", broken=True), bed.fence())
        before = seen(bed)

        with pytest.raises(GreenlightError):
            bed.target.expose({"green": 100}, bed.fence())

        assert seen(bed) == before

    def test_a_mirror_answers_no_user(self, bed: Bed) -> None:
        """It has no weight and no answer that anybody sees; the weights stand as they are."""
        bed.target.expose({"blue": 100}, bed.fence(), {"green": 100})

        assert dict(bed.target.facts().weights) == {"blue": 100}
        assert {bed.ask() for _ in range(4)} == {bed.release("one").label}

    def test_a_mirror_that_has_weight_or_is_not_there_is_refused(self, bed: Bed) -> None:
        """And nothing changes."""
        before = seen(bed)

        for mirror in ("blue", "nobody"):
            with pytest.raises(GreenlightError):
                bed.target.expose({"blue": 100}, bed.fence(), {mirror: 50})

        assert seen(bed) == before

    @pytest.mark.parametrize("newer", WRITES)
    @pytest.mark.parametrize("stale", CHANGES)
    def test_s09_a_stale_fence_is_refused(self, bed: Bed, stale: str, newer: str) -> None:
        """In every write, after any write of somebody newer; what it wanted did not happen."""
        old = bed.fence()
        WRITES[newer](bed, bed.fence())
        before = seen(bed)

        with pytest.raises(StaleFenceError):
            CHANGES[stale](bed, old)

        assert seen(bed) == before

    def test_s09_a_stale_retire_cuts_nobody(self, bed: Bed) -> None:
        """What is under way in the slot ends whole."""
        old = bed.fence()
        WRITES["deploy"](bed, bed.fence())
        stream = bed.stream("green", 1.0)

        with pytest.raises(StaleFenceError):
            bed.target.retire("green", 0.0, old)

        assert stream.whole()

    def test_requests_are_counted_in_the_slot_that_answered(self, bed: Bed) -> None:
        """And in no other; what the tester asks is marked as synthetic."""
        blue, green = bed.target.measure("blue"), bed.target.measure("green")
        for _ in range(3):
            bed.ask()
        bed.ask_pinned("green")

        now = bed.target.measure("blue"), bed.target.measure("green")
        assert [now[0].requests - blue.requests, now[1].requests - green.requests] == [3, 1]
        assert [now[0].synthetic - blue.synthetic, now[1].synthetic - green.synthetic] == [0, 1]
        assert now[0].latency.count - blue.latency.count == 3
        assert now[0].errors == blue.errors

    def test_counts_only_grow(self, bed: Bed) -> None:
        """Also when weights move, and when the slot gets another release."""
        bed.ask_pinned("green")
        before = bed.target.measure("green")

        bed.target.expose({"blue": 50, "green": 50}, bed.fence())
        bed.target.expose({"blue": 100}, bed.fence())
        bed.target.deploy("green", bed.release("three"), bed.fence())

        after = bed.target.measure("green")
        assert after.since == before.since
        assert after.requests >= before.requests
        assert after.latency.count >= before.latency.count

    def test_counts_that_began_anew_say_so(self, bed: Bed) -> None:
        """After a restart of what holds them: another since, or none was lost."""
        bed.ask()
        before = bed.target.measure("blue")

        bed.restart()
        bed.ask()

        after = bed.target.measure("blue")
        assert after.since != before.since or after.requests > before.requests

    def test_s13_a_slot_without_counts_is_an_error(self, bed: Bed) -> None:
        """Never zeros."""
        with pytest.raises(GreenlightError, match="nobody"):
            bed.target.measure("nobody")

    def test_a_pinned_request_reaches_its_slot(self, bed: Bed) -> None:
        """Whatever the weights; the endpoint's key is not printed."""
        for weights in ({"blue": 100}, {"green": 100}, {}):
            bed.target.expose(weights, bed.fence())
            assert bed.ask_pinned("blue") == bed.release("one").label
            assert bed.ask_pinned("green") == bed.release("two").label

        assert bed.target.key_file("tester").read_text().strip() not in repr(
            bed.target.endpoint("green")
        )

    def test_each_role_has_a_key_of_its_own(self, bed: Bed) -> None:
        """In a file of its own."""
        files = {bed.target.key_file(role) for role in ("user", "tester", "operator")}

        assert len({file.read_bytes() for file in files}) == 3

    def test_s03_a_retire_lets_a_long_stream_end(self, bed: Bed) -> None:
        """Within the deadline it comes to its end mark, and nobody was cut."""
        stream = bed.stream("green", 1.5)

        cut = bed.target.retire("green", 60.0, bed.fence())

        assert (cut, stream.whole()) == (0, True)
        assert "green" not in bed.target.facts().slots

    def test_s03_a_retire_counts_what_it_cut_at_its_deadline(self, bed: Bed) -> None:
        """And no client takes the part for the whole."""
        stream = bed.stream("green", 60.0)

        cut = bed.target.retire("green", 0.2, bed.fence())

        assert (cut, stream.whole()) == (1, False)
        assert "green" not in bed.target.facts().slots

    def test_a_slot_with_traffic_is_not_retired(self, bed: Bed) -> None:
        """Refused, and nothing changes."""
        before = seen(bed)

        with pytest.raises(GreenlightError):
            bed.target.retire("blue", 0.0, bed.fence())

        assert seen(bed) == before
        assert bed.ask() == bed.release("one").label

    def test_releases_share_a_model_server(self, bed: Bed) -> None:
        """One serves both slots, and outlives the slot that goes."""
        assert slot(bed, "blue").engine == slot(bed, "green").engine
        assert bed.servers() == 1

        bed.target.retire("green", 5.0, bed.fence())

        assert bed.servers() == 1
        assert bed.ask() == bed.release("one").label

    def test_a_dedicated_release_has_a_model_server_of_its_own(self, bed: Bed) -> None:
        """Which goes with its slot."""
        bed.target.deploy("green", bed.release("own", dedicated=True), bed.fence())
        assert slot(bed, "blue").engine != slot(bed, "green").engine
        assert bed.servers() == 2

        bed.target.retire("green", 5.0, bed.fence())

        eventually(lambda: bed.servers() == 1, "it has gone")

    def test_a_watcher_is_kept_until_it_is_told_to_go(self, bed: Bed) -> None:
        """Neither a deploy nor a change of weights ends it."""
        bed.target.watch(True, bed.fence())
        WRITES["deploy"](bed, bed.fence())
        WRITES["expose"](bed, bed.fence())
        assert bed.watched()

        bed.target.watch(False, bed.fence())

        assert not bed.watched()

    @pytest.mark.parametrize("write", WRITES)
    def test_s18_every_write_is_safe_to_repeat(self, bed: Bed, write: str) -> None:
        """Said twice under one fence, it is as if it had been said once."""
        fence = bed.fence()
        first = WRITES[write](bed, fence)
        before = seen(bed)

        assert WRITES[write](bed, fence) == first
        assert seen(bed) == before

    def test_the_witness_remembers_the_head_of_the_ledger(self, bed: Bed) -> None:
        """It moves forward only: an older mark leaves it, another one of its number is refused."""
        number = bed.fence()
        head = Mark(number, "a" * 64)
        bed.target.witness.note(head)
        bed.target.witness.note(Mark(number - 1, "b" * 64))
        bed.restart()

        assert bed.target.witness.seen() == head
        with pytest.raises(Damaged):
            bed.target.witness.note(Mark(number, "c" * 64))
        assert bed.target.witness.seen() == head
