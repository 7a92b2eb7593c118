"""Write docs/outputs.md and docs/outputs.schema.json from the models: ``python -m docs.outputs``.

A test compares them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from docs.reference import section
from release.outputs import TARGETS, VERSION, Outputs

FILE = Path(__file__).parent / "outputs.md"
SCHEMA = Path(__file__).parent / "outputs.schema.json"

HEAD = f"""# Outputs of a stack

`pulumi stack output --json` (for an application on this machine `greenlight pulumi stack output
--json`) says what a stack has made. It is a contract: version {VERSION} of it is below, and in
`docs/outputs.schema.json` as JSON Schema. Within a version it only grows: keys are added, none is
taken away or comes to mean something else, so pass over keys that you do not know. Refuse a
`version` that you do not know.

Ids, names and addresses; no secret is among them. A program that would export one ends with an
error that names the output (`infra/outputs.py`), and what reads outputs refuses one that the engine
shows as `[secret]` (`pipelines/outputs.py`).

This page is written by `python -m docs.outputs`; a test keeps it current.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    shared: dict[str, Any] = {}
    for target, model in TARGETS.items():
        schema = model.model_json_schema()
        shared |= schema.get("$defs", {})
        parts.append(section(f"target: {target}", schema))
    return "\n".join([*parts, *(section(name, one) for name, one in sorted(shared.items()))])


def schema() -> str:
    """The contract as JSON Schema."""
    found = TypeAdapter[Outputs](Outputs).json_schema()
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Outputs of a stack",
    }
    return json.dumps({**head, **found}, indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(page())
    SCHEMA.write_text(schema())
