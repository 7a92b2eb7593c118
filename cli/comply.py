"""``greenlight comply APP``."""

from __future__ import annotations

import argparse

from cli.common import add_app, add_dry_run, add_json, finish, workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --dry-run, --json."""
    add_app(parser)
    add_dry_run(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check without loading."""
    from cli.terminal import terminal
    from pipelines.ship import comply

    opened = workspace(arguments)
    with terminal() as reporter:
        outcome = comply(opened, reporter, dry_run=arguments.dry_run)
    return finish(arguments, opened, outcome)
