"""``greenlight preview`` beside the bare engine's preview of the same stack.

``python -m bench.preview [STACK]``, by default production. Both plan the same program against the
same recording provider, for neither can call Azure; the bare engine's stack is made before its
clock runs, as it would have been by its first ``pulumi up``. In turns, in one run. CPU is user and
system time of the command and all that it started.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from pipelines.engine import bare_project, executable, surroundings
from pipelines.planning import PROVIDER, _without_secrets
from pipelines.recorder import Recorder, recording
from pipelines.stack_settings import read_settings, stack_file
from release.errors import DONE, WAITING

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5

Took = tuple[float, float]
"""Seconds on the clock, seconds of CPU."""


def timed(arguments: Sequence[str], environment: Mapping[str, str], ends: set[int]) -> Took:
    """One run."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in ends:
        sys.exit(f"{arguments[0]}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main(stack: str) -> None:
    """Measure in turns, and print medians with the ratio of each round's pair."""
    ours = [str(ROOT / "greenlight"), "preview", "--stack", stack]
    file = stack_file(ROOT, stack)
    took: dict[str, list[Took]] = {"bare engine": [], "preview": []}
    with tempfile.TemporaryDirectory(prefix="gl-") as made, recording(Recorder()) as port:
        folder = Path(made)
        settings = folder / file.name
        known = _without_secrets(read_settings(file)["config"])
        settings.write_text(yaml.safe_dump({"config": known}))
        environment = _bare(folder, port)
        project = bare_project(folder / "project")
        subprocess.run(
            [executable(), "stack", "init", stack, "-C", str(project), "--non-interactive"],
            env=environment, check=True, capture_output=True,
        )  # fmt: skip
        bare = [executable(), "preview", "--non-interactive", "--stack", stack]
        bare += ["--config-file", str(settings)]
        for number in range(ROUNDS + 1):  # the first fills the disk's cache
            runs = {
                "bare engine": timed(bare, environment, {DONE}),
                "preview": timed(ours, os.environ, {DONE, WAITING}),
            }
            for name, one in runs.items():
                took[name] += [one] if number else []
    _print(took)


def _bare(folder: Path, port: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PULUMI_", "ARM_"))}
    (folder / "backend").mkdir()
    own = {
        "PULUMI_CONFIG_PASSPHRASE": "nothing-is-kept",
        "PULUMI_DEBUG_PROVIDERS": f"{PROVIDER}:{port}",
    }
    return kept | surroundings(folder / "backend", folder / "home") | own


def _print(took: Mapping[str, Sequence[Took]]) -> None:
    print(f"{'':<12} {'wall, s':>9} {'CPU, s':>9}   medians of {ROUNDS} rounds")
    for name, runs in took.items():
        wall, cpu = (statistics.median(one[i] for one in runs) for i in (0, 1))
        print(f"{name:<12} {wall:>9.2f} {cpu:>9.2f}")
    for i, what in enumerate(("wall", "CPU")):
        pairs = zip(took["preview"], took["bare engine"], strict=True)
        ratios = sorted(ours[i] / bare[i] for ours, bare in pairs)
        middle = statistics.median(ratios)
        print(f"ratio, {what}: {middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "production")
