"""On a cluster: from nothing to production and to nothing again, a story in order.

The command is the real one, and so are the model, the pods' processes, the API server, the ledger's
store and the watcher in its pod. Every test goes on from where the one before it stopped.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from manifests.model import Rendering
from release.spec import load_spec
from tests.cluster.client import Cluster
from tests.cluster.gitops import StandIn, following
from tests.e2e.on_a_cluster import ENVIRONMENTS, ROUTE, Fences, Shipped, shipped, until
from tests.e2e.test_faults import wait_for
from tests.e2e.test_rollout import Users
from tests.e2e.test_ship import POEM
from tests.emulators import Emulator
from tests.targets import asking

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

QUICK: dict[str, Any] = {
    "checks": 4,
    "steps": [{"setWeight": 50}, {"pause": {"duration": 2}}, {"setWeight": 100}],
    "soakSeconds": 3,
}
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
    if cluster.real_pods:
        pytest.skip("a cluster with real pods has its own data plane")
    with shipped(cluster, s3, cache, pytestconfig, "by-hand") as one:
        yield one


@contextmanager
def users(box: Shipped) -> Iterator[list[Users]]:
    """Two who ask all the time that the block takes."""
    both = [Users(box.url, box.key) for _ in range(2)]
    for one in both:
        one.start()
    try:
        yield both
    finally:
        for one in both:
            one.over.set()
        for one in both:
            one.join()


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
    with users(box) as both:
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

    with users(box) as both:
        done = box.run("ship", *box.change("slow", SLOW))

    assert done.code == 5, done.err + box.logs()
    assert "latency_p95_seconds" in done.err
    assert box.live()["production"] == before
    assert box.weights() == weights
    assert len(box.held()) == 1
    assert [one.failed for one in both] == [[], []]
    assert sum(name.startswith("model-") for name in box.names("deployment")) == 1


def tokens(box: Shipped, number: int, **rollout: Any) -> tuple[str, str]:
    """A change that is worth a ship, as arguments."""
    document = {"parameters": {"max_tokens": number}, "rollout": {**QUICK, **rollout}}
    return box.change(f"tokens-{number}", document)


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
         ROUTE, "podmonitor", "prometheusrule", "lease")  # fmt: skip


def test_destroy_leaves_nothing_in_the_cluster_and_says_what_stays(box: Shipped) -> None:
    """The record, which still verifies, and the keys."""
    done = box.run("destroy")

    assert done.code == 0, done.err
    assert "production, staging: gone; ledger and evidence stay in s3://" in done.out
    left = {(where, kind): found for where in ENVIRONMENTS for kind in KINDS
            if (found := box.names(kind, where))}  # fmt: skip
    assert left == {}
    assert all(not plane.pods() for plane in box.stage.planes.values())
    assert box.run("verify").code == 0
    assert "nothing to do" in box.run("destroy").out


@dataclass(frozen=True)
class ByGit:
    """An application that is shipped by commits, and who follows them."""

    box: Shipped
    bare: Path
    controllers: dict[str, StandIn]

    def git(self, *words: str) -> str:
        """git in the repository."""
        done = subprocess.run(["git", *words], cwd=self.bare, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def names(self, kind: str) -> set[str]:
        """What Git has of a kind for production."""
        files = self.git("ls-tree", "--name-only", "main:box/production").split()
        mine = (file for file in files if file[3:].startswith(f"{kind}-"))
        return {one[4 + len(kind) :].removesuffix(".yaml") for one in mine}

    def told(self) -> dict[str, int]:
        """The weights that Git has for production, those above nothing."""
        folder = "main:box/production"
        (file,) = (n for n in self.git("ls-tree", "--name-only", folder).split() if "route" in n)
        route = yaml.safe_load(self.git("show", f"{folder}/{file}"))
        backends = route["spec"]["rules"][-1]["backendRefs"]
        return {one["name"].rpartition("-")[2]: one["weight"] for one in backends if one["weight"]}


CONTROLLERS = {"staging": "argocd", "production": "flux"}


@pytest.fixture(scope="module")
def by_git(
    cluster: Cluster, s3: Emulator, cache: Path, pytestconfig: pytest.Config
) -> Iterator[ByGit]:
    """A repository with nothing in it, followed by Argo CD's stand-in and by Flux's."""
    if cluster.real_pods:
        pytest.skip("a cluster with real pods has its own data plane")

    def settings(folder: Path, environment: str, namespace: str) -> dict[str, Any]:
        repository, controller = str(folder / "server.git"), CONTROLLERS[environment]
        git = {"repository": repository, "controller": controller, "namespace": namespace}
        return {"priority": "none", "git": {**git, "wait_seconds": 60}}

    with shipped(cluster, s3, cache, pytestconfig, "by-git", settings) as box, ExitStack() as held:
        bare = box.application.folder.parent / "server.git"
        subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", bare], check=True)
        box.application.environment["GIT_CONFIG_GLOBAL"] = "/dev/null"
        spec = load_spec(box.application.folder, (box.overlay,))
        controllers = {}
        for name, one in spec.environments.items():
            assert one.kubernetes is not None
            rendering = Rendering(spec.name, name, one.kubernetes, ())
            controllers[name] = held.enter_context(following(cluster, bare, rendering))
        yield ByGit(box, bare, controllers)


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
        controller.stuck = False
        _, err = process.communicate(timeout=300)

    assert process.returncode == 0, err
    assert weights == told == {"green": 100}
    assert by_git.told() == box.weights() == {"green": 100}
    until(lambda: by_git.names("deployment") == box.names("deployment"), "what Git says", box.logs)
    assert box.run("destroy").code == 0
