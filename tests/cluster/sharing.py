"""Lets the workers of a run use one cluster: the first starts it, after the last it ends.

A cluster takes a gigabyte and 20 s, so one for each worker would be dear. The only
state is a folder and the kernel's locks, which die with their holders: no worker counts others.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster.running import FAILED, PATIENCE_SECONDS, READY, USERS, Settings

ROOT = Path(__file__).resolve().parent.parent.parent
DOOR = "door"
LINES = 15
"""Of each part's log, where the cluster failed."""


@contextmanager
def shared_cluster(folder: Path, settings: Settings) -> Iterator[Path]:
    """The kubeconfig of the cluster in ``folder``, which runs at least as long as the block.

    RuntimeError with the ends of the logs where it does not get ready; it is not tried again."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as used:
        with _locked(folder / DOOR, fcntl.LOCK_EX):
            # where a cluster is about to end, this waits until it has
            used.enter_context(_locked(folder / USERS, fcntl.LOCK_SH))
            if not (folder / READY).exists() and not (folder / FAILED).exists():
                _start(folder, settings)
            _await(folder)
        yield folder / READY


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _start(folder: Path, settings: Settings) -> None:
    settings.write(folder)
    with (folder / "cluster.log").open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "tests.cluster.running", str(folder)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )


def _await(folder: Path) -> None:
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while not (folder / READY).exists():
        if (folder / FAILED).exists() or time.monotonic() > deadline:
            raise RuntimeError(_what_happened(folder))
        time.sleep(0.05)


def _what_happened(folder: Path) -> str:
    failed = folder / FAILED
    texts = [failed.read_text() if failed.exists() else "no cluster, and no word why"]
    for log in sorted(folder.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-LINES:]
        texts.append("\n".join([f"--- {log}", *lines]))
    return "\n".join(texts)
