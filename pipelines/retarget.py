"""``--target``: every environment on another target, as one more change over ``llm.yaml``.

It is a file like those of ``--with``, because the engine's program reads the spec by itself and
has to come to the same one.
"""

from __future__ import annotations

import json
from pathlib import Path

from release.documents import overlay, read_document
from release.errors import BadInput, Problem
from release.files import write_atomic
from release.spec import FILE_NAME, TARGETS
from release.state import StateFolder


def retarget(app: Path, changes: tuple[Path, ...], target: str) -> Path:
    """The file that says so, in the application's work folder. BadInput for an unknown target."""
    if target not in TARGETS:
        raise BadInput(Problem(f"one of {', '.join(TARGETS)}", repr(target), path="--target"))
    document = read_document(app / FILE_NAME)
    for change in changes:
        document = overlay(document, read_document(change))
    names = document.value.get("environments")
    named = names if isinstance(names, dict) else {}  # what else it may be is complained of later
    text = json.dumps({"environments": {name: {"target": target} for name in named}}, indent=2)
    file = StateFolder(app.resolve()).work / f"target-{target}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, text.encode())
    return file
