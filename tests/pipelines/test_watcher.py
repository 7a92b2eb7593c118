"""The watcher: what it decides from what it sees, and what it does on targets in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import past
from pipelines.analysis import Finding, Tally, Window
from pipelines.run import open_run
from pipelines.ship import ship
from pipelines.status import status
from pipelines.watcher import Situation, Stopwatch, Watcher, decide, newest_under_a_lease
from pipelines.word import approve, pause, resume
from release.errors import BadInput, Refused, Returned, Waiting
from release.rollout_section import Rollout
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
from tests.pipelines.watching import SOAKS, watch, watched

pytestmark = pytest.mark.usefixtures("own_cache")
SETTINGS = Rollout.model_validate_json('{"soakSeconds": 100, "scaleDownDelaySeconds": 30}')
ROLLOUT = past.RolloutHistory("new", "old", "green", "blue", SETTINGS, begun=0.0)
LIVE = replace(ROLLOUT, live_since=1000.0)
AT_ONCE = replace(LIVE, settings=SETTINGS.model_copy(update={"soak": 0.0}))
BAD = Window("soak", 100, 0.0, 10.0, False, None, None,
             (Finding("errors", "fail", "errors of green is 1"),))  # fmt: skip


SICK: dict[str, Any] = {"seen": Tally().add(BAD), "reasons": BAD.reasons}


def seen(rollout: past.RolloutHistory | None = ROLLOUT, **changes: Any) -> Situation:
    """A rollout at work, somebody holding its lease, but for ``changes``."""
    base = Situation(rollout, returning=False, held=True, silent_for=0.0, live_for=10.0)
    return replace(base, **changes)


WAITS = replace(ROLLOUT, waiting={"for": "somebody", "until": "approve"})
CASES: list[tuple[str, Situation, str, bool]] = [
    ("somebody is at work", seen(), "wait", False),
    ("the lease is a little old", seen(held=False, silent_for=29.0), "wait", False),
    ("nobody renewed the lease", seen(held=False, silent_for=31.0), "return", False),
    ("it hangs, and its lease ran out", seen(silent_for=31.0), "return", False),
    ("it waits for a person", seen(WAITS, held=False, silent_for=9999.0), "look", False),
    (
        "green got worse while it waits",
        seen(WAITS, held=False, **SICK),
        "return",
        True,
    ),
    ("it soaks", seen(LIVE, held=False), "look", False),
    (
        "green got worse while it soaks",
        seen(LIVE, held=False, **SICK),
        "return",
        True,
    ),
    ("worse, and somebody ships the next one", seen(LIVE, **SICK), "return", True),
    ("it soaks, and somebody ships the next one", seen(LIVE), "look", False),
    (
        "its time is over, and somebody ships the next one",
        seen(LIVE, live_for=100.0),
        "wait",
        False,
    ),
    ("the soak is over", seen(LIVE, held=False, live_for=100.0), "stand down", False),
    (
        "its time is over, and nobody knows how it does",
        seen(LIVE, held=False, live_for=100.0, unseen="it is not measured"),
        "look",
        False,
    ),
    (
        "its time is over, and nobody wanted to look",
        seen(AT_ONCE, held=False, live_for=30.0, unseen="nobody has looked at it"),
        "stand down",
        False,
    ),
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


def test_silence_begins_anew_with_every_entry_under_the_lease(shipped: World) -> None:
    """And is counted by a clock that nobody can set, from when that entry was first seen."""
    clock = VirtualClock(500.0)
    silence, entries = Stopwatch(clock.monotonic), shipped.open().entries()
    newest = newest_under_a_lease(entries, "production")

    assert entries[newest - 1].fence
    assert silence.seconds(newest) == 0.0
    clock.now += 7.0
    assert silence.seconds(newest) == 7.0
    assert silence.seconds(newest_under_a_lease(entries[: newest - 1], "production")) == 0.0


@pytest.mark.parametrize("jump", [-7200.0, 7200.0], ids=["back", "forward"])
def test_a_clock_that_jumps_ends_no_soak_early_and_none_late(shipped: World, jump: float) -> None:
    """What was live stands by for as long as was asked, whatever the machine's clock says."""
    ship(shipped.open(**SOAKS), QUIET)
    clock = shipped.clock
    assert isinstance(clock, VirtualClock)
    watcher = Watcher(shipped.open(), "production", QUIET)
    assert watcher.turn()

    clock.set_by += jump
    assert watched(watcher, clock, 100)
    assert len(shipped.state()["production"][0]) == 2
    watched(watcher, clock, 40)
    assert len(shipped.state()["production"][0]) == 1


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


