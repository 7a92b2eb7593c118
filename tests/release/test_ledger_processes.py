"""The ledger between real processes: raced for, written by many, killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from release.lease import acquire
from release.ledger import Ledger, history, local_records, open_ledger, verify
from release.state import StateFolder

APPLICATION, PRODUCTION = "support-bot", "production"

RACER = """
import json, pathlib, sys
from release.errors import Waiting
from release.lease import acquire
from release.ledger import open_ledger
from release.state import StateFolder
book = open_ledger(StateFolder(pathlib.Path(sys.argv[1])), "support-bot")
print("ready", flush=True)
sys.stdin.readline()
try:
    print(json.dumps({"fence": acquire(book, "production", "ship").fence}), flush=True)
except Waiting as refusal:
    print(json.dumps({"refused": str(refusal)}), flush=True)
sys.stdin.readline()
"""

WRITER = """
import pathlib, sys
from release.ledger import open_ledger
from release.state import StateFolder
book = open_ledger(StateFolder(pathlib.Path(sys.argv[1])), "support-bot")
print("ready", flush=True)
sys.stdin.readline()
for number in range(25):
    book.append("step", data={"writer": sys.argv[2], "number": number})
"""

# A process that kills itself at the one moment that the test is about.
VICTIM = """
import os, pathlib, sys
import release.files, release.ledger.witness
from release.ledger import open_ledger
from release.state import StateFolder
book = open_ledger(StateFolder(pathlib.Path(sys.argv[1])), "support-bot")
book.append("before")
def die(*_, **__):
    os.kill(os.getpid(), 9)
exec(sys.argv[2])
book.append("cut")
"""

LEASED = """
import pathlib, sys
from release.lease import acquire
from release.ledger import open_ledger
from release.state import StateFolder
book = open_ledger(StateFolder(pathlib.Path(sys.argv[1])), "support-bot")
acquire(book, "production", "ship", ttl=3600)
print("held", flush=True)
sys.stdin.readline()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


@contextmanager
def running(script: str, state: StateFolder, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """``count`` processes that have printed their first line and wait; ended at the end."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(state.app), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_s09_of_processes_that_race_for_a_lease_one_wins_and_the_others_name_it(
    state: StateFolder,
) -> None:
    with running(RACER, state, 4) as racers:
        for racer in racers:
            tell(racer)
        answers = [json.loads(racer.stdout.readline()) for racer in racers if racer.stdout]
        (winner,) = (racer for racer, told in zip(racers, answers, strict=True) if "fence" in told)

    refusals = [answer["refused"] for answer in answers if "refused" in answer]
    assert len(refusals) == 3
    assert all(f"ship (process {winner.pid} on " in text for text in refusals)
    assert [entry.kind for entry in history(local_records(state, APPLICATION))] == ["lease"]


def test_s09_entries_from_many_processes_make_one_chain_without_a_gap(state: StateFolder) -> None:
    with running(WRITER, state, 4) as writers:
        for writer in writers:
            tell(writer)
        for writer in writers:
            assert writer.wait() == 0

    report = verify(local_records(state, APPLICATION))
    report.require()
    written = [
        (entry.data["writer"], entry.data["number"])
        for entry in history(local_records(state, APPLICATION))
    ]
    assert sorted(written) == [(str(w), n) for w in range(4) for n in range(25)]
    assert report.entries == 100


def test_s09_the_lease_of_a_killed_process_is_taken_without_waiting(state: StateFolder) -> None:
    with running(LEASED, state, 1) as (holder,):
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        book = open_ledger(state, APPLICATION)

        lease = acquire(book, PRODUCTION, "ship")

    assert lease.fence == 2
    assert book.entries[-1].data["replaces"]["why"] == "its process is gone"


# name: (where the process dies, how many entries that leaves, whether a temporary file stays)
CUTS = {
    "before the entry is written": ("release.files.os.fsync = die", 1, True),
    "between write and link": ("release.files.os.link = die", 1, True),
    "between link and clean-up": ("release.files.Path.unlink = die", 2, True),
    "before the folder is synced": ("release.files.sync_folder = die", 2, False),
    "between entry and witness": ("release.ledger.witness.write_json = die", 2, False),
}


@pytest.mark.parametrize(("cut", "left", "litter"), CUTS.values(), ids=CUTS)
def test_s22_a_kill_leaves_an_entry_or_none_and_the_next_process_goes_on(
    state: StateFolder, cut: str, left: int, litter: bool
) -> None:
    done = subprocess.run([sys.executable, "-c", VICTIM, str(state.app), cut], check=False)
    assert done.returncode == -signal.SIGKILL
    folder = state.ledger / APPLICATION

    verify(local_records(state, APPLICATION)).require()
    book = open_ledger(state, APPLICATION)

    assert len(book.entries) == left
    assert bool(list(folder.glob(".*"))) is litter
    assert book.append("after").sequence == left + 1
    verify(book.records).require()


def test_s22_what_a_killed_process_left_is_swept_when_it_is_old(state: StateFolder) -> None:
    cut = CUTS["between write and link"][0]
    subprocess.run([sys.executable, "-c", VICTIM, str(state.app), cut], check=False)
    folder = state.ledger / APPLICATION
    (litter,) = folder.glob(".*")
    os.utime(litter, (time.time() - 7200,) * 2)

    book: Ledger = open_ledger(state, APPLICATION)

    assert [path.name for path in folder.iterdir()] == ["000001.json"]
    assert len(book.entries) == 1
