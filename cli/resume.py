"""``greenlight resume APP --env ENV``."""

from __future__ import annotations

import argparse

from cli.common import add_app, add_env, add_json, running, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --env, --with, --json."""
    add_app(parser)
    add_env(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Let it go on."""
    from pipelines.word import resume

    return say(arguments, resume(running(arguments), arguments.env))
