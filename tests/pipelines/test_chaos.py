"""Kills in every order that the steps allow, thousands of them, on a clock that nobody waits for.

Each seed is a story: somebody ships and is killed before or after some write; then somebody ships
again, or the watcher looks, or nobody does anything for a while; killed again, perhaps. In the end
everything is where an undisturbed run would have left it. Invariants are held at every write, by
the target in memory: traffic goes to slots that are ready, a slot with traffic is not retired.

A failure names its seed: ``GREENLIGHT_SEED=17 pytest tests/pipelines/test_chaos.py`` replays it.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import past
from pipelines.rollback import rollback
from pipelines.run import Run
from pipelines.ship import ship
from pipelines.watcher import Watcher
from release.errors import GreenlightError, Refused, Returned, Waiting
from release.ledger import verify
from tests import tiny
from tests.pipelines.memory import (
    OTHER,
    QUIET,
    Cut,
    VirtualClock,
    World,
    knowing,
    releases,
    serving,
)
from tests.pipelines.standin import StandIn

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.usefixtures("own_cache")]

SEEDS = int(os.environ.get("GREENLIGHT_SEEDS", "200"))
CHANGE: dict[str, Any] = {**OTHER, "rollout": {"scaleDownDelaySeconds": 40, "soakSeconds": 20}}


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    """What answers checks, in a thread of its own."""
    with serving() as server:
        yield server


class Stage:
    """A world that can be put back to where a first release is live and a second one evaluated."""

    def __init__(self, folder: Path, model: StandIn) -> None:
        self.clock = VirtualClock()
        self.world = World(tiny.write(folder / "app"), model, clock=self.clock)
        ship(self.world.open(), QUIET)
        self._begin = self.world.save()
        ship(self.world.open(**CHANGE), QUIET)
        self.acts = len(self.world.scissors.acts)
        self._let_it_end()
        self.goal = releases(self.world)

    def reset(self) -> None:
        """As it was before the change was shipped for the first time."""
        assert all(target.wrong == [] for target in self.world.targets.values())
        self.world.restore(self._begin)

    def watch(self, seconds: float) -> None:
        """A watcher looks once a second, as long as there is something to watch."""
        watcher, end = Watcher(self.world.open(), "production", QUIET), self.clock.now + seconds
        while self.clock.now < end and watcher.turn():
            self.clock.now += 1.0

    def _let_it_end(self) -> None:
        self.world.scissors.set()
        self.watch(200)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, model: StandIn) -> Iterator[Stage]:
    """Where all stories begin."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("chaos")
    patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    real = Run.append

    def append(run: Run, kind: str, *arguments: Any, **named: Any) -> None:
        with set_up.world.scissors.act(kind):
            real(run, kind, *arguments, **named)

    model.reply = knowing
    set_up = Stage(folder, model)
    patch.setattr(Run, "append", append)
    set_up.reset()
    ship(set_up.world.open(**CHANGE), QUIET)
    set_up.acts = len(set_up.world.scissors.acts)
    yield set_up
    patch.undo()


def scene(stage: Stage, chance: random.Random) -> str:
    """Somebody does something and may be killed while at it; what it was."""
    world, what = stage.world, chance.choice(("ship", "ship", "ship", "watch", "nothing"))
    world.scissors.set(chance.randrange(stage.acts), chance.random() < 0.5)
    try:
        if what == "ship":
            ship(world.open(**CHANGE), QUIET)
        elif what == "watch":
            stage.watch(chance.choice((2, 10, 45)))
        else:
            stage.clock.now += chance.choice((1.0, 20.0, 100.0))
    except Cut:
        what += f" cut at {world.scissors.at}"
    except Waiting:
        what += " waited"
    world.scissors.set()
    return what


def seeds() -> list[int]:
    """All of them, or the one to replay."""
    one = os.environ.get("GREENLIGHT_SEED")
    return [int(one)] if one else list(range(SEEDS))


def test_kills_in_any_order_end_as_an_undisturbed_run(stage: Stage) -> None:
    """Shipped to the end by whoever comes last, with the ledger whole and nobody left over."""
    for seed in seeds():
        chance = random.Random(seed)
        stage.reset()
        story = [scene(stage, chance) for _ in range(chance.randint(1, 4))]

        ship(stage.world.open(**CHANGE), QUIET)
        stage.watch(200)

        told = f"seed {seed}: {story}"
        assert releases(stage.world) == stage.goal, told
        assert all(sum(t.weights.values()) == 100 for t in stage.world.targets.values()), told
        assert not stage.world.targets["production"].watched, told
        assert ship(stage.world.open(**CHANGE), QUIET).plan.steps == (), told
        verify(stage.world.open().records()).require()


def test_a_rollback_after_any_kill_ends_on_what_was_live(stage: Stage) -> None:
    """Killed as well, and said again; nobody's evidence or lease is in the way."""
    first = {stage.world.open().built.release.digest}
    for seed in seeds()[: SEEDS // 3]:
        chance = random.Random(f"back {seed}")
        stage.reset()
        story = [scene(stage, chance)]
        before = past.live_history(stage.world.open().entries(), "production")
        begun = past.rollout(stage.world.open().entries(), "production")
        if begun is None or before.returning:
            continue

        stage.world.scissors.set(chance.randrange(20), chance.random() < 0.5)
        for _ in range(2):
            try:
                rollback(stage.world.open(), "production", QUIET)
                break
            except Cut:
                stage.world.scissors.set()
        stage.world.scissors.set()
        stage.watch(60)

        told = f"seed {seed}: {story}"
        assert releases(stage.world)["production"] == first, told
        with pytest.raises((Refused, Returned)):
            ship(stage.world.open(**CHANGE), QUIET)


def test_a_breach_after_any_kill_ends_on_blue_and_held(stage: Stage) -> None:
    """Green is ill from the start: however often it is shipped, users are back on blue."""
    first = {stage.world.open().built.release.digest}
    candidate = stage.world.open(**CHANGE).built.release.digest
    for seed in seeds()[: SEEDS // 3]:
        chance = random.Random(f"ill {seed}")
        stage.reset()
        stage.world.targets["production"].ill = {candidate}
        story = []
        for _ in range(chance.randint(1, 3)):
            try:
                story.append(scene(stage, chance))
            except GreenlightError as error:
                story.append(type(error).__name__)
        stage.world.scissors.set()
        with contextlib.suppress(Refused, Returned):
            ship(stage.world.open(**CHANGE), QUIET)
        stage.watch(200)

        told = f"seed {seed}: {story}"
        assert releases(stage.world)["production"] == first, told
        assert candidate in past.held(stage.world.open().entries()), told
