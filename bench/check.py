"""``greenlight check`` beside the ``checkov`` command, over the same files.

``python -m bench.check [PATH…]``, by default the tests' fixtures. Both run in turn, in one run, so
that a machine which slows down slows both. *Cold*: nothing is remembered; *warm*: nothing has
changed. CPU is user and system time of the command and all that it started. checkov is told not
to ask its vendor; without that it also waits for the network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.timing import Took, spread, timed
from pipelines.walked import collect
from policies.scan.kinds import classify
from tests.policies.scan import command

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


def run(arguments: list[str], cache: Path) -> str:
    """What it printed."""
    environment = command.environment() | {"XDG_CACHE_HOME": str(cache)}
    return subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    ).stdout


def found(printed: str) -> set[tuple[str, str]]:
    """Check and resource of each of checkov's findings, from either's JSON."""
    document = json.loads(printed)
    if isinstance(document, dict) and "findings" in document:
        theirs = (one for one in document["findings"] if not one["rule"].startswith("GL-"))
        return {(one["rule"], one["resource"]) for one in theirs}
    reports = document if isinstance(document, list) else [document]
    results = [report["results"] for report in reports]
    kinds = ("failed_checks", "skipped_checks")
    return {(x["check_id"], x["resource"]) for one in results for kind in kinds for x in one[kind]}


def main(paths: list[str]) -> None:
    """Measure, and refuse to print figures of findings that differ."""
    files = [
        file.path
        for file in collect([Path(path) for path in paths])[0]
        if classify(str(file.path), file.data)
    ]
    launcher = [str(ROOT / "greenlight"), "check", "--json", *map(str, files)]
    took: dict[str, list[Took]] = {"checkov": [], "cold": [], "warm": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS + 1):  # the first fills the disk's cache
            cache = Path(folder, str(number))
            turns = {"checkov": command.arguments(files), "cold": launcher, "warm": launcher}
            runs = {name: timed(partial(run, one, cache)) for name, one in turns.items()}
            if len({frozenset(found(printed)) for _, printed in runs.values()}) != 1:
                sys.exit("the findings differ")
            for name, (one, _) in runs.items():
                took[name] += [one] if number else []
    _print(took, len(files))


def _print(took: dict[str, list[Took]], files: int) -> None:
    """Medians, and the ratio of each round's pair."""
    print(f"{files} files, {ROUNDS} rounds on {os.cpu_count()} cores, median (lowest to highest)")
    for name, runs in took.items():
        walls, cpus = zip(*runs, strict=True)
        pairs = zip(runs, took["checkov"], strict=True)
        ratios = [one[1] / other[1] for one, other in pairs]
        print(
            f"{name:8} wall {spread(walls)} s, CPU {spread(cpus)} s, "
            f"CPU / checkov's {spread(ratios)}"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["tests/policies/scan/fixtures"])
