"""By Git on a cluster: each step is a commit, and Git and the cluster come to say the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Cluster
from tests.e2e.by_git import ByGit, by_commits
from tests.e2e.on_a_cluster import tokens, until
from tests.e2e.test_faults import wait_for
from tests.emulators import Emulator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def by_git(
    cluster: Cluster, s3: Emulator, cache: Path, pytestconfig: pytest.Config
) -> Iterator[ByGit]:
    """The small application, of which nothing is there yet."""
    with by_commits(cluster, s3, cache, pytestconfig, "by-git") as found:
        yield found


def test_by_git_each_step_is_a_commit_and_git_says_what_is_live_S05(by_git: ByGit) -> None:
    """Two releases and a return; the cluster and Git agree each time."""
    box = by_git.box

    done = box.run("ship")
    assert done.code == 0, done.err + box.logs()
    assert by_git.told() == box.weights() == {"blue": 100}

    done = box.run("ship", *tokens(box, 9))
    assert done.code == 0, done.err + box.logs()
    assert by_git.told() == box.weights() == {"green": 100}
    until(lambda: not box.watched(), "the watcher's end", box.logs)
    assert by_git.names("deployment") == box.names("deployment")
    messages = by_git.git("log", "--format=%B", "main")
    digests = {one["data"]["release"] for one in box.entries() if one["kind"] == "built"}
    assert len(digests) == 2
    assert all(f"Greenlight-Release: {one}" in messages for one in digests)


def test_by_git_a_return_changes_the_cluster_first_and_then_git_S05(by_git: ByGit) -> None:
    """Nobody follows Git then; it comes to say what the cluster is."""
    box, controller = by_git.box, by_git.controllers["production"]
    done = box.run("ship", *tokens(box, 10, soakSeconds=600))
    assert done.code == 0, done.err + box.logs()
    assert by_git.told() == box.weights() == {"blue": 100}
    controller.stuck, seen = True, controller.rounds

    with box.start("rollback", "--env", "production") as process:
        wait_for(process, "• retire production/")
        weights, told = box.weights(), by_git.told()
        assert controller.rounds == seen
        assert [one["data"] for one in box.entries() if one["kind"] == "live"][-1]["returned"]
        controller.stuck = False
        _, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    assert weights == told == {"green": 100}
    assert by_git.told() == box.weights() == {"green": 100}
    until(lambda: by_git.names("deployment") == box.names("deployment"), "what Git says", box.logs)
    refused = box.run("destroy")  # a controller that is there would put it all back
    assert refused.code == 1
    assert "it would put back whatever is destroyed. Delete it first" in refused.err
