"""``greenlight approve APP --env ENV``."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.common import add_app, add_env, add_json, running, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --env, --key, --trust, --comment, --with, --json."""
    add_app(parser)
    add_env(parser)
    parser.add_argument(
        "--key", metavar="FILE", type=Path, default=None,
        help="your signing key, made there at first use; ~/.config/greenlight/approver.key",
    )  # fmt: skip
    parser.add_argument(
        "--trust", action="store_true", help="trust this key as an approver's from now on"
    )
    parser.add_argument("--comment", metavar="TEXT", default="", help="kept with the approval")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Say yes."""
    from pipelines.word import approve, default_key

    said = approve(
        running(arguments), arguments.env, arguments.key or default_key(),
        trusted=arguments.trust, comment=arguments.comment,
    )  # fmt: skip
    return say(arguments, said)
