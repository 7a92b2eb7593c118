"""A release that answers nobody is brought back, and its way back stays, whoever counts."""

from __future__ import annotations

import pytest

from pipelines import past
from pipelines.ship import ship
from pipelines.targets.base import Measured
from release.errors import GreenlightError, Returned
from tests.pipelines.memory import OTHER, QUIET, MemoryTarget, VirtualClock, World
from tests.pipelines.watching import SOAKS, watch

pytestmark = pytest.mark.usefixtures("own_cache")


def counts_of_the_dead(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What is counted of a slot whose pods are gone, where the pods count."""
    if kind == "no new requests":
        monkeypatch.setattr(MemoryTarget, "_let_users_in", lambda _: None)
        return

    def measure(_: MemoryTarget, slot: str) -> Measured:
        raise GreenlightError("reads no pod")

    monkeypatch.setattr(MemoryTarget, "measure", measure)


@pytest.mark.parametrize("counted", ["no new requests", "nothing"])
@pytest.mark.parametrize("after", [30, 110], ids=["in the soak", "while blue stands by"])
def test_s01_a_live_release_that_answers_nobody_is_brought_back_whatever_is_counted(
    shipped: World, monkeypatch: pytest.MonkeyPatch, after: int, counted: str
) -> None:
    """Its users get errors from whoever is before it, and nobody there counts them."""
    before, production = shipped.state()["production"], shipped.targets["production"]
    ship(shipped.open(**SOAKS), QUIET)
    watch(shipped, after)
    production.loses(live_slot(production))
    counts_of_the_dead(monkeypatch, counted)

    watch(shipped, 40)

    assert shipped.state()["production"] == before
    assert shipped.open(**SOAKS).built.release.digest in past.held(shipped.open().entries())


def test_s07_what_stood_by_stays_where_neither_answers(
    shipped: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go back would not cure it, and to take either away would lose the one that gets well."""
    production = shipped.targets["production"]
    ship(shipped.open(**SOAKS), QUIET)
    there = shipped.state()["production"]
    for slot in production.slots:
        production.loses(slot)
    counts_of_the_dead(monkeypatch, "nothing")

    watch(shipped, 300)

    assert shipped.state()["production"] == there


def test_s13_what_stood_by_stays_until_somebody_has_seen_how_the_release_does(
    shipped: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing could be counted in all of its soak: that is no pass."""
    ship(shipped.open(**SOAKS), QUIET)
    with monkeypatch.context() as patch:
        counts_of_the_dead(patch, "nothing")
        watch(shipped, 200)
        assert len(shipped.state()["production"][0]) == 2

    watch(shipped, 60)

    assert len(shipped.state()["production"][0]) == 1


def test_s01_a_step_whose_release_answers_nobody_is_brought_back_within_two_windows(
    shipped: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replayed queries get lost as users' do. It does not wait for three windows' worth of them."""
    before, production = shipped.state()["production"], shipped.targets["production"]
    clock = shipped.clock
    assert isinstance(clock, VirtualClock)
    died: list[float] = []

    def die() -> None:
        died.append(clock.now)
        production.loses("green" if before[0].get("blue") else "blue")
        counts_of_the_dead(monkeypatch, "nothing")

    clock.later.append((clock.now + 25, die))
    with pytest.raises(Returned, match="answers nobody"):
        ship(shipped.open(**OTHER), QUIET)

    assert shipped.state()["production"] == before
    assert clock.now - died[0] < 30


def live_slot(target: MemoryTarget) -> str:
    """Where all requests are."""
    return next(slot for slot, weight in target.weights.items() if weight == 100)
