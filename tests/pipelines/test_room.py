"""A cluster without room for both releases, on targets in memory (S04)."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines import past
from pipelines.capacity import Room
from pipelines.rollback import rollback
from pipelines.ship import ship
from pipelines.watcher import Watcher
from release.errors import Refused, Returned, Waiting
from release.ledger import history
from tests.pipelines.memory import OTHER, QUIET, Cut, MemoryTarget, Scissors, World, kinds

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]

STEPS = [{"setWeight": 25}, {"setWeight": 50}, {"setWeight": 100}]
SMALLER: dict[str, Any] = {**OTHER, "rollout": {"steps": STEPS}}


@pytest.fixture
def production(shipped: World) -> MemoryTarget:
    """Four GPUs, all of them the live release's."""
    target = shipped.targets["production"]
    target.pods, target.gpus = 4, 4
    return target


def digest(world: World, **changes: Any) -> str:
    return str(world.open(**changes).built.release.digest)


def live(world: World) -> str:
    return past.live_history(history(world.open().records()), "production").live


def test_S04_nothing_begins_without_room_and_what_is_missing_is_a_number(
    shipped: World, production: MemoryTarget
) -> None:
    """Exit 4, no record, no write, neither here nor in staging; with room it goes on."""
    before, staged = kinds(shipped), list(shipped.targets["staging"].writes)

    with pytest.raises(Waiting, match=r"production has no room for .*: 4 gpu") as caught:
        ship(shipped.open(**OTHER), QUIET)

    assert caught.value.exit_code == 4
    assert (kinds(shipped), shipped.targets["staging"].writes) == (before, staged)
    production.gpus = 8
    ship(shipped.open(**OTHER), QUIET)
    assert live(shipped) == digest(shipped, **OTHER)


