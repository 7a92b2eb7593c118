"""Scenarios that users of other systems met, on targets in memory; each test carries its id."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import past
from pipelines.reporting import Reporter
from pipelines.rollback import rollback
from pipelines.run import Run
from pipelines.ship import evaluate, promote, ship
from pipelines.status import status
from pipelines.workspace import Workspace
from release.errors import GreenlightError, Refused, Returned
from release.evidence import Kind
from release.ledger import Entry, history, verify
from tests import tiny
from tests.pipelines.memory import OTHER, QUIET, Cut, Scissors, World, kinds

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]

THIRD: dict[str, Any] = {"parameters": {"max_tokens": 8, "seed": 11}}
Meanwhile = Callable[[str, str, Callable[[Run], None]], None]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Let something happen once, between the intent of a step in an environment and its doing."""

    def arrange(step: str, environment: str, happens: Callable[[Run], None]) -> None:
        real, once = Run.append, [happens]

        def append(run: Run, kind: str, data: Any, where: str = "", refs: Any = ()) -> None:
            real(run, kind, data, where, refs)
            meant = (kind, where, data.get("step")) == (past.INTENT, environment, step)
            if meant and once:
                once.pop()(run)

        monkeypatch.setattr(Run, "append", append)

    return arrange


def digest(world: World, **changes: Any) -> str:
    """The release of the application with ``changes``."""
    return str(world.open(**changes).built.release.digest)


def agreed(world: World) -> str:
    """The release that answers everything in production; ledger and target say the same."""
    production = world.targets["production"]
    (slot,) = production.weights
    live = past.live_history(history(world.open().records()), "production").live
    assert (production.weights[slot], production.slots[slot].release) == (100, live)
    return live


def of_production(world: World, kind: str) -> list[Entry]:
    """The entries of a kind about production."""
    entries = history(world.open().records())
    return [one for one in entries if (one.kind, one.environment) == (kind, "production")]


# S05: the record and what runs disagree after a rollback


def test_S05_after_a_rollback_the_ledger_and_the_weights_agree(shipped: World) -> None:
    """Also after another one, from a rollout's soak."""
    first = digest(shipped)
    ship(shipped.open(**OTHER), QUIET)
    assert agreed(shipped) == digest(shipped, **OTHER)
    rollback(shipped.open(), "production", QUIET)
    assert agreed(shipped) == first

    ship(shipped.open(**THIRD, rollout={"soakSeconds": 100}), QUIET)
    rollback(shipped.open(), "production", QUIET)

    assert agreed(shipped) == first
    verify(shipped.open().records()).require()


@pytest.mark.parametrize(
    "verb", [ship, lambda *a: promote(a[0], "production", a[1])], ids=["ship", "promote"]
)
def test_S05_a_later_promotion_does_not_undo_a_rollback(
    shipped: World, verb: Callable[[Workspace, Reporter], object]
) -> None:
    """What was brought back is refused by name, and nothing moves."""
    ship(shipped.open(**OTHER), QUIET)
    rollback(shipped.open(), "production", QUIET)
    before = shipped.state()["production"]

    with pytest.raises(Refused, match="held"):
        verb(shipped.open(**OTHER), QUIET)

    assert shipped.state()["production"] == before
    assert agreed(shipped) == digest(shipped)


def test_S05_after_a_return_by_itself_they_agree_as_well(shipped: World) -> None:
    """And the same ship again is refused instead of trying it once more on users."""
    shipped.targets["production"].ill = {digest(shipped, **OTHER)}
    with pytest.raises(Returned):
        ship(shipped.open(**OTHER), QUIET)

    with pytest.raises(Refused, match="held"):
        ship(shipped.open(**OTHER), QUIET)

    assert agreed(shipped) == digest(shipped)
    assert len(of_production(shipped, past.ROLLOUT_BEGUN)) == 1


# S10: verification that is stale, withdrawn, skipped or done twice


def withdraw(run: Run) -> None:
    """A newer verification of the same release, set and policy says no."""
    live = past.live_history(run.ledger.entries, "production").live
    run.attest(Kind.EVALUATION, {"passed": False, "incumbent": live}, ())


def revoke(release: str) -> Callable[[Run], None]:
    """Somebody says that the release may not run any more."""
    return lambda run: run.append(past.REVOKED, {"release": release, "reason": "found unsafe"})


@pytest.mark.parametrize("environment", ["staging", "production"])
@pytest.mark.parametrize("how", ["expired", "withdrawn", "revoked"])
def test_S10_what_no_longer_holds_just_before_traffic_refuses_the_promotion(
    shipped: World, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch,
    environment: str, how: str,
) -> None:  # fmt: skip
    """It held when the plan was made. Production is not touched, and the next ship knows."""
    before, candidate, days = shipped.state()["production"], digest(shipped, **OTHER), [0]
    clock = SimpleNamespace(time=lambda: time.time() + 86_400 * sum(days))
    monkeypatch.setattr("pipelines.gather.time", clock)
    ways: dict[str, Callable[[Run], None]] = {
        "expired": lambda run: days.append(40),
        "withdrawn": withdraw,
        "revoked": revoke(candidate),
    }
    meanwhile("verify-evidence", environment, ways[how])

    with pytest.raises(Refused):
        ship(shipped.open(**OTHER), QUIET)

    assert shipped.state()["production"] == before
    assert agreed(shipped) != candidate
    assert of_production(shipped, past.ROLLOUT_BEGUN) == []


