"""``greenlight diff APP --env ENV``."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from cli.common import add_app, add_env, add_json, show, workspace
from release.errors import DONE, REFUSED

if TYPE_CHECKING:
    from pipelines.diff import Difference


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --env, --markdown, --json."""
    add_app(parser)
    add_env(parser)
    parser.add_argument("--markdown", action="store_true", help="for a comment on a pull request")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show what applying would change; nothing is applied. Refused where the cluster would."""
    from pipelines.diff import difference_of
    from pipelines.targets.kubernetes.diff_text import document, markdown, terminal

    found = difference_of(workspace(arguments), arguments.env)
    code = REFUSED if found.refused else DONE
    if arguments.json:
        show({"exit_code": code, "environment": found.environment, "release": found.label,
              "slot": found.slot, "changes": document(found.changes)})  # fmt: skip
    elif arguments.markdown:
        print(markdown(found.changes, _title(found)), end="")
    else:
        colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(f"{_title(found)}\n{terminal(found.changes, colours)}")
    return code


def _title(found: Difference) -> str:
    return f"{found.label} in {found.environment}, slot {found.slot}"
