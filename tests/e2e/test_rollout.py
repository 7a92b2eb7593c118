"""A rollout under way: who goes on with it, who brings it back, and what users notice: nothing."""

from __future__ import annotations

import json
import signal
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Application, within
from tests.e2e.test_faults import production, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("live"),
]

ROLLOUT: dict[str, Any] = {
    "steps": [{"setWeight": 50}, {"pause": {"duration": 8}}, {"setWeight": 100}],
    "analysis": {"interval": 2, "min_requests": 2, "concurrency": 2},
    "soakSeconds": 0,
    "scaleDownDelaySeconds": 0,
    "drainSeconds": 5,
}
SILENT: dict[str, Any] = {"leaseDurationSeconds": 5}
"""For a process that is killed or stopped; one that is at work may lose it on a busy machine."""


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
    with application.start("ship", *change(application, 9, **SILENT)) as process:
        wait_for(process, "• analyse production/")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert production(application) != before

    assert within(120, lambda: production(application) == before)
    assert "held" not in application.run("status").out

    done = application.run("ship", *change(application, 9))
    assert done.code == 0, done.err
    assert production(application)["live"] != before["live"]
    assert kinds(application).count("rollout-begun") == 2


def test_a_process_that_wakes_after_its_lease_ended_writes_nothing_S12(
    application: Application,
) -> None:
    """Stopped, overtaken by the watcher, woken: its weights are refused, exit 4."""
    before = production(application)
    with application.start("ship", *change(application, 10, **SILENT)) as process:
        wait_for(process, "• analyse production/")
        process.send_signal(signal.SIGSTOP)
        assert within(120, lambda: production(application) == before)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=300)

    assert process.returncode == 4, err
    assert production(application) == before
    assert application.run("verify").code == 0


def test_a_watcher_that_dies_comes_back(application: Application) -> None:
    """And does what it is there for."""
    before = production(application)
    with application.start("ship", *change(application, 11, **SILENT)) as process:
        wait_for(process, "• analyse production/")
        assert within(120, lambda: bool(application.processes("pipelines.watcher", "production")))
        (first,) = application.processes("pipelines.watcher", "production")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    first.send_signal(signal.SIGKILL)

    assert within(120, lambda: production(application) == before)
    assert within(120, lambda: not application.processes("pipelines.watcher"))


def test_blue_stands_by_for_its_time_and_is_then_retired(application: Application) -> None:
    """By the watcher, long after the command has ended."""
    words = change(application, 12, scaleDownDelaySeconds=25)
    done = application.run("ship", *words)
    assert done.code == 0, done.err
    assert "stands by until" in done.out
    assert sorted(production(application)["slots"].values()) == [0, 100]
    assert "nothing to do" in application.run("ship", *words).out

    assert within(120, lambda: list(production(application)["slots"].values()) == [100])
    assert within(120, lambda: not application.processes("pipelines.watcher"))
    assert kinds(application)[-4:].count("rollout-ended") <= 1


def test_a_rollback_from_the_soak_is_at_once(application: Application) -> None:
    """Nothing is started: what was live is still there."""
    before = production(application)["live"]
    done = application.run("ship", *change(application, 13, soakSeconds=600))
    assert done.code == 0, done.err

    back = application.run("rollback", "--env", "production")

    assert back.code == 0, back.err
    assert production(application)["live"] == before
    assert within(120, lambda: not application.processes("pipelines.watcher"))


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
        self.answered: set[str] = set()  # which releases did
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
        self.answered.add(answer.headers["x-greenlight-release"])
        assert text.rstrip().endswith(b"data: [DONE]") if stream else json.loads(text)["choices"]


@contextmanager
def asking(application: Application, number: int) -> Iterator[list[Users]]:
    """So many users, who ask all the time that the block takes."""
    address = application.status()["environments"]["production"]["address"]
    key = (application.state / "keys/production.user.key").read_text().strip()
    with asking_at(address, key, number) as users:
        yield users


@contextmanager
def asking_at(address: str, key: str, number: int) -> Iterator[list[Users]]:
    """As many, at ``address``."""
    users = [Users(address, key) for _ in range(number)]
    for one in users:
        one.start()
    try:
        yield users
    finally:
        for one in users:
            one.over.set()
        for one in users:
            one.join()


def test_users_notice_neither_a_switch_nor_a_return_S01_S02_S03(application: Application) -> None:
    """Four of them ask all the time; every answer is whole, and comes from a slot that is ready."""
    with asking(application, 4) as users:
        done = application.run("ship", *change(application, 15))
        back = application.run("rollback", "--env", "production")

    assert (done.code, back.code) == (0, 0), done.err + back.err
    assert [one.failed for one in users] == [[], [], [], []]
    assert sum(one.whole for one in users) > 20
    windows = [e for e in application.run("history", "--json").document if e["kind"] == "window"]
    assert windows[-1]["data"]["green"]["requests"] > windows[-1]["data"]["green"]["synthetic"]


def done_steps(application: Application, kind: str) -> list[Any]:
    """What the ledger says of all steps of a kind that were done."""
    entries = application.run("history", "--json").document
    done = [entry["data"] for entry in entries if entry["kind"] == "done"]
    return [data for data in done if data["step"] == kind]


def copies_in_windows(application: Application) -> list[int]:
    """Of green, in every window that the ledger has."""
    entries = application.run("history", "--json").document
    windows = [entry["data"] for entry in entries if entry["kind"] == "window"]
    return [window["green"]["copies"] for window in windows if window["green"]]


def test_a_mirrored_green_answers_copies_alone_until_it_has_weight(
    application: Application, tmp_path: Path
) -> None:
    """Users get blue's answers; green's are compared and counted, then the rollout goes on."""
    before = production(application)
    (blue,) = before["slots"]
    mirrored = [{"setMirror": 100}, {"pause": {"duration": 2}}, {"pause": {}}]
    words = change(application, 16, steps=[*mirrored, *ROLLOUT["steps"]])

    with asking(application, 2) as users:
        waits = application.run("ship", *words)
        routes = application.gateway("routes")
        (green,) = set(production(application)["slots"]) - {blue}
        window = application.status()["environments"]["production"]["rollout"]["window"]
        answered = set[str]().union(*(one.answered for one in users))
        resumed = application.run("resume", "--env", "production")
        done = application.run("ship", *words)

    report = application.run("report", "--out", str(tmp_path / "report.html"))
    assert waits.code == 4, waits.err
    assert routes["weights"] == {blue: 100}
    assert routes["mirror"] == {"slot": green, "percent": 100}
    assert answered == {before["live"]}
    assert window["weight"] == 0
    assert window["green"]["copies"] > 0
    assert (resumed.code, done.code) == (0, 0), done.err
    assert "mirror" not in application.gateway("routes")
    counted = application.gateway("counts")["slots"][green]["mirror"]
    assert counted["requests"] == counted["same"] + counted["different"]
    assert (counted["errors"], counted["dropped"]) == (0, 0)
    assert sum(copies_in_windows(application)) > 0
    assert [entry["percent"] for entry in done_steps(application, "mirror")] == [100]
    assert report.code == 0, report.err
    assert "The new release got copies of" in (tmp_path / "report.html").read_text()
    assert production(application)["live"] not in answered
    assert [one.failed for one in users] == [[], []]
