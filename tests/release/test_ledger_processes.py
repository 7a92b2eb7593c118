"""The ledger between real processes: raced for, written by many, killed half-way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from release.keys import pipeline_key
from release.lease import acquire
from release.ledger import (
    Ledger,
    Records,
    history,
    local_records,
    open_ledger,
    records_at,
    verify,
)
from release.locations import Location, parse_location
from release.state import StateFolder
from tests.emulators import Emulator

APPLICATION, PRODUCTION = "support-bot", "production"
EACH = 10  # entries of each writer

RACER = """
import json, pathlib, sys
from release.errors import Waiting
from release.lease import acquire
from release.ledger import open_ledger
from release.locations import parse_location
from release.state import StateFolder
at = parse_location(sys.argv[3]) if sys.argv[3] else None
book = open_ledger(StateFolder(pathlib.Path(sys.argv[1])), "support-bot", location=at)
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
from release.locations import parse_location
from release.state import StateFolder
at = parse_location(sys.argv[3]) if sys.argv[3] else None
book = open_ledger(StateFolder(pathlib.Path(sys.argv[1])), "support-bot", location=at)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[4])):
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
from release.locations import parse_location
from release.state import StateFolder
at = parse_location(sys.argv[3]) if sys.argv[3] else None
book = open_ledger(StateFolder(pathlib.Path(sys.argv[1])), "support-bot", location=at)
acquire(book, "production", "ship", ttl=3600)
print("held", flush=True)
sys.stdin.readline()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


@dataclass(frozen=True)
class Shared:
    """A ledger that many processes write: all on one machine, or each on one of its own."""

    state: StateFolder
    url: str = ""

    @property
    def location(self) -> Location | None:
        """Where it is, if it is not in a folder."""
        return parse_location(self.url) if self.url else None

    def records(self) -> Records:
        """For reading, where it was made."""
        return records_at(self.location, self.state, APPLICATION)

    def open(self, number: int) -> Ledger:
        """For writing, on the machine of process ``number``."""
        return open_ledger(self.machine(number), APPLICATION, location=self.location)

    def arguments(self, number: int) -> list[str]:
        """What a script is told: the application's folder, its number, where, how many entries."""
        return [str(self.machine(number).app), str(number), self.url, str(EACH)]

    def machine(self, number: int) -> StateFolder:
        """The state folder of process ``number``: a machine has keys and witness of its own."""
        if not self.url:
            return self.state
        theirs = StateFolder(self.state.app / str(number))
        pipeline_key(self.state.keys)
        if not theirs.keys.exists():
            shutil.copytree(self.state.keys, theirs.keys)
        return theirs


@pytest.fixture(params=["folder", "s3", "azurite"])
def shared(
    request: pytest.FixtureRequest, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> Shared:
    """In a folder, and on each emulator."""
    if request.param == "folder":
        return Shared(state)
    emulator: Emulator = request.getfixturevalue(request.param)
    for name, value in emulator.variables().items():
        monkeypatch.setenv(name, value)
    return Shared(state, emulator.url(str(uuid.uuid4())))


@contextmanager
def running(script: str, shared: Shared, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """``count`` processes that have printed their first line and wait; ended at the end."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *shared.arguments(number)],
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
    shared: Shared,
) -> None:
    with running(RACER, shared, 4) as racers:
        for racer in racers:
            tell(racer)
        answers = [json.loads(racer.stdout.readline()) for racer in racers if racer.stdout]
        (winner,) = (racer for racer, told in zip(racers, answers, strict=True) if "fence" in told)

    refusals = [answer["refused"] for answer in answers if "refused" in answer]
    assert len(refusals) == 3
    assert all(f"ship (process {winner.pid} on " in text for text in refusals)
    assert [entry.kind for entry in history(shared.records())] == ["lease"]


def test_s09_entries_from_many_processes_make_one_chain_without_a_gap(shared: Shared) -> None:
    with running(WRITER, shared, 4) as writers:
        for writer in writers:
            tell(writer)
        for writer in writers:
            assert writer.wait() == 0

    report = verify(shared.records())
    report.require()
    written = [(entry.data["writer"], entry.data["number"]) for entry in history(shared.records())]
    assert sorted(written) == [(str(w), n) for w in range(4) for n in range(EACH)]
    assert report.entries == 4 * EACH


def test_s09_the_lease_of_a_killed_process_is_taken_without_waiting(shared: Shared) -> None:
    with running(LEASED, shared, 1) as (holder,):
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        book = shared.open(0)

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
