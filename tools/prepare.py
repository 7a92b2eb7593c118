"""What the launcher runs when the quick look says that something is not ready.

Runs before Greenlight's packages exist, with the Python that the launcher found:
``prepare ROOT`` makes the environment, ``prepare ROOT --engine`` Pulumi as well.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

from tools.engine import provide_pulumi
from tools.environment import provide_environment
from tools.layout import Layout, read_layout
from tools.progress import Progress
from tools.work import SetupError, locked, write_whole


def prepare(layout: Layout, engine: bool, progress: Progress) -> None:
    """Make ready what the next command needs. SetupError says what could not be had."""
    _make_cache(layout.tools)
    with locked(layout.root, "setting up this checkout", progress):
        provide_environment(layout, progress)
        if engine:
            pulumi = provide_pulumi(layout, progress)
            progress.say(f"Pulumi {pulumi.version}: {pulumi.path} ({pulumi.how})")
            write_whole(layout.marks / "pulumi", pulumi.path + "\n")


def _make_cache(tools: Path) -> None:
    try:
        tools.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"{tools}, where tools are kept, cannot be made: {error.strerror}. "
            "Make it possible, or name another folder in XDG_CACHE_HOME."
        ) from error


def _stop(number: int, _frame: FrameType | None) -> None:
    """End through the `finally` clauses: children stopped, scratch folders removed."""
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    for each in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(each, _stop)
    progress = Progress()
    try:
        prepare(read_layout(Path(arguments[0])), "--engine" in arguments, progress)
    except (SetupError, OSError) as error:
        progress.say(f"set-up failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
