"""What the rules themselves are, in one digest: whoever edits one sees what it says."""

from __future__ import annotations

import hashlib
from pathlib import Path

from release.integrity import sha256

FOLDER = Path(__file__).parent


def rules_digest() -> str:
    """Of the rules' own source and tables."""
    digest = hashlib.sha256()
    for file in sorted(FOLDER.rglob("*")):
        if file.suffix in (".py", ".yaml", ".json") and file.is_file():
            digest.update(f"{file.relative_to(FOLDER)}\0{sha256(file.read_bytes())}\0".encode())
    return digest.hexdigest()
