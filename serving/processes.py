"""Processes that outlive the command which started them, and can still be told apart.

A pid alone is reused; a pid with its start time is not. A mark in the environment finds
those whose pid nobody recorded, for example because the recorder was killed in between.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from release.errors import GreenlightError

MARKER = "GREENLIGHT_ENVIRONMENT"
"""Every process of an environment carries this variable; its value is the folder."""

PASSED_ON = (
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "CUDA_VISIBLE_DEVICES",
)
"""All else stays behind: a shell's tokens and passphrases do not belong in a daemon."""

SAME_START_SECONDS = 2.0
"""Start times are the kernel's ticks plus the boot time, which moves when a clock is set."""


@dataclass(frozen=True)
class Identity:
    """One process, for ever. ``started`` is in seconds since the epoch."""

    pid: int
    started: float


@dataclass(frozen=True)
class Found:
    """A process that carries an environment's mark."""

    identity: Identity
    command: tuple[str, ...]


def command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command for one of our modules. ``-P``: the working folder cannot shadow any."""
    return (sys.executable, "-P", "-m", module, *arguments)


def environment(folder: Path) -> dict[str, str]:
    """What a process of the environment in ``folder`` finds in its own environment."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, MARKER: str(folder)}


def spawn(
    line: Sequence[str], folder: Path, log: Path, descriptors: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start ``line`` in ``folder`` and a session of its own; what it says goes to ``log``.

    Nothing is inherited but ``descriptors``: a caller that waits for the end of its own
    output, such as the Pulumi engine, would otherwise wait for this process.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            line,
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(descriptors),
            start_new_session=True,
        )


def identify(pid: int) -> Identity | None:
    """The process that has ``pid`` now; None when there is none, or only its corpse."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return Identity(pid, process.create_time())
    except psutil.Error:
        return None


def alive(identity: Identity) -> bool:
    """Whether that very process still runs."""
    now = identify(identity.pid)
    return now is not None and abs(now.started - identity.started) < SAME_START_SECONDS


def send(identity: Identity, number: signal.Signals) -> None:
    """Signal that very process, if it still runs."""
    if alive(identity):
        try:
            os.kill(identity.pid, number)
        except ProcessLookupError:
            return


def marked(folder: Path) -> list[Found]:
    """The processes of the environment in ``folder``, oldest first; never the caller."""
    found = [entry for entry in map(_inspect, psutil.process_iter()) if entry]
    ours = [entry for entry, mark in found if mark == str(folder)]
    return sorted(ours, key=lambda entry: entry.identity.started)


def _inspect(process: psutil.Process) -> tuple[Found, str] | None:
    """A process of this user with its mark. Whatever cannot be read is somebody else's."""
    try:
        if process.pid == os.getpid() or process.uids().real != os.getuid():
            return None
        mark = process.environ().get(MARKER, "")
        if not mark or process.status() == psutil.STATUS_ZOMBIE:
            return None
        identity = Identity(process.pid, process.create_time())
        return Found(identity, tuple(process.cmdline())), mark
    except (psutil.Error, OSError):
        return None


def end(identities: Iterable[Identity], grace: float) -> list[Identity]:
    """SIGTERM, up to ``grace`` seconds, then SIGKILL. Returns those that are left even so."""
    left = list(identities)
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        for identity in left:
            send(identity, number)
        left = _wait(left, seconds)
    return left


def _wait(identities: list[Identity], seconds: float) -> list[Identity]:
    for _ in pauses(seconds):
        identities = [identity for identity in identities if alive(identity)]
        if not identities:
            break
    return identities


def pauses(seconds: float, pause: float = 0.05) -> Iterator[float]:
    """Come back every ``pause`` seconds for ``seconds``; yields what is left of them."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        yield left
        time.sleep(pause)


def borrow(path: Path) -> IO[bytes]:
    """``path``, open and locked as shared: while it is, the cache that it lies in keeps it.

    Applications share a cache, and each knows its own slots alone. As with ``hold``, children
    do not keep the lock.
    """
    handle = path.open("rb")
    with contextlib.suppress(OSError):  # a file system without locks: as well as it can be
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return handle


class Taken(GreenlightError):
    """Somebody else holds what only one may hold."""


def hold(path: Path, patience: float = 0.0) -> int:
    """Lock ``path`` for the life of this process; returns the descriptor. Taken if it is held.

    The kernel lets go when the process ends, however it ends. Descriptors are not
    inherited, so children do not keep the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in pauses(max(patience, 0.001)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return descriptor
    os.close(descriptor)
    raise Taken(f"{path} is held by another process, which still runs.")


def allow_descriptors() -> None:
    """Each request holds two; the usual soft limit of 1024 would surprise at 500 streams."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
