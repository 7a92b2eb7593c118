"""``ship`` and its parts on targets in memory: what goes wrong, and who is blamed for it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import pytest
from aiohttp import web

from pipelines import past
from pipelines.apply import WATCHED_WITHIN
from pipelines.clock import SYSTEM
from pipelines.facts import SlotState
from pipelines.provisioned import write_provisioned
from pipelines.provisioning import fingerprint
from pipelines.rendering import render_environment
from pipelines.reporting import Silent
from pipelines.run import open_run
from pipelines.ship import comply, evaluate, promote, ship
from pipelines.targets.base import PlatformError, TargetFacts
from release.errors import BadInput, GreenlightError, Refused, Returned, Waiting
from release.ledger import history
from tests.manifests.making import IMAGE
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
from tests.pipelines.standin import StandIn, completion

pytestmark = pytest.mark.usefixtures("own_cache")


def silent_in_production(side: str, question: str, before: int) -> web.Response:
    """Green answers the smoke test in production, and no check."""
    if side == "production-green" and before > 0:
        return completion(usage={})
    return knowing(side, question, before)


def test_a_first_ship_ends_with_the_release_live_and_alone_everywhere(world: World) -> None:
    digest = world.open().built.release.digest

    ship(world.open(), QUIET)

    assert world.state() == {
        name: ({"blue": digest}, {"blue": 100}) for name in ("staging", "production")
    }


def test_a_second_ship_writes_nothing(shipped: World) -> None:
    before = len(kinds(shipped))

    assert ship(shipped.open(), QUIET).plan.steps == ()
    assert len(kinds(shipped)) == before


@pytest.mark.parametrize("where", ["room", "deploy"])
def test_what_cannot_be_rendered_is_told_with_its_line_as_render_does(
    shipped: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Whether it is seen when the room is counted, or only in the step that writes it."""
    patches = [{"kind": "Deployment", "name": "nobody", "patch": {}}]
    there = {"kubernetes": {"image": IMAGE, "patches": patches}}
    opened = shipped.open(**OTHER, environments={"production": there})
    write_provisioned(opened.state, fingerprint(opened), opened.spec)  # no engine is to come of it
    with pytest.raises(BadInput) as rendered:
        render_environment(opened, "production")
    (problem,) = rendered.value.problems

    def mistaken(*_: object) -> None:
        raise BadInput(replace(problem, file="", line=None))

    monkeypatch.setattr(shipped.targets["production"], where, mistaken)
    with pytest.raises(BadInput) as caught:
        ship(opened, QUIET)

    assert caught.value.problems == (problem,)
    assert problem.file.endswith(".yaml")
    assert problem.line


def test_an_incumbent_that_fails_in_staging_is_not_the_candidates_fault(shipped: World) -> None:
    """Exit 1 and not 3: the candidate was not judged, and ships as soon as it can be."""
    incumbent, staging = shipped.open().built.release.digest, shipped.targets["staging"]
    before = shipped.state()["production"]
    staging.slots, staging.weights, staging.broken = {}, {}, {incumbent}

    with pytest.raises(GreenlightError, match="was not judged") as caught:
        ship(shipped.open(**OTHER), QUIET)
    after = shipped.state()["production"]
    staging.broken = set()
    ship(shipped.open(**OTHER), QUIET)

    assert caught.value.exit_code == 1
    assert after == before
    assert shipped.targets["production"].slots["green"].release != incumbent


def test_a_candidate_that_does_not_get_ready_in_staging_is_refused(shipped: World) -> None:
    before, candidate = shipped.state(), shipped.open(**OTHER).built.release.digest
    shipped.targets["staging"].broken = {candidate}

    with pytest.raises(Refused, match="failed in staging"):
        ship(shipped.open(**OTHER), QUIET)

    assert shipped.state() == before


def test_a_candidate_that_does_not_get_ready_in_production_is_returned_and_held(
    shipped: World,
) -> None:
    before, candidate = shipped.state(), shipped.open(**OTHER).built.release.digest
    shipped.targets["production"].broken = {candidate}

    with pytest.raises(Returned):
        ship(shipped.open(**OTHER), QUIET)

    assert shipped.state()["production"] == before["production"]
    assert candidate in past.held(history(shipped.open().records()))


def test_a_check_that_is_not_answered_brings_everything_back(
    shipped: World, model: StandIn
) -> None:
    """A missing measurement is an error, never zero."""
    before = shipped.state()["production"]

    model.reply = silent_in_production
    with pytest.raises(Returned, match="did not answer a synthetic query"):
        ship(shipped.open(**OTHER), QUIET)

    assert shipped.state()["production"] == before


