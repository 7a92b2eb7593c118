"""Two watchers' processes before a real API server: one acts, and the other when it is gone.

S08 and S09: a leader that dies, hangs or is told to go, and what it does when it wakes up.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.targets.kubernetes.election import (
    Claim,
    KubernetesLease,
    LeaseAwayError,
    OvertakenError,
    Terms,
)
from release.errors import FAILED
from release.ledger import history, local_records, open_ledger
from release.ledger.leases import LEASE
from release.state import StateFolder
from tests.cluster.client import Cluster
from tests.targets.kubernetes.candidate import APPLICATION

ROOT = Path(__file__).resolve().parents[3]
NAME = "assist-watcher"


@dataclass
class Scene:
    """A ledger, a Lease and processes that want to write."""

    cluster: Cluster
    namespace: str
    state: StateFolder

    @contextmanager
    def candidate(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process of its own; ended with the block."""
        log = self.state.app / "log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.targets.kubernetes.candidate",
                 str(self.state.app), self.namespace, NAME],
                cwd=ROOT, stdout=output, stderr=output,
                env={**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)},
            )  # fmt: skip
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def entries(self) -> list[str]:
        """Who wrote each entry that names its writer, in order."""
        entries = history(local_records(self.state, APPLICATION))
        return [str(one.data["by"]) for one in entries if "by" in one.data]

    def until(self, there: Callable[[], object]) -> None:
        """Wait; what both processes said is the message where it takes for ever."""
        end = time.monotonic() + 90
        while not there():
            assert time.monotonic() < end, (self.state.app / "log").read_text()
            time.sleep(0.1)

    def holder(self) -> str:
        """Whom the Lease names."""
        found = self.cluster.ask(
            "get", "lease", NAME, f"--namespace={self.namespace}",
            "--output=jsonpath={.spec.holderIdentity}",
        )  # fmt: skip
        return found.out

    def writes_of_another_than(self, old: str) -> bool:
        """Whether somebody else has written last."""
        return self.entries()[-1] != old


@pytest.fixture
def scene(cluster: Cluster, namespace: str, tmp_path: Path) -> Scene:
    """A ledger with its keys, and nobody who writes it."""
    state = StateFolder(tmp_path)
    open_ledger(state, APPLICATION).append("built")
    return Scene(cluster, namespace, state)


@contextmanager
def led(scene: Scene) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes], str]]:
    """A leader that writes, another that waits, and the leader's name."""
    with scene.candidate() as leader:
        scene.until(scene.entries)
        name = scene.holder()
        with scene.candidate() as other:
            log = scene.state.app / "log"
            scene.until(lambda: log.read_text().count(f"{name} leads") == 2)
            yield leader, other, name


def test_s08_the_other_goes_on_when_the_leader_is_killed(scene: Scene) -> None:
    with led(scene) as (leader, other, name):
        assert set(scene.entries()) == {name}
        leader.kill()

        scene.until(lambda: scene.writes_of_another_than(name))

        assert other.poll() is None
        assert scene.holder() not in ("", name)


def test_s09_a_leader_that_wakes_up_writes_nothing_more_and_ends(scene: Scene) -> None:
    """Neither under its lease in the ledger nor without one, wherever its turn was stopped."""
    with led(scene) as (leader, _, name):
        os.kill(leader.pid, signal.SIGSTOP)
        scene.until(lambda: scene.writes_of_another_than(name))
        taken = len(scene.entries())

        os.kill(leader.pid, signal.SIGCONT)
        code = leader.wait(60)
        scene.until(lambda: len(scene.entries()) > taken + 10)

        assert code == FAILED
        later = scene.entries()
        first = next(n for n, by in enumerate(later) if by != name)
        assert name not in later[first:]


def test_a_leader_that_is_told_to_go_ends_its_turn_and_gives_the_lease_back(scene: Scene) -> None:
    with led(scene) as (leader, _, name):
        leader.terminate()
        code = leader.wait(60)
        scene.until(lambda: scene.writes_of_another_than(name))

        assert code == 0
        entries = history(local_records(scene.state, APPLICATION))
        taken = [one for one in entries if one.kind == LEASE]
        assert [one.data["replaces"]["why"] for one in taken[1:]] == ["released"]


def test_who_read_an_older_version_writes_nothing(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server compares, and so decides between two that write at once."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    lease = KubernetesLease(namespace, NAME)
    assert lease.read() == Claim()
    lease.write(Claim("a"))
    read = lease.read()
    lease.write(Claim("b", read.version, read.acquired, 1))

    with pytest.raises(OvertakenError, match="409"):
        lease.write(read)
    with pytest.raises(OvertakenError, match="409"):
        lease.write(Claim("c"))

    assert lease.read().holder == "b"


def test_an_api_server_that_does_not_answer_is_named_with_what_was_asked(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"  # where nobody listens
    monkeypatch.setenv("KUBECONFIG", str(_written(tmp_path, config)))

    with pytest.raises(LeaseAwayError, match=r"cannot get Lease here/assist.*does not answer"):
        KubernetesLease("here", "assist", Terms(answer=1)).read()


def test_who_may_not_is_told_so_in_the_api_servers_words(
    cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the namespace's default account, which has no rights."""
    token = cluster.must("create", "token", "default", f"--namespace={namespace}").strip()
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    monkeypatch.setenv("KUBECONFIG", str(_written(tmp_path, config)))

    with pytest.raises(LeaseAwayError, match="answered 403 Forbidden") as error:
        KubernetesLease(namespace, NAME).read()

    assert token not in str(error.value)


def test_who_is_told_of_no_api_server_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tries again: it is an answer like any other."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    with pytest.raises(LeaseAwayError, match="nobody says where the API server is"):
        KubernetesLease("here", NAME).read()


def _written(folder: Path, config: object) -> Path:
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return file
