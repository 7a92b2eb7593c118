"""``python -m serving.supervisor DIR``: detach, then keep DIR's processes running.

The process that was started ends as soon as the lock is held; what stays is its child,
which belongs to nobody. So whoever starts a supervisor leaves no corpse and waits for none.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from release.errors import DONE
from serving import processes
from serving.supervisor import LOCK, STOPPING
from serving.supervisor.run import Supervisor

PATIENCE_SECONDS = 0.5
"""Others take the lock for an instant only to see whether it is free."""


def main() -> int:
    """Exit code: 0 also when another supervisor runs already, or none is wanted any more."""
    parser = argparse.ArgumentParser(prog="serving.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    try:
        lock = processes.hold(folder / LOCK, PATIENCE_SECONDS)
    except (processes.Taken, FileNotFoundError):
        return DONE
    if (folder / STOPPING).exists() or os.fork():
        return DONE
    asyncio.run(Supervisor(folder, lock).run())
    return DONE


if __name__ == "__main__":
    sys.exit(main())
