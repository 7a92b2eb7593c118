"""On a cluster: from nothing to production and to nothing again, a story in order.

The command is the real one, and so are the model, the pods' processes, the API server, the ledger's
store and the watcher in its pod. Every test goes on from where the one before it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import Cluster
from tests.e2e.on_a_cluster import Shipped, shipped, until
from tests.e2e.test_rollout import Users
from tests.emulators import Emulator
from tests.targets import asking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

QUICK: dict[str, Any] = {
    "checks": 4,
    "steps": [{"setWeight": 50}, {"pause": {"duration": 2}}, {"setWeight": 100}],
    "soakSeconds": 3,
}
OTHER_PROMPT: dict[str, Any] = {
    "prompt": {
        "inputs": ["query", "context"],
        "messages": [
            {"role": "system", "content": "Answer briefly, from the manual."},
            {"role": "user", "file": "prompts/question.j2"},
        ],
    },
    "rollout": QUICK,
}


@pytest.fixture(scope="module")
def box(
    cluster: Cluster, s3: Emulator, cache: Path, pytestconfig: pytest.Config
) -> Iterator[Shipped]:
    """The application of this story, of which nothing runs yet."""
    if cluster.real_pods:
        pytest.skip("a cluster with real pods has its own data plane")
    with shipped(cluster, s3, cache, pytestconfig, "by-hand") as one:
        yield one


def asked(box: Shipped) -> str:
    """The label of the release that answers a user."""
    return asking.label(box.url, {"Authorization": f"Bearer {box.key}"})


def test_a_dry_run_tells_the_plan_and_changes_nothing(box: Shipped) -> None:
    """No object, no entry."""
    done = box.run("ship", "--dry-run", "--json")

    assert done.code == 0, done.err
    assert "provision" in [one["step"] for one in done.document["steps"]]
    assert all(not box.names(kind) for kind in ("deployment", "lease", "configmap"))
    assert box.entries() == []


def test_the_first_release_goes_to_production(box: Shipped) -> None:
    """Exit 0; live in both environments, and answering users."""
    done = box.run("ship")

    assert done.code == 0, done.err + box.logs()
    (release,) = set(box.live().values())
    assert asked(box) == release
    assert f"{release} is live in production" in done.out
    assert box.run("verify").code == 0
    assert "nothing to do" in box.run("ship").out


def test_a_second_release_takes_over_unnoticed_and_shares_the_model_S01_S02(box: Shipped) -> None:
    """Whoever asks all the time gets whole answers; the watcher's pod retires what was live."""
    before, (server,) = box.live(), (n for n in box.names("deployment") if n.startswith("model-"))
    users = [Users(box.url, box.key) for _ in range(2)]
    for one in users:
        one.start()

    done = box.run("ship", *box.change("other-prompt", OTHER_PROMPT))
    watched = box.watched()
    until(lambda: not box.watched(), "the watcher's end", box.logs)
    for one in users:
        one.over.set()
        one.join()

    assert done.code == 0, done.err + box.logs()
    assert [one.failed for one in users] == [[], []]
    assert sum(one.whole for one in users) > 10
    assert watched
    assert box.live()["production"] != before["production"]
    assert box.names("deployment") == {"box-green", server}
    assert box.weights() == {"green": 100}
    assert set.union(*(one.answered for one in users)) == {
        before["production"], box.live()["production"]
    }
    assert "rollout-ended" in box.kinds()
