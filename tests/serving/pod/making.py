"""A bundle in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.serving.making import bundle


def content(**changes: Any) -> dict[str, Any]:
    """A bundle as the manifests write it; a change to ``...`` leaves a key out."""
    whole = {
        **bundle(), "label": "support-bot@aaaaaaa", "release": "a" * 64, "markers": [],
        "refusal": ["i don't know"], **changes,
    }  # fmt: skip
    return {name: value for name, value in whole.items() if value is not ...}


def written(folder: Path, **changes: Any) -> Path:
    """The file of a bundle."""
    file = folder / "bundle.json"
    file.write_text(json.dumps(content(**changes)))
    return file
