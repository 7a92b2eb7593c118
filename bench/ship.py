"""How long a ship takes, how much of that is model time, and what all processes hold in memory.

``python -m bench.ship APP`` destroys what APP has, ships it, ships it again, and destroys it.
Model time is what the steps that wait for the model took: deploy, smoke-test, evaluate, check.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
MODEL_STEPS = ("deploy", "smoke-test", "evaluate", "check")


def timed(*words: str) -> tuple[float, str]:
    """Wall seconds and standard output of ``./greenlight`` with these words."""
    started = time.perf_counter()
    done = subprocess.run(
        ["./greenlight", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    return time.perf_counter() - started, done.stdout


def memory(app: Path) -> int:
    """Bytes that all processes of ``app`` hold, shared pages counted once (PSS)."""
    state = str(app.resolve() / ".greenlight")
    total = 0
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("GREENLIGHT_ENVIRONMENT", "").startswith(state):
            total += process.memory_full_info().pss
    return total


def main() -> None:
    """Print the figures as rows of a table."""
    app = Path(sys.argv[1])
    subprocess.run(["./greenlight", "destroy", str(app)], cwd=ROOT, check=True)
    total, out = timed("ship", str(app), "--json")
    results: list[dict[str, Any]] = json.loads(out)["results"]
    model = sum(one["seconds"] for one in results if one["step"] in MODEL_STEPS)
    held = memory(app)
    again = [timed("ship", str(app))[0] for _ in range(3)]
    help_ = [timed("--help")[0] for _ in range(10)]
    rows = [
        ("first ship", f"{total:.0f} s"),
        ("of which not model time", f"{total - model:.1f} s"),
        *(
            (f"  {one['step']} {one.get('environment', '')}", f"{one['seconds']:.1f} s")
            for one in results
        ),
        ("all processes, proportional set size", f"{held / 2**20:.0f} MiB"),
        ("ship with nothing to do", f"{statistics.median(again):.2f} s"),
        ("greenlight --help", f"{statistics.median(help_):.3f} s"),
    ]
    for name, value in rows:
        print(f"| {name} | {value} |")
    subprocess.run(["./greenlight", "destroy", str(app)], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
