"""``greenlight history APP``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from cli.common import add_app, add_json, running, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --last, --json."""
    add_app(parser)
    parser.add_argument(
        "--last", metavar="N", type=_count, default=0, help="only the last N entries"
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the ledger, oldest first. Refused when the chain does not hold."""
    from release.timestamps import rfc3339

    entries = running(arguments).entries()
    entries = entries[-arguments.last :]
    if arguments.json:
        show([{**asdict(entry), "time": rfc3339(entry.time)} for entry in entries])
        return 0
    for entry in entries:
        where = entry.environment or "-"
        print(f"{entry.sequence:6} {rfc3339(entry.time)} {where:12} {entry.kind:16} {_told(entry)}")
    if not entries:
        print("nothing has happened yet")
    return 0


def _count(text: str) -> int:
    """A whole number above 0: argparse says what it got instead."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text)


def _told(entry: Any) -> str:
    """The part of an entry's data that people look for."""
    data = entry.data
    known = [data.get("step"), data.get("release", "")[:7], data.get("slot"), data.get("verb")]
    words = [str(word) for word in known if word]
    if data.get("weights"):
        words.append(" ".join(f"{slot}={weight}" for slot, weight in data["weights"].items()))
    if data.get("reasons"):
        words += data["reasons"]
    elif data.get("reason"):
        words.append(f"({data['reason']})")
    return " ".join(words)
