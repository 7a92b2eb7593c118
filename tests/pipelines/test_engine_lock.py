"""The lock around the engine: an engine is waited for, what a dead one left behind is ended."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import engine_lock
from release.errors import Waiting

Start = Callable[..., subprocess.Popen[bytes]]

HOST = "pulumi.dynamic"
"""What tells a host by its command."""


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Where the lock is."""
    return tmp_path / "engine.lock"


@pytest.fixture
def start(lock: Path) -> Iterator[Start]:
    """Start a process that holds the lock by inheritance, as an engine and its children do."""
    started: list[subprocess.Popen[bytes]] = []

    def process(*words: str, marked: bool = True) -> subprocess.Popen[bytes]:
        with lock.open("a+") as held:
            fcntl.flock(held, fcntl.LOCK_SH)
            mark = {engine_lock.MARK: str(lock)} if marked else {}
            one = subprocess.Popen(
                [sys.executable, "-c", "import sys; sys.stdin.read()", *words],
                stdin=subprocess.PIPE,
                env={**os.environ, **mark},
                pass_fds=[held.fileno()],
            )
        started.append(one)
        return one

    yield process
    for one in started:
        one.kill()
        one.communicate()


def test_a_lock_that_nobody_holds_is_taken(lock: Path) -> None:
    with engine_lock.held(lock), lock.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_hosts_whose_engine_is_dead_are_ended(lock: Path, start: Start) -> None:
    """They inherited the lock, and would keep it for minutes with nobody to speak to them."""
    orphans = [start(HOST), start("/opt/bin/pulumi-language-python", "127.0.0.1:1")]

    with engine_lock.held(lock):
        assert all(one.wait() < 0 for one in orphans)


@pytest.mark.parametrize(
    "others",
    [
        [{"words": ["pulumi", "up"]}],
        [{"words": [HOST]}, {"words": ["pulumi", "up"]}],
        [{"words": [HOST], "marked": False}],
    ],
    ids=["an engine", "a host beside its engine", "a stranger"],
)
def test_what_may_be_at_work_is_waited_for_and_named(
    lock: Path, start: Start, others: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not ended, however long it takes."""
    monkeypatch.setattr(engine_lock, "PATIENCE", 0.5)
    running = [start(*other["words"], marked=other.get("marked", True)) for other in others]

    with pytest.raises(Waiting) as caught, engine_lock.held(lock):
        pass

    assert all(str(one.pid) in str(caught.value) for one in running)
    assert all(one.poll() is None for one in running)


def test_another_command_that_waits_is_no_engine() -> None:
    """Two commands that wait for the same orphans do not wait for each other."""
    command = engine_lock.Holder(psutil.Process(), ("greenlight", "ship"), marked=False)
    orphan = engine_lock.Holder(psutil.Process(), ("python3", "-m", HOST), marked=True)

    assert engine_lock.orphans([command, orphan]) == [orphan]