def test_S04_pods_that_the_namespace_never_takes_are_a_refusal(
    shipped: World, production: MemoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3 with what to do: waiting would change nothing. Nor is anything written."""
    before, staged = kinds(shipped), list(shipped.targets["staging"].writes)
    why = "assist-green: container model asks for 2 cpu, LimitRange bounds wants at most 1"
    monkeypatch.setattr(production, "room", lambda _: Room("refused", "needs 2 cpu", (why,)))

    with pytest.raises(Refused, match=r"no pod of .*in production.*") as caught:
        ship(shipped.open(**OTHER), QUIET)

    assert (caught.value.exit_code, caught.value.reasons) == (3, (why,))
    assert "environments.production.kubernetes" in str(caught.value)
    assert (kinds(shipped), shipped.targets["staging"].writes) == (before, staged)


@pytest.fixture
def new(world: World) -> World:
    """Where nothing is provisioned and nothing was ever live; in production no GPU is free."""
    for one in world.targets.values():
        one.there, one.pods, one.gpus = False, 4, 4
    world.targets["production"].gpus = 0
    return world


@pytest.mark.parametrize("dry_run", [False, True])
def test_S04_the_first_release_counts_its_room_before_anything_is_provisioned(
    new: World, dry_run: bool
) -> None:
    """In every environment that it comes to, staging and its evaluation being hours before."""
    with pytest.raises(Waiting, match=r"production has no room for .*: 4 gpu"):
        ship(new.open(), QUIET, dry_run=dry_run)

    assert (kinds(new), [one.writes for one in new.targets.values()]) == ([], [[], []])


def test_S04_a_first_release_that_no_namespace_takes_is_refused_at_once(
    new: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3, as where something is live."""
    monkeypatch.setattr(new.targets["production"], "room", lambda _: Room("refused", "", ("why",)))

    with pytest.raises(Refused, match=r"no pod of .* would be taken in production"):
        ship(new.open(), QUIET)

    assert (kinds(new), [one.writes for one in new.targets.values()]) == ([], [[], []])


def test_S04_a_first_dry_run_says_what_is_free(new: World) -> None:
    new.targets["production"].gpus = 8

    plan = ship(new.open(), QUIET, dry_run=True).plan

    assert [one.kind for one in plan.steps].index("provision") == 1
    asked = [one.reason.rpartition("; needs")[2] for one in plan.steps if one.kind == "deploy"]
    assert asked == [" 4 gpu; 4 free", " 4 gpu; 8 free"]


def test_where_nobody_answers_no_room_is_asked_for(new: World) -> None:
    """That they do not is said when it is provisioned."""
    new.targets["production"].away = True

    plan = ship(new.open(), QUIET, dry_run=True).plan

    assert "provision" in [one.kind for one in plan.steps]


def test_S04_a_dry_run_says_what_a_run_would(shipped: World, production: MemoryTarget) -> None:
    """Waiting where it would wait, and what is free where there is room."""
    with pytest.raises(Waiting):
        ship(shipped.open(**OTHER), QUIET, dry_run=True)
    production.gpus = 9

    plan = ship(shipped.open(**OTHER), QUIET, dry_run=True).plan

    assert [one.reason for one in plan.steps if "needs 4 gpu; 5 free" in one.reason]


def test_S04_what_has_no_room_later_is_in_the_plan_and_holds_nothing_up(
    shipped: World, production: MemoryTarget
) -> None:
    """In what a dry run prints and in its JSON; the same command ships."""
    production.gpus, production.later = 8, ("3 of 8 pods of green beyond its 2 have no room",)

    plan = ship(shipped.open(**OTHER), QUIET, dry_run=True).plan

    says = "it starts, but later 3 of 8 pods of green beyond its 2 have no room"
    (deploy,) = [one.as_json() for one in plan.steps if says in one.reason]
    assert (deploy["step"], says in deploy["reason"]) == ("deploy", True)
    ship(shipped.open(**OTHER), QUIET)
    assert live(shipped) == digest(shipped, **OTHER)


def test_S02_a_smaller_release_gets_no_larger_share_than_it_has_pods(
    shipped: World, production: MemoryTarget
) -> None:
    """It waits at its share, with the old release whole; with room it goes on from there."""
    production.gpus, production.when_full = 5, "smaller"

    with pytest.raises(Waiting, match="room for the rest of green: 3 gpu"):
        ship(shipped.open(**SMALLER), QUIET)

    assert production.weights == {"blue": 75, "green": 25}
    assert {one.share for one in production.slots.values()} == {25, 100}
    with pytest.raises(Waiting):
        ship(shipped.open(**SMALLER), QUIET)
    assert production.weights == {"blue": 75, "green": 25}
    production.gpus = 8
    ship(shipped.open(**SMALLER), QUIET)
    assert (live(shipped), production.weights) == (digest(shipped, **SMALLER), {"green": 100})
    assert production.slots["green"].share == 100


def test_S04_a_return_asks_for_no_room(shipped: World, production: MemoryTarget) -> None:
    """Where the rest of the pods never comes, the old release still has all of its own."""
    production.gpus, production.when_full = 5, "smaller"
    with pytest.raises(Waiting):
        ship(shipped.open(**SMALLER), QUIET)

    rollback(shipped.open(), "production", QUIET)

    assert production.weights == {"blue": 100}
    assert live(shipped) == digest(shipped)


def test_S04_an_agreed_outage_stops_the_old_release_first(
    shipped: World, production: MemoryTarget
) -> None:
    """In this order, and the new one has everything afterwards."""
    production.when_full, begin = "outage", len(production.writes)

    ship(shipped.open(**OTHER), QUIET)

    assert production.writes[begin:] == [
        "watch True", "expose {}", "retire blue", "deploy blue", "expose {'blue': 100}",
        "watch False",
    ]  # fmt: skip
    assert live(shipped) == digest(shipped, **OTHER)


def test_S04_an_outage_ends_with_the_old_release_if_the_new_one_does_not_get_ready(
    shipped: World, production: MemoryTarget
) -> None:
    """The new one goes first: the old one needs the room that it holds."""
    production.when_full = "outage"
    production.broken = {digest(shipped, **OTHER)}

    with pytest.raises(Returned, match="is back on"):
        ship(shipped.open(**OTHER), QUIET)

    assert [one.release for one in production.slots.values()] == [digest(shipped)]
    assert (live(shipped), list(production.weights.values())) == (digest(shipped), [100])


def test_S08_an_outage_that_is_killed_anywhere_is_finished_by_the_same_command(
    shipped: World, production: MemoryTarget, counted: Scissors
) -> None:
    """Before or after any act of it."""
    production.when_full = "outage"
    begin = shipped.save()
    counted.set()
    ship(shipped.open(**OTHER), QUIET)
    acts = len(counted.acts)
    for at in range(acts):
        shipped.restore(begin)
        counted.set(at, after=at % 2 == 0)
        with pytest.raises(Cut):
            ship(shipped.open(**OTHER), QUIET)
        counted.set()

        ship(shipped.open(**OTHER), QUIET)

        assert live(shipped) == digest(shipped, **OTHER)
        assert list(production.weights.values()) == [100]


def test_S08_an_outage_that_nobody_goes_on_with_is_ended_by_the_watcher(
    shipped: World, production: MemoryTarget, counted: Scissors
) -> None:
    """Killed when the old release was stopped: after the lease, the watcher brings it back."""
    production.when_full = "outage"
    begin = shipped.save()
    counted.set()
    ship(shipped.open(**OTHER), QUIET)
    at = counted.acts.index("retire blue", counted.acts.index("expose {}"))
    shipped.restore(begin)
    counted.set(at, after=True)
    with pytest.raises(Cut):
        ship(shipped.open(**OTHER), QUIET)
    counted.set()
    watcher = Watcher(shipped.open(), "production", QUIET)

    for _ in range(20):
        watcher.turn()
        shipped.clock.now += 10  # type: ignore[attr-defined]

    assert [one.release for one in production.slots.values()] == [digest(shipped)]
    assert (live(shipped), list(production.weights.values())) == (digest(shipped), [100])
