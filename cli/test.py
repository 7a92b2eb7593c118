"""``greenlight test``: one command for lint, types, layers and tests."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSES_ON = True
CHECKS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("mypy",),
    ("lint-imports",),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--fast; everything else is pytest's."""
    parser.add_argument("--fast", action="store_true", help="leave out what takes over a second")


def run(arguments: argparse.Namespace) -> int:
    """Run every check, then the tests; the first that fails ends it with its exit code."""
    fast = ["-m", "not slow"] if arguments.fast else []
    for command in (*CHECKS, ("pytest", *fast, *arguments.passed_on)):
        code = _run(command)
        if code:
            return code
    return 0


def _run(command: tuple[str, ...]) -> int:
    print(f"+ {' '.join(command)}", file=sys.stderr, flush=True)
    started = time.monotonic()
    tool = Path(sys.executable).parent / command[0]
    code = subprocess.run(
        [str(tool), *command[1:]], cwd=ROOT, env=os.environ, check=False
    ).returncode
    print(f"  {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return code
