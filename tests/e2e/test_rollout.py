"""A rollout under way: who goes on with it, who brings it back, and what users notice: nothing."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Application, make_application, within
from tests.e2e.test_faults import production, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROLLOUT: dict[str, Any] = {
    "steps": [{"setWeight": 50}, {"pause": {"duration": 8}}, {"setWeight": 100}],
    "analysis": {"interval": 2, "min_requests": 4, "concurrency": 2},
    "soakSeconds": 0,
    "scaleDownDelaySeconds": 0,
    "leaseDurationSeconds": 5,
    "drainSeconds": 5,
}


@pytest.fixture(scope="module")
def application(engine: str, cache: Path) -> Iterator[Application]:
    """An application that is live in both environments."""
    folder = Path(tempfile.mkdtemp(prefix="gl-"))
    made = make_application(engine, cache, folder / "box")
    done = made.run("ship")
    assert done.code == 0, done.err
    yield made
    made.remove()
    shutil.rmtree(folder)


def change(application: Application, tokens: int, **rollout: Any) -> tuple[str, str]:
    """A change that is worth a ship, as arguments."""
    document = {"parameters": {"max_tokens": tokens}, "rollout": {**ROLLOUT, **rollout}}
    return "--with", str(application.change(f"tokens-{tokens}", document))


def kinds(application: Application) -> list[str]:
    """The kinds of all entries."""
    return [entry["kind"] for entry in application.run("history", "--json").document]


def test_a_rollout_whose_process_died_is_brought_back_and_starts_again_S08(
    application: Application,
) -> None:
    """The watcher outlives the command; the lease that nobody renews judges nothing."""
    before = production(application)
    words = change(application, 9)
    with application.start("ship", *words) as process:
        wait_for(process, "• analyse production/")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert production(application) != before

    assert within(40, lambda: production(application) == before)
    assert "held" not in application.run("status").out

    done = application.run("ship", *words)
    assert done.code == 0, done.err
    assert production(application)["live"] != before["live"]
    assert kinds(application).count("rollout-begun") == 2


def test_a_process_that_wakes_after_its_lease_ended_writes_nothing_S12(
    application: Application,
) -> None:
    """Stopped, overtaken by the watcher, woken: its weights are refused, exit 4."""
    before = production(application)
    with application.start("ship", *change(application, 10)) as process:
        wait_for(process, "• analyse production/")
        process.send_signal(signal.SIGSTOP)
        assert within(40, lambda: production(application) == before)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=60)

    assert process.returncode == 4, err
    assert production(application) == before
    assert application.run("verify").code == 0


def test_a_watcher_that_dies_comes_back(application: Application) -> None:
    """And does what it is there for."""
    before = production(application)
    with application.start("ship", *change(application, 11)) as process:
        wait_for(process, "• analyse production/")
        assert within(10, lambda: bool(application.processes("pipelines.watcher", "production")))
        (first,) = application.processes("pipelines.watcher", "production")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    first.send_signal(signal.SIGKILL)

    assert within(60, lambda: production(application) == before)
    assert within(20, lambda: not application.processes("pipelines.watcher"))


def test_blue_stands_by_for_its_time_and_is_then_retired(application: Application) -> None:
    """By the watcher, long after the command has ended."""
    words = change(application, 12, scaleDownDelaySeconds=15)
    done = application.run("ship", *words)
    assert done.code == 0, done.err
    assert "stands by until" in done.out
    assert sorted(production(application)["slots"].values()) == [0, 100]
    assert "nothing to do" in application.run("ship", *words).out

    assert within(40, lambda: list(production(application)["slots"].values()) == [100])
    assert within(20, lambda: not application.processes("pipelines.watcher"))
    assert kinds(application)[-4:].count("rollout-ended") <= 1


def test_a_rollback_from_the_soak_is_at_once(application: Application) -> None:
    """Nothing is started: what was live is still there."""
    before = production(application)["live"]
    done = application.run("ship", *change(application, 13, soakSeconds=600))
    assert done.code == 0, done.err

    back = application.run("rollback", "--env", "production")

    assert back.code == 0, back.err
    assert production(application)["live"] == before
    assert within(20, lambda: not application.processes("pipelines.watcher"))


def test_a_pause_without_an_end_waits_for_somebody(application: Application) -> None:
    """Exit 4, with what would end it; resumed and shipped again it goes on from there."""
    steps = [{"setWeight": 50}, {"pause": {}}, {"setWeight": 100}]
    words = change(application, 14, steps=steps)

    waits = application.run("ship", *words)
    status = application.run("status").out
    resumed = application.run("resume", "--env", "production")
    done = application.run("ship", *words)

    assert waits.code == 4, waits.err
    assert "greenlight resume" in waits.err
    assert "greenlight resume" in status
    assert (resumed.code, done.code) == (0, 0), done.err
    assert "set-weights production" in done.err
    assert "=50" not in done.err


class Users(threading.Thread):
    """Somebody who asks production, one question after the other, every second one streaming."""

    def __init__(self, address: str, key: str) -> None:
        super().__init__(daemon=True)
        self.address, self.key = address, key
        self.over = threading.Event()
        self.whole = 0
        self.failed: list[str] = []

    def run(self) -> None:
        """Ask until it is over; whatever is not a whole answer is a failure."""
        while not self.over.is_set():
            try:
                self._ask(stream=self.whole % 2 == 0)
                self.whole += 1
            except Exception as error:
                self.failed.append(repr(error))

    def _ask(self, stream: bool) -> None:
        body = {
            "messages": [{"role": "user", "content": "What colour is the lamp?"}],
            "inputs": {"context": "The lamp is green."},
            "stream": stream,
        }
        request = urllib.request.Request(
            f"{self.address}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        assert text.rstrip().endswith(b"data: [DONE]") if stream else json.loads(text)["choices"]


def test_users_notice_neither_a_switch_nor_a_return_S01_S02_S03(application: Application) -> None:
    """Four of them ask all the time; every answer is whole, and comes from a slot that is ready."""
    address = application.status()["environments"]["production"]["address"]
    key = (application.state / "keys/production.user.key").read_text().strip()
    users = [Users(address, key) for _ in range(4)]
    for one in users:
        one.start()
    try:
        done = application.run("ship", *change(application, 15))
        back = application.run("rollback", "--env", "production")
    finally:
        for one in users:
            one.over.set()
        for one in users:
            one.join(60)

    assert (done.code, back.code) == (0, 0), done.err + back.err
    assert [one.failed for one in users] == [[], [], [], []]
    assert sum(one.whole for one in users) > 20
    windows = [e for e in application.run("history", "--json").document if e["kind"] == "window"]
    assert windows[-1]["data"]["green"]["requests"] > windows[-1]["data"]["green"]["synthetic"]