def test_errors_in_traffic_bring_blue_back_and_hold_green(shipped: World) -> None:
    """What no check has seen: green answers its checks, and users get errors."""
    before, candidate = shipped.state(), shipped.open(**OTHER).built.release.digest
    shipped.targets["production"].ill = {candidate}

    with pytest.raises(Returned, match=r"errors of green is 1, the limit is 0\.05"):
        ship(shipped.open(**OTHER), QUIET)

    assert shipped.state()["production"] == before["production"]
    assert candidate in past.held(history(shipped.open().records()))
    assert not shipped.targets["production"].watched


def test_a_rollout_says_what_was_replayed(shipped: World) -> None:
    """There were no users: evaluation queries stood in for them, in every window."""
    shipped.clock = shipped.targets["production"].clock = SYSTEM  # queries take real time
    shipped.targets["production"].users = 0
    analysis = {"interval": 0.05, "min_requests": 2, "concurrency": 2}
    steps = [{"setWeight": 50}, {"pause": {"duration": 0.1}}, {"setWeight": 100}]
    change = shipped.open(**OTHER, rollout={"steps": steps, "analysis": analysis})
    ship(change, QUIET)

    windows = [e.data for e in history(change.records()) if e.kind == past.WINDOW]
    phases = [one["phase"] for one in windows]
    assert (phases[0], set(phases[1:])) == ("baseline", {"step"})
    assert all(one["replayed"] for one in windows)
    assert all(one["blue"]["synthetic"] == one["blue"]["requests"] for one in windows)


def test_both_sides_sick_waits_for_somebody_and_moves_nothing_S07(shipped: World) -> None:
    """Going back would not cure it: exit 4, weights as they are, the watcher stands by."""
    production = shipped.targets["production"]
    incumbent = shipped.open().built.release.digest
    change = shipped.open(**OTHER)
    production.ill = {incumbent, change.built.release.digest}

    with pytest.raises(Waiting, match="going back would not cure it"):
        ship(change, QUIET)

    assert production.weights == {"blue": 50, "green": 50}
    assert production.watched


class Noting(Silent):
    """Keeps what is said beside steps."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


NOBODY = "no pod of its watcher is ready"


@pytest.mark.parametrize(("comes_after", "told"), [(5, False), (1e9, True)])
def test_a_rollout_waits_a_moment_for_its_watcher_and_says_when_there_is_none(
    shipped: World, comes_after: float, told: bool
) -> None:
    """It goes on either way: there may be no room for one."""
    production, clock, noting = shipped.targets["production"], shipped.clock, Noting()
    assert isinstance(clock, VirtualClock)
    begun = clock.now
    production.unwatched = NOBODY
    clock.later = [(begun + comes_after, lambda: setattr(production, "unwatched", ""))]
    change = shipped.open(**OTHER)

    ship(change, noting)

    said = f"production: the rollout goes on without a net: {NOBODY}"
    assert (said in noting.notes) == told
    assert production.weights == {"green": 100}
    (rollout,) = [e for e in history(change.records()) if e.kind == past.ROLLOUT_BEGUN][-1:]
    assert rollout.time - begun >= min(comes_after, WATCHED_WITHIN)


STEPS = [{"setWeight": 25}, {"pause": {"duration": 20}}, {"setWeight": 50}, {"setWeight": 100}]


def test_a_blue_that_is_away_when_weights_move_is_no_way_back_S07(shipped: World) -> None:
    """Exit 4, weights as they are, nobody judged: the cause is not green, and blue answers nobody.

    One that is back in a moment is waited for.
    """
    production, clock = shipped.targets["production"], shipped.clock
    assert isinstance(clock, VirtualClock)
    change = {**OTHER, "rollout": {"steps": STEPS}}

    def blue(state: SlotState) -> None:
        production.slots["blue"] = replace(production.slots["blue"], state=state)

    clock.later = [(clock.now + 20, lambda: blue("starting"))]
    with pytest.raises(Waiting, match="blue to get ready again"):
        ship(shipped.open(**change), QUIET)
    assert production.weights == {"blue": 75, "green": 25}
    assert not past.held(history(shipped.open().records()))

    clock.later = [(clock.now + 5, lambda: blue("ready"))]
    ship(shipped.open(**change), QUIET)
    assert production.weights == {"green": 100}


def test_a_platform_that_takes_no_weights_says_nothing_of_the_candidate(
    shipped: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights as they are, nobody judged, and the same command goes on from there."""
    production, change = shipped.targets["production"], {**OTHER, "rollout": {"steps": STEPS}}
    expose = production.expose

    def away(weights: Mapping[str, int], fence: int, mirror: object = None) -> None:
        if weights.get("green") == 50:
            raise PlatformError("the API server does not answer")
        expose(weights, fence)

    monkeypatch.setattr(production, "expose", away)
    with pytest.raises(PlatformError, match="does not answer"):
        ship(shipped.open(**change), QUIET)
    assert production.weights == {"blue": 75, "green": 25}
    assert not past.held(history(shipped.open().records()))

    monkeypatch.setattr(production, "expose", expose)
    ship(shipped.open(**change), QUIET)
    assert production.weights == {"green": 100}


