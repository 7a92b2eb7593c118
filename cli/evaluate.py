"""``greenlight evaluate APP``."""

from __future__ import annotations

import argparse

from cli.common import add_app, add_dry_run, add_json, add_retry, finish, workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --dry-run, --retry, --json."""
    add_app(parser)
    add_dry_run(parser)
    add_retry(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate in the first environment."""
    from cli.terminal import terminal
    from pipelines.ship import evaluate

    opened = workspace(arguments)
    with terminal() as reporter:
        outcome = evaluate(opened, reporter, retry=arguments.retry, dry_run=arguments.dry_run)
    return finish(arguments, opened, outcome)
