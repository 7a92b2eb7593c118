"""Kills in every order that the steps allow, thousands of them, on a clock that nobody waits for.

A table first: each verb, cut between any two of its writes and typed again, ends as undisturbed.
Then stories: each seed is some verbs in any order, the wrong ones among them, each of them killed,
or hung, before or after some write, or not, while somebody else types as well. In the end
everything is where an undisturbed run leaves it. Invariants are held at every write by the targets
in memory: traffic goes to slots that are ready, a slot with traffic is not retired or replaced.

A failure names its seed: ``GREENLIGHT_SEED=17 pytest tests/pipelines/test_chaos.py`` replays it.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines import past
from tests.pipelines.killing import ASKING, CHANGE, VERBS, WORDS, Stage
from tests.pipelines.memory import releases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

SEEDS = int(os.environ.get("GREENLIGHT_SEEDS", "100"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Where all stories begin."""
    folder = tmp_path_factory.mktemp("chaos")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield Stage(folder, patch)


BEFORE: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "comply": (CHANGE, (), "comply"),
    "evaluate": (CHANGE, (), "evaluate"),
    "promote": (CHANGE, ("evaluate",), "promote"),
    "ship": (CHANGE, (), "ship"),
    "approve": (ASKING, ("ship",), "approve"),
    "ship what is approved": (ASKING, ("ship", "approve"), "ship"),
    "pause": (ASKING, ("ship",), "pause"),
    "resume": (ASKING, ("ship", "pause", "approve"), "resume"),
    "rollback from a rollout": (ASKING, ("ship",), "rollback"),
    "rollback from the soak": (CHANGE, ("ship",), "rollback"),
    "ship --retry": (CHANGE, ("ship", "rollback"), "ship --retry"),
    "the watcher stands down": (CHANGE, ("ship",), "watch 45 s"),
    "destroy": (CHANGE, ("ship",), "destroy"),
    "ship what was destroyed": (CHANGE, ("ship", "destroy"), "ship"),
}
"""The spec, what was typed before, and the verb that is killed."""


@pytest.mark.parametrize(("change", "before", "verb"), BEFORE.values(), ids=BEFORE)
def test_a_verb_cut_at_any_write_and_typed_again_ends_as_undisturbed(
    stage: Stage, change: dict[str, Any], before: tuple[str, ...], verb: str
) -> None:
    """Nothing is lost and nothing is there twice, whichever write was the last.

    Cut before each and after the last: that is between any two of them.
    """
    stage.reset(change)
    for one in before:
        stage.do(one)
    begin = stage.save()
    stage.do(verb)
    acts = stage.acts
    stage.do("watch 10 s")
    goal = stage.ending()
    assert acts

    for at, after in [*((at, False) for at in range(len(acts))), (len(acts) - 1, True)]:
        with story(acts[at]) as told:
            stage.restore(begin)
            told += [stage.do(verb, at, after), stage.do(verb), stage.do("watch 10 s")]

            assert "cut" in told[0]
            assert stage.ending() == goal
            stage.require_whole()


@contextlib.contextmanager
def story(name: object) -> Iterator[list[str]]:
    """What is told of it when it ends badly."""
    told: list[str] = []
    try:
        yield told
    except Exception as error:
        error.add_note(f"{name}: {told}")
        raise


def seeds() -> list[int]:
    """All of them, or the one to replay."""
    one = os.environ.get("GREENLIGHT_SEED")
    return [int(one)] if one else list(range(SEEDS))


def scene(stage: Stage, chance: random.Random, verbs: tuple[str, ...]) -> str:
    """Somebody types something, and may be killed while at it; what came of it.

    Early writes are as likely as late ones: a word has one, a ship has eighty.
    """
    at = int(100 ** chance.random()) - 1 if chance.random() < 0.7 else -1
    after, hangs = chance.random() < 0.5, chance.random() < 0.2
    meanwhile = chance.choice([verb for verb in BESIDE if verb in verbs])
    return stage.do(chance.choice(verbs), at, after, hangs, meanwhile, chance.uniform(0, 40))


SHIPPING = ("ship", "ship", "ship", "evaluate", "promote", "comply", *WORDS, "nothing",
            "watch 10 s", "watch 45 s", "wait 1 s", "wait 20 s", "wait 100 s")  # fmt: skip
"""What only brings the change on, or waits."""
BESIDE = ("nothing", "nothing", *WORDS, "comply", "rollback")
"""What may be typed while a command is at work, and waits for nobody."""


@pytest.mark.parametrize("change", [CHANGE, ASKING], ids=["by itself", "approved"])
def test_kills_in_any_order_end_as_an_undisturbed_run(stage: Stage, change: dict[str, Any]) -> None:
    """Shipped to the end by whoever comes last, with the ledger whole and nobody left over."""
    goal = stage.undisturbed(change)
    for seed in seeds():
        with story(seed) as told:
            chance = random.Random(seed)
            stage.reset(change)
            told += [scene(stage, chance, SHIPPING) for _ in range(chance.randint(1, 5))]

            told += stage.settle()

            assert stage.ending() == goal
            stage.require_whole()


def test_any_verb_in_any_order_can_be_mended_by_shipping(stage: Stage) -> None:
    """Brought back by hand and destroyed as well: what is held then needs ``--retry``."""
    for seed in seeds():
        with story(seed) as told:
            chance = random.Random(f"any {seed}")
            stage.reset(chance.choice((CHANGE, ASKING)))
            told += [scene(stage, chance, tuple(VERBS)) for _ in range(chance.randint(2, 6))]

            told += stage.settle("ship --retry")

            ending = stage.ending()
            assert all(one == stage.candidate for one in ending["releases"].values())
            assert set(ending["weights"]) == stage.candidate
            assert (ending["rollout"], ending["watched"]) == (None, False)
            assert stage.do("ship").endswith("done")
            stage.require_whole()


def test_a_rollback_after_any_kill_ends_on_what_was_live(stage: Stage) -> None:
    """Killed as well, and said again; nobody's evidence or lease is in the way."""
    for seed in seeds()[: SEEDS // 3]:
        with story(seed) as told:
            chance = random.Random(f"back {seed}")
            stage.reset(chance.choice((CHANGE, ASKING)))
            told.append(scene(stage, chance, SHIPPING))
            if past.rollout(stage.entries(), "production") is None:
                continue

            told.append(stage.do("rollback", chance.randrange(30), chance.random() < 0.5))
            told += [stage.do("rollback"), stage.do("watch 45 s")]

            assert releases(stage.world)["production"] == stage.first
            assert stage.do("ship").endswith(("Refused", "Returned"))
            stage.require_whole()


@pytest.mark.parametrize("how", ["ill", "broken"])
def test_a_breach_after_any_kill_ends_on_blue_and_held(stage: Stage, how: str) -> None:
    """Green answers with errors, or never gets ready: however often it is shipped, users are back
    on blue.
    """
    for seed in seeds()[: SEEDS // 3]:
        with story(seed) as told:
            chance = random.Random(f"{how} {seed}")
            stage.reset()
            setattr(stage.world.targets["production"], how, stage.candidate)
            told += [scene(stage, chance, SHIPPING) for _ in range(chance.randint(1, 3))]

            told += stage.settle()

            assert releases(stage.world)["production"] == stage.first
            assert stage.candidate <= set(past.held(stage.entries()))
            stage.require_whole()
