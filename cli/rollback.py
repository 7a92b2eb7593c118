"""``greenlight rollback APP --env ENV``."""

from __future__ import annotations

import argparse

from cli.common import add_app, add_dry_run, add_json, finish, running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --env, --reason, --with, --dry-run, --json."""
    add_app(parser)
    parser.add_argument("--env", metavar="ENV", required=True, help="the environment to bring back")
    parser.add_argument("--reason", metavar="TEXT", default="", help="kept in the ledger")
    add_dry_run(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Bring back."""
    from cli.terminal import terminal
    from pipelines.rollback import BY_HAND, rollback

    opened = running(arguments)
    reason = f"{BY_HAND}: {arguments.reason}" if arguments.reason else BY_HAND
    with terminal() as reporter:
        outcome = rollback(
            opened, arguments.env, reporter, reason=reason, dry_run=arguments.dry_run
        )
    if outcome.plan.steps and not arguments.json and not arguments.dry_run:
        print(f"{outcome.plan.reason}: done")
    return finish(arguments, opened, outcome)