def cut_at_a_pause(world: World, scissors: Scissors) -> None:
    """A ship of the change that is killed once it has said that it is paused."""

    def die() -> None:
        scissors.set(len(scissors.acts) - 1)

    assert isinstance(world.clock, VirtualClock)
    world.clock.later.append((world.clock.now + 60, die))
    with pytest.raises(Cut):
        ship(world.open(**OTHER), QUIET)
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


def test_a_release_that_soaks_is_watched_while_the_next_one_is_staged(shipped: World) -> None:
    """Whoever ships the next one over a sick one has to give way: exit 4, and blue is back."""
    before, production = shipped.state()["production"], shipped.targets["production"]
    ship(shipped.open(**SOAKS), QUIET)
    production.ill = {shipped.open(**SOAKS).built.release.digest}
    third = shipped.open(parameters={"max_tokens": 9})

    with open_run(third, "ship", third.environments, QUIET) as run:
        watch(shipped, 30)
        assert shipped.state()["production"] == before
        with pytest.raises(Waiting):
            run.append(past.INTENT, {"step": "deploy"}, "production")


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


def test_an_approved_rollout_waits_for_whoever_ships_it_on_S08(
    shipped: World, tmp_path: Path
) -> None:
    """Approved hours after it stopped: the watcher leaves it where it is, and says for what."""
    with pytest.raises(Waiting):
        ship(shipped.open(**APPROVAL), QUIET)
    watch(shipped, 3600)
    approve(shipped.open(), "production", tmp_path / "me.key", trusted=True)

    watch(shipped, 3600)

    assert shipped.targets["production"].weights == {"blue": 50, "green": 50}
    waits = status(shipped.open())["environments"]["production"]["rollout"]["waiting"]
    assert waits["for"] == "somebody to ship it on"
    ship(shipped.open(**APPROVAL), QUIET)
    assert len(releases(shipped)["production"]) == 1


def test_a_ship_that_went_on_and_was_killed_is_brought_back_S08(
    shipped: World, counted: Scissors, tmp_path: Path
) -> None:
    """It waits for nobody any more: what was waited for is over once somebody goes on."""
    before = shipped.state()["production"]
    with pytest.raises(Waiting):
        ship(shipped.open(**APPROVAL), QUIET)
    approve(shipped.open(), "production", tmp_path / "me.key", trusted=True)
    cut_at(shipped, counted, "expose {'green': 100}", **APPROVAL)

    watch(shipped, 60)

    assert shipped.state()["production"] == before


def test_a_paused_rollout_whose_command_was_killed_waits_for_whoever_ships_it_on(
    shipped: World, counted: Scissors
) -> None:
    """Resumed, it says so, and the watcher brings nothing back."""
    clock = shipped.clock
    assert isinstance(clock, VirtualClock)
    clock.later = [(clock.now + 15, lambda: pause(shipped.open(), "production"))]
    cut_at_a_pause(shipped, counted)
    half = shipped.targets["production"].weights

    said = resume(shipped.open(), "production")
    watch(shipped, 600)

    assert "run `greenlight ship` again" in said
    assert shipped.targets["production"].weights == half
    ship(shipped.open(**OTHER), QUIET)
    assert len(releases(shipped)["production"]) == 1


def test_a_pause_may_last_longer_than_the_deadline(shipped: World) -> None:
    """Whoever paused it is not late: resumed, it goes on."""
    clock = shipped.clock
    assert isinstance(clock, VirtualClock)
    start = clock.now
    clock.later = [
        (start + 15, lambda: pause(shipped.open(), "production")),
        (start + 2000, lambda: resume(shipped.open(), "production")),
    ]

    ship(shipped.open(**OTHER), QUIET)

    assert clock.now > start + 2000
    assert len(releases(shipped)["production"]) == 1


def test_few_users_are_enough_when_they_are_waited_for(shipped: World) -> None:
    """Two requests a minute: windows go on until there are enough to judge, then it returns."""
    before, production = shipped.state()["production"], shipped.targets["production"]
    soaks = {**OTHER, "rollout": {"soakSeconds": 3000, "scaleDownDelaySeconds": 1}}
    ship(shipped.open(**soaks), QUIET)
    production.users = 1 / 30
    production.ill = {shipped.open(**soaks).built.release.digest}

    watch(shipped, 600)

    assert shipped.state()["production"] == before


def test_a_watcher_that_begins_anew_knows_what_the_one_before_it_saw(shipped: World) -> None:
    """One more failure than is allowed, in two lives."""
    before, production = shipped.state()["production"], shipped.targets["production"]
    soaks = {**OTHER, "rollout": {"soakSeconds": 3000, "analysis": {"failureLimit": 1}}}
    ship(shipped.open(**soaks), QUIET)
    production.ill = {shipped.open(**soaks).built.release.digest}

    for _ in range(3):
        assert shipped.state()["production"] != before
        Watcher(shipped.open(), "production", QUIET).turn()

    assert shipped.state()["production"] == before


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
