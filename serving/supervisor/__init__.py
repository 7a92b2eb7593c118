"""Keeps an environment's processes running, and itself replaceable.

The supervisor may be killed at any time: its children serve on, and the next one takes
them over. Nobody has to notice but the applications, which look once a second and start a
new one (``revive``). A lock that the kernel frees at death keeps it to one at a time.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from release.errors import GreenlightError
from serving import processes

DESIRED, OBSERVED, ENDPOINTS = "desired.json", "observed.json", "endpoints.json"
LOCK = "supervisor.lock"
STOPPING = "stopping"
"""Written first when an environment is destroyed: from then on nothing starts anything."""


def held(folder: Path) -> bool:
    """Whether a supervisor runs for ``folder``."""
    try:
        os.close(processes.hold(folder / LOCK))
    except processes.Taken:
        return True
    return False


def start(folder: Path) -> None:
    """Start the supervisor of ``folder``, detached; one that runs already stays the only one.

    Returns when it holds its lock. GreenlightError when it does not get that far.
    """
    for part in ("run", "log"):
        (folder / part).mkdir(mode=0o700, exist_ok=True)
    log = folder / "log" / "supervisor.log"
    starter = processes.spawn(
        processes.command("serving.supervisor", str(folder)), folder, log
    )  # ends at once: the supervisor itself is its child, and nobody's that could wait for it
    try:
        code = starter.wait(timeout=30)
    except subprocess.TimeoutExpired:
        starter.kill()
        code = starter.wait()
    if code:
        raise GreenlightError(f"The supervisor of {folder} did not start: see {log}.")


def revive(folder: Path) -> bool:
    """Start a supervisor if ``folder`` has none and is not being destroyed. True if it did."""
    try:
        if (folder / STOPPING).exists() or held(folder):
            return False
        start(folder)
    except FileNotFoundError:  # destroyed in this moment
        return False
    return True
