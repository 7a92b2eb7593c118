"""``greenlight pause APP --env ENV``."""

from __future__ import annotations

import argparse

from cli.common import add_app, add_env, add_json, running, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --env, --reason, --with, --json."""
    add_app(parser)
    add_env(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="kept in the ledger")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Hold the weights."""
    from pipelines.word import pause

    return say(arguments, pause(running(arguments), arguments.env, arguments.reason))
