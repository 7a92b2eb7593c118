"""``examples/support-bot`` on a cluster, by Git: a release that gets there, and two that do not.

With every third of its questions: with all of them it is shipped by the README's commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Cluster
from tests.e2e.by_git import ByGit, by_commits
from tests.e2e.conftest import Application, make_example
from tests.emulators import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def with_a_third_of_its_questions(engine: str, cache: Path, folder: Path) -> Application:
    """The example, evaluated in a third of the time."""
    made = make_example(engine, cache, folder)
    questions = folder / "evaluation/questions.jsonl"
    questions.write_text("".join(questions.read_text().splitlines(keepends=True)[::3]))
    return made


@pytest.fixture(scope="module")
def bot(
    cluster: Cluster, s3: Emulator, cache: Path, pytestconfig: pytest.Config
) -> Iterator[ByGit]:
    """The example, of which nothing is there yet."""
    make = with_a_third_of_its_questions
    with by_commits(cluster, s3, cache, pytestconfig, "example", make) as found:
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
