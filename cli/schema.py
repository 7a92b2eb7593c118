"""``greenlight schema``."""

from __future__ import annotations

import argparse

from cli.common import show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--json, which changes nothing: the output is JSON as it is."""
    parser.add_argument("--json", action="store_true", help="the output is JSON in any case")


def run(_arguments: argparse.Namespace) -> int:
    """Print the JSON Schema."""
    from release.spec import json_schema

    show(json_schema())
    return 0
