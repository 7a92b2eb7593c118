"""The watcher: what it decides from what it sees, and what it does on targets in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import past
from pipelines.analysis import Finding, Window
from pipelines.ship import ship
from pipelines.watcher import Silence, Situation, Watcher, decide
from pipelines.word import approve, pause, resume
from release.errors import BadInput, Refused, Returned, Waiting
from release.spec import Rollout
from tests.pipelines.memory import (
    OTHER,
    QUIET,
    Cut,
    Scissors,
    VirtualClock,
    World,
    kinds,
    knowing,
    releases,
)
from tests.pipelines.standin import StandIn

pytestmark = pytest.mark.usefixtures("own_cache")
SETTINGS = Rollout.model_validate_json('{"soakSeconds": 100, "scaleDownDelaySeconds": 30}')
ROLLOUT = past.RolloutHistory("new", "old", "green", "blue", SETTINGS, begun=0.0)
LIVE = replace(ROLLOUT, live_since=1000.0)
BAD = Window("soak", 100, 0.0, 10.0, False, None, None,
             (Finding("errors", "fail", "errors of green is 1"),))  # fmt: skip


def seen(rollout: past.RolloutHistory | None = ROLLOUT, **changes: Any) -> Situation:
    """A rollout at work, somebody holding its lease, but for ``changes``."""
    base = Situation(rollout, returning=False, held=True, silent_for=0.0, now=1010.0)
    return replace(base, **changes)


WAITS = replace(ROLLOUT, waiting={"for": "somebody", "until": "approve"})
CASES: list[tuple[str, Situation, str, bool]] = [
    ("somebody is at work", seen(), "wait", False),
    ("the lease is a little old", seen(held=False, silent_for=29.0), "wait", False),
    ("nobody renewed the lease", seen(held=False, silent_for=31.0), "return", False),
    ("it hangs, and its lease ran out", seen(silent_for=31.0), "return", False),
    ("it waits for a person", seen(WAITS, held=False, silent_for=9999.0), "look", False),
    ("green got worse while it waits", seen(WAITS, held=False, windows=(BAD,)), "return", True),
    ("it soaks", seen(LIVE, held=False), "look", False),
    ("green got worse while it soaks", seen(LIVE, held=False, windows=(BAD,)), "return", True),
    ("worse, but somebody is at work", seen(LIVE, windows=(BAD,)), "wait", False),
    ("the soak is over", seen(LIVE, held=False, now=1100.0), "stand down", False),
    ("a return is at work", seen(None, returning=True), "wait", False),
    ("a return was killed", seen(None, returning=True, held=False), "finish", False),
    ("nothing is under way", seen(None, held=False), "leave", False),
    ("nothing yet, somebody is at work", seen(None), "wait", False),
]


@pytest.mark.parametrize(("_", "situation", "act", "hold"), CASES, ids=[c[0] for c in CASES])
def test_what_the_watcher_sees_decides_what_it_does(
    _: str, situation: Situation, act: str, hold: bool
) -> None:
    decision = decide(situation)

    assert (decision.act, decision.hold) == (act, hold)
    assert decision.reason


def test_a_clock_that_jumps_ends_no_lease(shipped: World) -> None:
    """Silence is counted by a clock that nobody can set, from when an entry was first seen."""
    clock = VirtualClock(500.0)
    silence, entries = Silence(clock.monotonic), shipped.open().entries()

    assert silence.seconds(entries, "production") == 0.0
    clock.now += 7.0
    assert silence.seconds(entries, "production") == 7.0
    assert silence.seconds(entries[:-2], "production") == 0.0


def watch(world: World, seconds: int) -> bool:
    """Let a watcher look once a virtual second; whether it is still there at the end."""
    watcher, clock = Watcher(world.open(), "production", QUIET), world.clock
    assert isinstance(clock, VirtualClock)
    end = clock.now + seconds
    while clock.now < end:
        if not watcher.turn():
            return False
        clock.now += 1.0
    return True


def cut_at(world: World, scissors: Scissors, act: str, **change: Any) -> None:
    """A ship of the change, killed right after the first act of that name."""
    begin = world.save()
    scissors.set()
    ship(world.open(**change), QUIET)
    at = scissors.acts.index(act)
    world.restore(begin)
    scissors.set(at, after=True)
    with pytest.raises(Cut):
        ship(world.open(**change), QUIET)
    scissors.set()


def test_a_rollout_that_nobody_goes_on_with_is_brought_back_unjudged_S08(
    shipped: World, counted: Scissors
) -> None:
    """Blue has everything again, green is not held, and the next ship starts the rollout again."""
    before = shipped.state()["production"]
    cut_at(shipped, counted, "window", **OTHER)
    assert shipped.targets["production"].watched

    assert watch(shipped, 20)
    assert len(shipped.state()["production"][0]) == 2
    watch(shipped, 40)

    assert shipped.state()["production"] == before
    assert not past.held(shipped.open().entries())
    ship(shipped.open(**OTHER), QUIET)
    assert kinds(shipped).count(past.ROLLOUT_BEGUN) == 2
    assert releases(shipped)["production"] == {shipped.open(**OTHER).built.release.digest}


SOAKS: dict[str, Any] = {**OTHER, "rollout": {"soakSeconds": 100, "scaleDownDelaySeconds": 120}}


def test_what_stood_by_is_retired_when_its_time_is_over(shipped: World) -> None:
    """And then nobody watches any more."""
    ship(shipped.open(**SOAKS), QUIET)
    assert len(shipped.state()["production"][0]) == 2
    assert ship(shipped.open(**SOAKS), QUIET).plan.steps == ()

    watch(shipped, 115)
    assert len(shipped.state()["production"][0]) == 2
    watch(shipped, 30)

    assert len(shipped.state()["production"][0]) == 1
    assert not shipped.targets["production"].watched
    assert kinds(shipped).count(past.ROLLOUT_ENDED) == 1


def test_a_release_that_gets_worse_while_it_soaks_is_brought_back_and_held(shipped: World) -> None:
    """The command has long ended; nobody but the watcher is there."""
    before, production = shipped.state()["production"], shipped.targets["production"]
    ship(shipped.open(**SOAKS), QUIET)
    candidate = shipped.open(**SOAKS).built.release.digest

    watch(shipped, 30)
    production.ill = {candidate}
    watch(shipped, 30)

    assert shipped.state()["production"] == before
    assert candidate in past.held(shipped.open().entries())


def test_another_release_may_be_shipped_while_one_soaks(shipped: World) -> None:
    """The watcher holds no lease while it only looks."""
    ship(shipped.open(**SOAKS), QUIET)
    watch(shipped, 10)

    third = {"parameters": {"max_tokens": 9}}
    ship(shipped.open(**third), QUIET)

    assert releases(shipped)["production"] == {shipped.open(**third).built.release.digest}


def test_a_return_that_was_killed_is_finished_by_the_watcher(
    shipped: World, counted: Scissors
) -> None:
    """Half a return serves nobody: its process is gone, so nobody waits for its lease."""
    before, production = shipped.state()["production"], shipped.targets["production"]
    candidate = shipped.open(**OTHER).built.release.digest
    production.ill = {candidate}
    begin = shipped.save()
    counted.set()
    with pytest.raises(Returned):
        ship(shipped.open(**OTHER), QUIET)
    at = counted.acts.index(past.RETURN_BEGUN)
    shipped.restore(begin)
    production.ill = {candidate}
    counted.set(at, after=True)
    with pytest.raises(Cut):
        ship(shipped.open(**OTHER), QUIET)
    counted.set()

    watch(shipped, 3)

    assert shipped.state()["production"] == before


APPROVAL: dict[str, Any] = {
    **OTHER,
    "rollout": {
        "steps": [{"setWeight": 50}, {"approval": {"message": "look"}}, {"setWeight": 100}]
    },
}


def test_an_approval_is_waited_for_by_name_and_the_watcher_stands_by(
    shipped: World, tmp_path: Path
) -> None:
    """Exit 4 with what would end it; hours later it is still there; approved, it goes on."""
    with pytest.raises(Waiting, match="greenlight approve"):
        ship(shipped.open(**APPROVAL), QUIET)
    watch(shipped, 3600)
    assert shipped.targets["production"].weights == {"blue": 50, "green": 50}

    key = tmp_path / "me.key"
    with pytest.raises(Refused, match="not trusted"):
        approve(shipped.open(), "production", key)
    with pytest.raises(Waiting):
        ship(shipped.open(**APPROVAL), QUIET)
    approve(shipped.open(), "production", key, trusted=True, comment="looked at it")
    ship(shipped.open(**APPROVAL), QUIET)

    assert len(releases(shipped)["production"]) == 1
    assert shipped.open().records().trusted


def test_an_approval_by_the_pipelines_own_key_does_not_count(app: Path, model: StandIn) -> None:
    """Whoever ships cannot also say yes to it."""
    model.reply = knowing
    shipped = World(app, model, on_disk=True)
    ship(shipped.open(), QUIET)
    with pytest.raises(Waiting):
        ship(shipped.open(**APPROVAL), QUIET)

    with pytest.raises(BadInput):
        approve(shipped.open(), "production", shipped.open().state.keys / "pipeline.key",
                trusted=True)  # fmt: skip


def test_green_that_gets_worse_while_somebody_is_waited_for_is_brought_back(
    shipped: World,
) -> None:
    before, production = shipped.state()["production"], shipped.targets["production"]
    with pytest.raises(Waiting):
        ship(shipped.open(**APPROVAL), QUIET)
    production.ill = {shipped.open(**APPROVAL).built.release.digest}

    watch(shipped, 30)

    assert shipped.state()["production"] == before


def test_a_pause_by_hand_holds_the_weights_until_it_is_resumed(shipped: World) -> None:
    """Windows go on being judged meanwhile."""
    clock = shipped.clock
    assert isinstance(clock, VirtualClock)
    start = clock.now
    clock.later = [
        (start + 15, lambda: pause(shipped.open(), "production", "lunch")),
        (start + 300, lambda: resume(shipped.open(), "production")),
    ]

    ship(shipped.open(**OTHER), QUIET)

    assert clock.now > start + 300
    assert kinds(shipped).count(past.WINDOW) > 25
    assert kinds(shipped).count(past.WAITING) == 1
    assert len(releases(shipped)["production"]) == 1


def test_a_word_needs_a_rollout_that_waits_for_it(shipped: World, tmp_path: Path) -> None:
    """Nothing is under way: exit 2, and nothing is written."""
    before = len(kinds(shipped))
    for word in (pause, resume):
        with pytest.raises(BadInput, match="a rollout under way"):
            word(shipped.open(), "production")
    with pytest.raises(BadInput):
        approve(shipped.open(), "production", tmp_path / "key")

    assert len(kinds(shipped)) == before


def test_a_pause_by_hand_holds_the_weights_whoever_ships_next(
    shipped: World, tmp_path: Path
) -> None:
    """Also where no window is to come: exit 4 with what would end it; a return is never held up."""
    with pytest.raises(Waiting):
        ship(shipped.open(**APPROVAL), QUIET)
    approve(shipped.open(), "production", tmp_path / "me.key", trusted=True)
    pause(shipped.open(), "production")

    with pytest.raises(Waiting, match=r"paused it by hand.*greenlight resume"):
        ship(shipped.open(**APPROVAL), QUIET)
    assert shipped.targets["production"].weights == {"blue": 50, "green": 50}
    resume(shipped.open(), "production")
    ship(shipped.open(**APPROVAL), QUIET)

    assert len(releases(shipped)["production"]) == 1


def test_a_rollout_that_is_recorded_is_watched_whenever_its_ship_was_killed(
    shipped: World, counted: Scissors
) -> None:
    """The ship that goes on with it does not begin it again, and would not look for a watcher."""
    cut_at(shipped, counted, past.ROLLOUT_BEGUN, **SOAKS)

    ship(shipped.open(**SOAKS), QUIET)

    assert shipped.targets["production"].watched
