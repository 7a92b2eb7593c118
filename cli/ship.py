"""``greenlight ship APP``."""

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
    """Ship, then say in a few lines what is live and how to ask it."""
    from cli.terminal import terminal
    from pipelines.ship import ship

    opened = workspace(arguments)
    with terminal() as reporter:
        outcome = ship(opened, reporter, retry=arguments.retry, dry_run=arguments.dry_run)
    code = finish(arguments, opened, outcome)
    if not arguments.json and not arguments.dry_run:
        from cli.summary import summary

        print(summary(opened, outcome))
    return code
