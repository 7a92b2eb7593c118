"""``greenlight report APP``."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cli.common import add_app, add_json, running, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --env, --out, --json."""
    add_app(parser)
    parser.add_argument("--env", metavar="ENV", help="only this environment")
    parser.add_argument(
        "--out", metavar="FILE", type=Path,
        help="where to write it; APP/.greenlight/work/report.html by default",
    )  # fmt: skip
    add_json(parser)


def _refuse_what_is_no_report(file: Path) -> None:
    """A page may take the place of a page, and of nothing else."""
    from release.errors import BadInput, Problem

    if file.exists() and (file.is_dir() or file.suffix not in (".html", ".htm")):
        found = "a folder" if file.is_dir() else "a file that is no page"
        remedy = "Name one that is not there yet, or ends in .html."
        raise BadInput(Problem("a file to write the page to", found, remedy, file=str(file)))


def run(arguments: argparse.Namespace) -> int:
    """Write the report; nothing when nothing has happened. Refused when the chain does not hold."""
    from pipelines.report import write_report

    opened = running(arguments)
    named = [opened.environment(arguments.env)] if arguments.env else opened.environments[::-1]
    entries = opened.entries()
    file = None
    if entries:
        name = f"report-{arguments.env}.html" if arguments.env else "report.html"
        file = arguments.out or opened.state.work / name
        _refuse_what_is_no_report(file)
        write_report(entries, named, file, time.time())
    if arguments.json:
        show({"file": str(file) if file else None})
    else:
        print(file or "nothing has happened yet, so there is nothing to report")
    return 0
