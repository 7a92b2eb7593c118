"""``greenlight pulumi ARGS…``."""

from __future__ import annotations

import argparse
from pathlib import Path

PASSES_ON = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--app; everything else is the engine's."""
    parser.add_argument(
        "--app", metavar="APP", type=Path, default=None,
        help="the application; by default the one that greenlight:app names for the stack",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run the engine by hand."""
    from pipelines.by_hand import by_hand
    from pipelines.stack_settings import app_of_the_stack
    from pipelines.workspace import ROOT
    from release.errors import BadInput, Problem

    if arguments.app and not arguments.app.is_dir():
        remedy = "Give the application's folder."
        raise BadInput(Problem("a folder", "none", remedy, file=str(arguments.app)))
    app = arguments.app.resolve() if arguments.app else app_of_the_stack(ROOT)
    return by_hand(app, arguments.passed_on)
