"""``greenlight destroy APP``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cli.common import add_app, add_json, running, show

if TYPE_CHECKING:
    from pipelines.workspace import Workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --json."""
    add_app(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Remove all that runs."""
    from cli.terminal import terminal
    from pipelines.destroy import destroy

    opened = running(arguments)
    with terminal() as reporter:
        gone = destroy(opened, reporter)
    if arguments.json:
        show({"exit_code": 0, "destroyed": list(gone)})
    elif gone:
        print(f"{', '.join(gone)}: gone; {_what_stays(opened)}")
    else:
        print("nothing to do: nothing is provisioned")
    return 0


def _what_stays(opened: Workspace) -> str:
    if opened.spec.ledger:
        return f"ledger and evidence stay in {opened.spec.ledger}, keys in {opened.state.root}"
    return f"ledger, evidence and keys stay in {opened.state.root}"
