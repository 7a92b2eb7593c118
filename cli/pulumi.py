"""``greenlight pulumi ARGS…``."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--app, then whatever the engine takes."""
    parser.add_argument(
        "--app", metavar="APP", type=Path, default=None,
        help="the application; by default the one that greenlight:app names for the stack",
    )  # fmt: skip
    parser.add_argument(
        "arguments", metavar="ARGS", nargs=argparse.REMAINDER, help="given to pulumi as they are"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the engine by hand."""
    from pipelines.engine import Engine, app_of_the_stack
    from pipelines.workspace import ROOT
    from release.errors import BadInput, Problem
    from release.state import StateFolder

    if arguments.app and not arguments.app.is_dir():
        remedy = "Give the application's folder."
        raise BadInput(Problem("a folder", "none", remedy, file=str(arguments.app)))
    app = arguments.app.resolve() if arguments.app else app_of_the_stack(ROOT)
    return Engine(StateFolder(app), ROOT).by_hand(arguments.arguments)
