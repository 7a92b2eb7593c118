"""``greenlight verify APP``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from cli.common import add_app, add_json, running, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --json."""
    add_app(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Recompute the record. Refused, with every problem, when something does not hold."""
    from release.ledger import verify

    report = verify(running(arguments).records())
    report.require()
    if arguments.json:
        show({"exit_code": 0, **asdict(report)})
        return 0
    print(
        f"whole: {report.entries} entries, {report.blobs} blobs, {report.statements} statements, "
        f"{report.witnesses} witnesses agree on entry {report.head.sequence}"
    )
    for note in report.notes:
        print(f"note: {note}")
    return 0
