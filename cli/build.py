"""``greenlight build APP``."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from cli.common import add_app, add_json, show, workspace

if TYPE_CHECKING:
    from release.bundle import Release


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """APP, --with, --json."""
    add_app(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the release; nothing is written but the cache of hashes."""
    release = workspace(arguments).built.release
    if arguments.json:
        show({"label": release.label, "digest": release.digest, **json.loads(release.content)})
    else:
        print(f"{release.label}\n  digest   {release.digest}")
        print(f"  weights  {_weights(release)}")
        print(f"  engine   {release.engine.name} {release.engine.version}")
        print(f"  prompt   {len(release.prompt.messages)} messages")
    return 0


def _weights(release: Release) -> str:
    file = release.file
    return f"{file.sha256} ({file.size:,} bytes)" if file else str(release.weights)