def test_S10_a_verification_is_not_used_for_another_evaluation_set(shipped: World) -> None:
    """With one answer changed there is no evidence: promote refuses, and ship evaluates anew."""
    evaluate(shipped.open(**OTHER), QUIET)
    assert kinds(shipped).count(past.EVIDENCE) == 4
    tiny.edit(shipped.app / "cases.jsonl", "At the back.", "It is at the back.")

    with pytest.raises(Refused) as caught:
        promote(shipped.open(**OTHER), "production", QUIET)
    ship(shipped.open(**OTHER), QUIET)

    assert "no valid evaluation evidence" in str(caught.value)
    assert agreed(shipped) == digest(shipped, **OTHER)
    evidence = [e.data for e in shipped.open().entries() if e.kind == past.EVIDENCE]
    sets = [one["evaluation_set"] for one in evidence if one["kind"] == "evaluation"]
    assert len(sets) == 3
    assert sets[-1] != sets[-2]


def test_S10_a_promotion_does_not_run_twice(shipped: World) -> None:
    """Said again it does nothing, and writes nothing."""
    evaluate(shipped.open(**OTHER), QUIET)
    promote(shipped.open(**OTHER), "production", QUIET)
    before = (len(kinds(shipped)), list(shipped.targets["production"].writes))

    again = promote(shipped.open(**OTHER), "production", QUIET)

    assert again.plan.steps == ()
    assert (len(kinds(shipped)), shipped.targets["production"].writes) == before


@pytest.mark.parametrize("act", [past.ROLLOUT_BEGUN, past.WINDOW, past.LIVE])
def test_S10_a_promotion_that_was_killed_is_finished_and_not_begun_again(
    shipped: World, counted: Scissors, act: str
) -> None:
    """Begun once, live once, whichever of its records was the last before the kill."""
    evaluate(shipped.open(**OTHER), QUIET)
    begin = shipped.save()
    counted.set()
    promote(shipped.open(**OTHER), "production", QUIET)
    at = counted.acts.index(act)
    shipped.restore(begin)
    counted.set(at, after=True)
    with pytest.raises(Cut):
        promote(shipped.open(**OTHER), "production", QUIET)
    counted.set()

    promote(shipped.open(**OTHER), "production", QUIET)

    assert agreed(shipped) == digest(shipped, **OTHER)
    assert len(of_production(shipped, past.ROLLOUT_BEGUN)) == 1
    live = [one.data["release"] for one in of_production(shipped, past.LIVE)]
    assert live == [digest(shipped), digest(shipped, **OTHER)]


def test_a_return_that_was_cut_behind_its_record_is_finished_and_goes_no_further_S10(
    shipped: World, counted: Scissors
) -> None:
    """Users are back; the slot that they left is taken away, and no release before is fetched."""
    for changes in (OTHER, THIRD):
        ship(shipped.open(**changes), QUIET)
    begin = shipped.save()
    counted.set()
    rollback(shipped.open(), "production", QUIET)
    at = counted.acts.index(past.LIVE)
    shipped.restore(begin)
    counted.set(at, after=True)
    with pytest.raises(Cut):
        rollback(shipped.open(), "production", QUIET)
    counted.set()

    (told,) = status(shipped.open())["environments"]["production"]["drift"]
    rollback(shipped.open(), "production", QUIET)

    assert "is not finished; `greenlight rollback" in told
    assert status(shipped.open())["environments"]["production"]["drift"] == []
    slots, weights = shipped.state()["production"]
    assert list(slots.values()) == [digest(shipped, **OTHER)]
    assert weights == dict.fromkeys(slots, 100)


# The release before is revoked in mid-rollout


def test_a_return_goes_to_the_newest_release_that_is_not_revoked_S07(
    shipped: World, meanwhile: Meanwhile
) -> None:
    """Blue was revoked while green took over, and green is ill: back past blue, to the first."""
    ship(shipped.open(**OTHER), QUIET)
    blue, green = digest(shipped, **OTHER), digest(shipped, **THIRD)
    shipped.targets["production"].ill = {green}
    meanwhile("analyse", "production", revoke(blue))

    with pytest.raises(Returned):
        ship(shipped.open(**THIRD), QUIET)

    assert agreed(shipped) == digest(shipped)
    assert blue not in shipped.state()["production"][0].values()


def test_a_return_without_a_release_that_is_not_revoked_stops_loudly_S07(
    shipped: World, meanwhile: Meanwhile
) -> None:
    """Nothing moves: the error says why, and what can be done."""
    green = digest(shipped, **OTHER)
    shipped.targets["production"].ill = {green}
    meanwhile("analyse", "production", revoke(digest(shipped)))

    with pytest.raises(GreenlightError, match="nothing to return to") as caught:
        ship(shipped.open(**OTHER), QUIET)

    assert caught.value.exit_code == 1
    assert shipped.targets["production"].weights == {"blue": 50, "green": 50}
    assert of_production(shipped, past.RETURN_BEGUN) == []
