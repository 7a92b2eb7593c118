"""``greenlight build APP``."""

from __future__ import annotations

import argparse
import json

from cli.common import add_app, add_json, show, workspace


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
        print(f"  weights  {release.weights.sha256} ({release.weights.size:,} bytes)")
        print(f"  engine   {release.engine.name} {release.engine.version}")
        print(f"  prompt   {len(release.prompt.messages)} messages")
    return 0
