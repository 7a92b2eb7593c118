"""What a rollout costs those who ask meanwhile, and how soon it does what it is told.

    python -m bench.rollout switch [--requests 100000]   nothing dropped, beside HAProxy
    python -m bench.rollout react [--times 200]          a change of weights, until it is followed
    python -m bench.rollout real APP [--requests 2000]   ship, rollback and breach, a real model
    python -m bench.rollout resume APP [--times 3]       kill -9, and on again

The first two have a fast stand-in for the model, and HAProxy in front of such servers takes turns
with the gateway (Debian: apt-get install -y --no-install-recommends haproxy). The last two
ship APP and changes of it, and leave its last environment on APP's own release.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from bench.shipping import real, resume
from bench.switching import react, switch


def parse(arguments: list[str]) -> argparse.Namespace:
    """What to measure, and how much of it."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m bench.rollout", description=__doc__, formatter_class=raw
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("switch").add_argument("--requests", type=int, default=100_000)
    verbs.add_parser("react").add_argument("--times", type=int, default=200)
    for verb in ("real", "resume"):
        one = verbs.add_parser(verb)
        one.add_argument("app", metavar="APP", type=Path)
        text = "default: APP/changes/better-prompt.yaml"
        one.add_argument("--with", dest="change", metavar="CHANGE", type=Path, help=text)
    text = "default: APP/changes/slow-in-traffic.yaml"
    verbs.choices["real"].add_argument("--requests", type=int, default=2000)
    verbs.choices["real"].add_argument("--breach", metavar="CHANGE", type=Path, help=text)
    verbs.choices["resume"].add_argument("--times", type=int, default=3)
    return parser.parse_args(arguments)


async def measure(options: argparse.Namespace) -> None:
    """The one that was asked for."""
    match options.verb:
        case "switch":
            await switch(options.requests)
        case "react":
            await react(options.times)
        case "real":
            changes = options.app / "changes"
            better = options.change or changes / "better-prompt.yaml"
            worse = options.breach or changes / "slow-in-traffic.yaml"
            await real(options.app, better, worse, options.requests)
        case "resume":
            change = options.change or options.app / "changes" / "better-prompt.yaml"
            await resume(options.app, change, options.times)


def main(arguments: list[str]) -> int:
    """Print the tables, and how busy the machine was."""
    asyncio.run(measure(parse(arguments)))
    print(f"\n{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
