"""The kernel's lock around the Pulumi engine: held for as long as an engine may be at work.

The command hands the lock to the engine that it starts, so an engine that outlives the command is
waited for. But the engine's own children inherit it as well, and some of them outlive an engine
that was killed. Nobody speaks to those any more: they are ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from release.errors import BadInput, Waiting
from release.files import read_json

PATIENCE = 120.0  # seconds to wait for an engine that an earlier, killed command started
MARK = "GREENLIGHT_ENGINE"
"""An engine and its children carry this variable; its value is the path of their lock."""

_HOSTS = ("pulumi-language-", "pulumi-resource-", "pulumi.dynamic")
"""In the command of every child of the engine's that waits to be spoken to."""


@dataclass(frozen=True)
class Holder:
    """A process that has the lock open. ``marked``: an engine, or started by one."""

    process: psutil.Process
    command: tuple[str, ...]
    marked: bool

    @property
    def is_host(self) -> bool:
        """Whether it does nothing by itself, but waits for an engine to speak to it."""
        return self.marked and any(host in word for word in self.command for host in _HOSTS)


@contextlib.contextmanager
def held(path: Path) -> Iterator[IO[str]]:
    """Hold the lock in ``path``. Waiting, naming the process, when an engine keeps it for long."""
    deadline = time.monotonic() + PATIENCE
    with path.open("a+") as lock:
        while not _taken(lock):
            holders = _holders(path)
            if time.monotonic() > deadline:
                raise Waiting(_says_who(path, holders))
            for orphan in orphans(holders):
                with contextlib.suppress(psutil.Error):
                    orphan.process.kill()
            time.sleep(0.2)
        yield lock


def orphans(holders: Sequence[Holder]) -> list[Holder]:
    """The hosts without an engine. What is not known for a host may be one."""
    marked = [one for one in holders if one.marked]
    return marked if all(one.is_host for one in marked) else []


def holder_of_the_stack(path: Path) -> int:
    """The process in one of Pulumi's lock files, if it is on this machine and alive, else 0."""
    try:
        pid = int(read_json(path)["pid"])
    except (BadInput, KeyError, TypeError, ValueError, FileNotFoundError):
        return 0  # cut by the same kill
    try:
        older = psutil.Process(pid).create_time() <= path.stat().st_mtime + 1.0
    except (psutil.Error, OSError):
        return 0
    return pid if older else 0  # a younger process was given the number of one that is gone


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holders(path: Path) -> list[Holder]:
    """The processes of this user that have ``path`` open, without this one."""
    own, found = psutil.Process(), []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == own.pid or process.uids().real != os.getuid():
                continue
            if any(Path(file.path) == path for file in process.open_files()):
                marked = process.environ().get(MARK) == str(path)
                found.append(Holder(process, tuple(process.cmdline()), marked))
    return found


def _says_who(path: Path, holders: Sequence[Holder]) -> str:
    working = [one for one in holders if one.marked] or holders
    who = ", ".join(f"{one.process.pid} ({' '.join(one.command)[:60]})" for one in working)
    return (
        f"a run of the Pulumi engine holds {path} for over {PATIENCE:.0f} s: process "
        f"{who or 'unknown'}. Wait for it, or end it."
    )
