"""``greenlight render APP --env ENV --out DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.common import add_app, add_env, add_json, show, workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --env, --out, --json."""
    add_app(parser)
    add_env(parser)
    parser.add_argument(
        "--out", metavar="DIR", type=Path,
        help="write one file an object there; without it all of them go to standard output",
    )  # fmt: skip
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Render; nothing is asked of a cluster."""
    from pipelines.rendering import render_environment, write_environment

    opened = workspace(arguments)
    rendered = render_environment(opened, arguments.env)
    written = write_environment(opened, arguments.env, arguments.out) if arguments.out else 0
    if arguments.json:
        show({"exit_code": 0, "objects": [one.object for one in rendered]})
    elif arguments.out:
        print(f"{written} objects in {arguments.out}")
    else:
        print("---\n".join(one.text for one in rendered), end="")
    return 0