def test_a_rollout_that_begins_again_measures_blue_alone(shipped: World, counted: Scissors) -> None:
    """Its section was changed half-way: blue has everything before the baseline is taken."""
    counted.set()
    production = shipped.targets["production"]
    at_half = {**OTHER, "rollout": {"steps": [*STEPS[2:3], {"pause": {}}, *STEPS[3:]]}}
    with pytest.raises(Waiting):
        ship(shipped.open(**at_half), QUIET)
    assert production.weights == {"blue": 50, "green": 50}
    production.writes.clear()

    ship(shipped.open(**OTHER, rollout={"steps": STEPS[2:]}), QUIET)

    exposed = [one for one in production.writes if one.startswith("expose")]
    assert exposed[0] == "expose {'blue': 100}"


def test_a_mirror_beside_weights_that_cannot_be_read_is_not_set(shipped: World) -> None:
    """Weights that are not known are not no weights: nobody's traffic is taken away."""
    production = shipped.targets["production"]
    steps = [{"setMirror": 50}, {"setWeight": 100}]
    facts, asked = production.facts, []

    def blind() -> TargetFacts:
        asked.append(1)
        begun = any(e.data.get("step") == "mirror" for e in shipped.open().entries())
        return TargetFacts(False, reason="its gateway does not answer") if begun else facts()

    production.facts = blind  # type: ignore[method-assign]
    with pytest.raises(GreenlightError, match="its weights cannot be read"):
        ship(shipped.open(**OTHER, rollout={"steps": steps}), QUIET)
    assert asked
    assert production.weights == {"blue": 100}


def test_comply_waits_for_nobody_and_moves_nothing(shipped: World) -> None:
    """While somebody else ships, and with a return of theirs unfinished."""
    workspace = shipped.open(**OTHER)
    with open_run(workspace, "ship", workspace.environments, QUIET) as run:
        digest = workspace.built.release.digest
        run.append(past.RETURN_BEGUN, {"release": digest, "goal": digest, "reason": "cut"},
                   "production")  # fmt: skip
        before = [len(target.writes) for target in shipped.targets.values()]

        outcome = comply(shipped.open(**OTHER), QUIET)

    assert [step.kind for step in outcome.plan.steps] == ["comply"]
    assert [len(target.writes) for target in shipped.targets.values()] == before


def test_a_refusal_of_comply_says_that_nothing_was_loaded(shipped: World) -> None:
    before = shipped.state()
    workspace = shipped.open(model={"license": "CC-BY-NC-4.0"})

    with pytest.raises(Refused, match="nothing was loaded"):
        comply(workspace, QUIET)

    assert shipped.state() == before


def test_the_parts_of_a_ship_in_turn_make_a_ship(world: World) -> None:
    """Comply, evaluate, promote: each finds what the one before it left."""
    comply(world.open(), QUIET)
    evaluate(world.open(), QUIET)
    promote(world.open(), "production", QUIET)

    assert ship(world.open(), QUIET).plan.steps == ()


def test_what_somebody_holds_is_waited_for_by_name(shipped: World) -> None:
    workspace = shipped.open()
    with (
        open_run(workspace, "rollback", ("production",), QUIET),
        pytest.raises(Waiting, match="rollback"),
    ):
        ship(shipped.open(**OTHER), QUIET)


@pytest.mark.slow
def test_a_return_cut_before_or_after_any_act_ends_as_an_undisturbed_one(
    world: World, counted: Scissors, model: StandIn
) -> None:
    """Whoever ships next finishes it: exit 5, everything on blue, the release held."""
    ship(world.open(), QUIET)
    begin, goal = world.save(), releases(world)["production"]
    candidate = world.open(**OTHER).built.release.digest
    model.reply = silent_in_production
    counted.set()
    with pytest.raises(Returned):
        ship(world.open(**OTHER), QUIET)
    acts = counted.acts
    begun = acts.index(past.RETURN_BEGUN)

    for number, after in itertools.product(range(begun, len(acts)), (False, True)):
        world.restore(begin)
        model.asked.clear()
        counted.set(number, after)
        with pytest.raises(Cut):
            ship(world.open(**OTHER), QUIET)
        counted.set()
        with pytest.raises((Returned, Refused)):
            ship(world.open(**OTHER), QUIET)

        assert releases(world)["production"] == goal, (acts[number], after)
        assert candidate in past.held(history(world.open().records()))
