"""``greenlight promote APP --to ENV``."""

from __future__ import annotations

import argparse

from cli.common import add_app, add_dry_run, add_json, add_retry, finish, workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --to, --with, --dry-run, --retry, --json."""
    add_app(parser)
    parser.add_argument("--to", metavar="ENV", required=True, help="the environment to bring it to")
    add_dry_run(parser)
    add_retry(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Promote."""
    from cli.terminal import terminal
    from pipelines.ship import promote

    opened = workspace(arguments)
    with terminal() as reporter:
        outcome = promote(
            opened, arguments.to, reporter, retry=arguments.retry, dry_run=arguments.dry_run
        )
    return finish(arguments, opened, outcome)
