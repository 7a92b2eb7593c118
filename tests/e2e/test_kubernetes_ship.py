"""On a cluster: from nothing to production and to nothing again, a story in order.

The command is the real one, and so are the model, the pods' processes, the API server, the ledger's
store and the watcher in its pod. Every test goes on from where the one before it stopped.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import Cluster
from tests.e2e.on_a_cluster import (
    ENVIRONMENTS,
    QUICK,
    ROUTE,
    Fences,
    Shipped,
    shipped,
    tokens,
    until,
)
from tests.e2e.test_faults import wait_for
from tests.e2e.test_rollout import asking_at
from tests.e2e.test_ship import POEM
from tests.emulators import Emulator
from tests.targets import asking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SLOW: dict[str, Any] = {
    "engine": {"isolation": "dedicated", "parallel": 1, "threads": 1},
    "prompt": {
        "inputs": ["query", "context"],
        "messages": [{"role": "user", "content": "{{ context }}\nTell a long story about it."}],
    },
    "parameters": {"temperature": 0, "max_tokens": 32},
    "rollout": {
        **QUICK,
        "analysis": {
            "interval": 3,
            "min_requests": 4,
            "limits": [{"metric": "latency_p95_seconds", "max_change": 1.0}],
        },
    },
}
"""One at a time, by one thread, at great length: an evaluation waits for it, users do not."""
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
    with asking_at(box.url, box.key, 2) as both:
        done = box.run("ship", *box.change("other-prompt", OTHER_PROMPT))
        watched = box.watched()
        until(lambda: not box.watched(), "the watcher's end", box.logs)

    assert done.code == 0, done.err + box.logs()
    assert [one.failed for one in both] == [[], []]
    assert sum(one.whole for one in both) > 10
    assert watched
    assert box.live()["production"] != before["production"]
    assert box.names("deployment") == {"box-green", server}
    assert box.weights() == {"green": 100}
    assert set.union(*(one.answered for one in both)) == {before["production"], asked(box)}
    assert "rollout-ended" in box.kinds()


def test_a_worse_release_is_refused_and_production_is_unchanged(box: Shipped) -> None:
    """Exit 3, with the gate's reason; staging is back on what is live."""
    before, routed = box.live(), box.objects(ROUTE)

    done = box.run("ship", *box.change("poem", POEM), "--json")

    assert done.code == 3, done.err + box.logs()
    assert "f1 is" in done.document["reasons"][0]
    assert box.live() == before
    assert box.objects(ROUTE)[0]["spec"] == routed[0]["spec"]
    (staging,) = box.status()["staging"]["slots"].values()
    assert (staging["release"], staging["weight"]) == (before["staging"], 100)


def test_a_release_that_is_slow_in_traffic_comes_back_by_itself_S03(box: Shipped) -> None:
    """Exit 5; everything on what was live, the slow one held, and no user was failed."""
    before, weights = box.live()["production"], box.weights()

    with asking_at(box.url, box.key, 2) as both:
        done = box.run("ship", *box.change("slow", SLOW))

    assert done.code == 5, done.err + box.logs()
    assert "latency_p95_seconds" in done.err
    assert box.live()["production"] == before
    assert box.weights() == weights
    assert len(box.held()) == 1
    assert [one.failed for one in both] == [[], []]
    assert sum(name.startswith("model-") for name in box.names("deployment")) == 1


def killed_at(box: Shipped, step: str, *change: str) -> float:
    """Ship, and SIGKILL when ``step`` begins; the seconds until the first step began."""
    begun = time.monotonic()
    with box.start("ship", *change) as process:
        assert process.stderr is not None
        lines = iter(process.stderr)
        first = next(line for line in lines if "• " in line)
        seconds = time.monotonic() - begun
        if step not in first:
            wait_for(process, step)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return seconds


def test_killed_and_run_again_it_goes_on_and_two_at_once_are_one_S09_S22(
    box: Shipped, record_property: Callable[[str, object], None]
) -> None:
    """After a deploy, between two weights; then two at once. No write of an older leader's."""
    change = tokens(box, 9)
    before = box.live()["production"]

    with Fences(box) as fences:
        seconds = [
            killed_at(box, "• smoke-test production/", *change),
            killed_at(box, "• analyse production/", *change),
        ]
        with box.start("ship", *change) as one, box.start("ship", *change) as other:
            _, said = one.communicate(timeout=300)
            _, also = other.communicate(timeout=300)
        until(lambda: not box.watched(), "the watcher's end", box.logs)

    record_property("seconds until the first step, and until the one after a kill", seconds)
    assert sorted((one.returncode, other.returncode)) == [0, 4], said + also + box.logs()
    loser, winner = (one, other) if one.returncode else (other, one)
    assert f"process {winner.pid}" in (said if loser is one else also)
    assert fences.seen == sorted(fences.seen)
    assert len(set(fences.seen)) > 2
    assert box.live()["production"] != before
    assert len(box.status()["production"]["slots"]) == 1
    assert box.run("verify").code == 0


def test_a_rollout_whose_command_never_comes_back_is_brought_back_by_the_watchers_pod_S08(
    box: Shipped,
) -> None:
    """Everything on what was live, as soon as the lease is over; then nothing is left of it."""
    before, weights = box.live()["production"], box.weights()

    killed_at(box, "• analyse production/", *tokens(box, 10, leaseDurationSeconds=8))
    assert box.weights() != weights

    until(lambda: box.weights() == weights, "the return", box.logs)
    until(lambda: not box.watched(), "the watcher's end", box.logs)
    assert box.live()["production"] == before
    assert len(box.status()["production"]["slots"]) == 1
    assert box.held() == box.held()[:1]  # nothing is said of what was not judged
    assert box.run("verify").code == 0


KINDS = ("deployment", "pod", "replicaset", "service", "configmap", "secret", "serviceaccount",
         "networkpolicy", "horizontalpodautoscaler", "poddisruptionbudget", "role", "rolebinding",
         ROUTE, "podmonitor.monitoring.coreos.com", "prometheusrule", "lease")  # fmt: skip


def test_destroy_leaves_nothing_in_the_cluster_and_says_what_stays(box: Shipped) -> None:
    """The record, which still verifies, and the keys."""
    done = box.run("destroy")

    assert done.code == 0, done.err
    kept = box.stage.overlay["ledger"]
    assert f"production, staging: gone; ledger and evidence stay in {kept}" in done.out
    left = {(where, kind): found for where in ENVIRONMENTS for kind in KINDS
            if (found := box.names(kind, where))}  # fmt: skip
    assert left == {}
    assert all(not place.pods() for place in box.stage.places.values())
    assert box.run("verify").code == 0
    assert "nothing to do" in box.run("destroy").out
