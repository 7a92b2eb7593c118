"""``greenlight preview`` beside the bare engine's preview of the same stack.

``python -m bench.preview [STACK]``, by default production. Both plan the same program against the
same recording provider, for neither can call Azure; the bare engine's stack is made before its
clock runs, as it would have been by its first ``pulumi up``. In turns, in one run. CPU is user and
system time of the command and all that it started.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.timing import Took, spread, timed
from pipelines.planning import planner
from pipelines.stack_settings import read_settings, stack_file
from release.errors import DONE, WAITING

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5


def ours(stack: str) -> None:
    """The command, as a user types it."""
    done = subprocess.run(
        [str(ROOT / "greenlight"), "preview", "--stack", stack],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode not in (DONE, WAITING):
        sys.exit(f"preview: exit {done.returncode}\n{done.stdout}\n{done.stderr}")


def main(stack: str) -> None:
    """Measure in turns, and print medians with the ratio of each round's pair."""
    config = read_settings(stack_file(ROOT, stack))["config"]
    took: dict[str, list[Took]] = {"bare engine": [], "preview": []}
    with planner(ROOT, stack) as engine:
        for number in range(ROUNDS + 1):  # the first fills the disk's cache
            runs = {
                "bare engine": timed(lambda: engine.of("preview", config)),
                "preview": timed(lambda: ours(stack)),
            }
            for name, (one, _) in runs.items():
                took[name] += [one] if number else []
    _print(took)


def _print(took: Mapping[str, Sequence[Took]]) -> None:
    print(f"{'':<12} {'wall, s':>9} {'CPU, s':>9}   medians of {ROUNDS} rounds")
    for name, runs in took.items():
        wall, cpu = (statistics.median(one[i] for one in runs) for i in (0, 1))
        print(f"{name:<12} {wall:>9.2f} {cpu:>9.2f}")
    for i, what in enumerate(("wall", "CPU")):
        pairs = zip(took["preview"], took["bare engine"], strict=True)
        print(f"ratio, {what}: {spread([ours[i] / bare[i] for ours, bare in pairs])}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "production")
