"""Processes that outlive whoever started them, told apart and ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from serving import processes
from serving.processes import Identity
from tests.serving.making import eventually

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('up', flush=True); time.sleep(600)"
)
MILD = "import time; print('up', flush=True); time.sleep(600)"
Start = Callable[[str], Identity]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python code as a process of the environment in ``tmp_path``; ended at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(code: str) -> Identity:
        log = tmp_path / f"{len(started)}.log"
        started.append(processes.spawn([sys.executable, "-c", code], tmp_path, log))
        eventually(lambda: log.read_bytes(), "the process is up")
        identity = processes.identify(started[-1].pid)
        assert identity is not None
        return identity

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_a_process_is_known_by_its_start_as_well(tmp_path: Path, start: Start) -> None:
    """A pid that was given to somebody else is not taken for it."""
    identity = start(MILD)

    assert processes.alive(identity)
    assert not processes.alive(replace(identity, started=identity.started - 3600))


def test_a_corpse_is_not_alive(start: Start) -> None:
    """One that has ended and was not waited for yet."""
    identity = start(MILD)
    os.kill(identity.pid, signal.SIGKILL)

    eventually(lambda: not processes.alive(identity), "it is dead")


def test_an_environments_processes_are_found_by_their_mark(tmp_path: Path, start: Start) -> None:
    """And no others: not those of another environment, not the caller."""
    identity = start(MILD)

    (found,) = processes.marked(tmp_path)
    assert found.identity == identity
    assert found.command == (sys.executable, "-c", MILD)
    assert processes.marked(tmp_path / "other") == []


def test_the_end_is_certain(start: Start) -> None:
    """SIGTERM first; SIGKILL for one that does not listen."""
    identities = [start(MILD), start(STUBBORN)]

    assert processes.end(identities, grace=0.5) == []
    assert not any(map(processes.alive, identities))


def test_somebody_elses_process_is_never_signalled(start: Start) -> None:
    """Not even when it has the pid that was recorded."""
    identity = start(MILD)

    processes.end([replace(identity, started=1.0)], grace=0.5)

    assert processes.alive(identity)


def test_secrets_stay_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon gets what it needs, not what its starter had."""
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "secret")
    monkeypatch.setenv("HOME", "/home/x")

    given = processes.environment(tmp_path)

    assert "PULUMI_CONFIG_PASSPHRASE" not in given
    assert (given["HOME"], given[processes.MARKER]) == ("/home/x", str(tmp_path))


def test_nothing_is_inherited(tmp_path: Path) -> None:
    """A caller's open pipe closes when the caller closes it: nobody else holds it."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    process = processes.spawn([sys.executable, "-c", MILD], tmp_path, tmp_path / "log")
    try:
        os.close(write_end)
        assert os.read(read_end, 1) == b""
    finally:
        process.kill()
        process.wait()
        os.close(read_end)


def test_what_is_held_is_held_once(tmp_path: Path) -> None:
    """Until the holder lets go, or dies."""
    lock = tmp_path / "lock"
    descriptor = processes.hold(lock)
    with pytest.raises(processes.Taken):
        processes.hold(lock)

    os.close(descriptor)
    os.close(processes.hold(lock))


def test_modules_are_not_shadowed_by_the_working_folder(tmp_path: Path) -> None:
    """A file json.py beside the state files does not become the module json."""
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    line = processes.command("json.tool", "--help")

    process = processes.spawn(line, tmp_path, tmp_path / "log")

    assert process.wait() == 0


def test_what_is_borrowed_is_held_by_no_child(tmp_path: Path, start: Start) -> None:
    """The lock ends with the borrower's own handle, whoever was started meanwhile."""
    file = tmp_path / "model"
    file.write_bytes(b"weights")
    with processes.borrow(file):
        start(MILD)
        with pytest.raises(processes.Taken):
            processes.hold(file)

    os.close(processes.hold(file))
