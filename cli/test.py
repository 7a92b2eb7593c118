"""``greenlight test``: one command for lint, types, layers and tests.

Tests run several at a time: those of whole rollouts mostly wait. What holds a model to its speed
comes after them, alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSES_ON = True
NO_TESTS = 5  # pytest's exit code where nothing was chosen
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
    for command in CHECKS:
        if code := _run(command):
            return code
    found = NO_TESTS
    for part in _parts(arguments.fast, arguments.passed_on):
        code = _run(("pytest", *part))
        if code not in (0, NO_TESTS):
            return code
        found = min(found, code)
    return found


def _parts(fast: bool, passed_on: Sequence[str]) -> list[list[str]]:
    """The arguments of each run of pytest. Who chooses by marks chooses what runs together."""
    at_once = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadscope"]
    at_once += ["--no-loadscope-reorder"]  # tests/conftest.py says what goes together, and when
    if "-m" in passed_on:
        return [[*at_once, *passed_on]]
    if fast:
        return [[*at_once, "-m", "not slow", *passed_on]]
    return [[*at_once, "-m", "not alone", *passed_on], ["-m", "alone", *passed_on]]


def _run(command: tuple[str, ...]) -> int:
    print(f"+ {' '.join(command)}", file=sys.stderr, flush=True)
    started = time.monotonic()
    tool = Path(sys.executable).parent / command[0]
    code = subprocess.run([str(tool), *command[1:]], cwd=ROOT, env=_env(), check=False).returncode
    print(f"  {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return code


def _env() -> dict[str, str]:
    """Ours, with bytecode: tests start Python a thousand times, at a second more without."""
    return {name: one for name, one in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
