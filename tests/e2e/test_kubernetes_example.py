"""``examples/support-bot`` on a cluster: a release that gets there, and by Git two that do not.

With a part of its questions: all of them are asked where it is shipped by the README's commands,
on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Cluster
from tests.e2e.by_git import ByGit, by_commits
from tests.e2e.conftest import Application, make_example
from tests.e2e.on_a_cluster import shipped
from tests.emulators import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def with_each(nth: int) -> Callable[[str, Path, Path], Application]:
    """Makes the example, of whose questions each ``nth`` is asked."""

    def make(engine: str, cache: Path, folder: Path) -> Application:
        made = make_example(engine, cache, folder)
        questions = folder / "evaluation/questions.jsonl"
        questions.write_text("".join(questions.read_text().splitlines(keepends=True)[::nth]))
        return made

    return make


@pytest.fixture(scope="module")
def bot(
    cluster: Cluster, s3: Emulator, cache: Path, pytestconfig: pytest.Config
) -> Iterator[ByGit]:
    """The example, of which nothing is there yet."""
    with by_commits(cluster, s3, cache, pytestconfig, "example", with_each(3)) as found:
        yield found


def change(bot: ByGit, name: str) -> tuple[str, str]:
    """Arguments for one of the changes that come with the example."""
    return "--with", str(bot.box.application.folder / f"changes/{name}.yaml")


def test_the_example_gets_to_production_by_git(bot: ByGit) -> None:
    """Its first release answers everybody in both environments, and Git says so."""
    done = bot.box.run("ship")

    assert done.code == 0, done.err + bot.box.logs()
    assert len(set(bot.box.live().values())) == 1
    assert bot.told() == bot.box.weights() == {"blue": 100}


def test_a_worse_prompt_is_refused_before_production_by_git(bot: ByGit) -> None:
    """Nothing of it reaches production, nor production's folder in Git."""
    before = bot.box.live(), bot.box.names("deployment"), bot.names("deployment")

    done = bot.box.run("ship", *change(bot, "worse-prompt"))

    assert done.code == 3, done.err + bot.box.logs()
    assert (bot.box.live(), bot.box.names("deployment"), bot.names("deployment")) == before
    assert bot.told() == bot.box.weights() == {"blue": 100}


def test_what_is_slow_in_traffic_is_brought_back_by_git(bot: ByGit) -> None:
    """Alone it is quick enough, beside blue it is not: everybody is back on blue."""
    before = bot.box.live()["production"]

    done = bot.box.run("ship", *change(bot, "slow-in-traffic"))

    assert done.code == 5, done.err + bot.box.logs()
    assert bot.box.live()["production"] == before
    assert bot.told() == bot.box.weights() == {"blue": 100}
    assert bot.names("deployment") == bot.box.names("deployment")
    assert len(bot.box.held()) == 1


def test_the_example_gets_to_production_directly(
    cluster: Cluster, s3: Emulator, cache: Path, pytestconfig: pytest.Config
) -> None:
    """Without any Git: its first release answers everybody in both environments."""
    with shipped(cluster, s3, cache, pytestconfig, "directly", make=with_each(6)) as bot:
        done = bot.run("ship")

        assert done.code == 0, done.err + bot.logs()
        assert len(set(bot.live().values())) == 1
        assert bot.weights() == {"blue": 100}
