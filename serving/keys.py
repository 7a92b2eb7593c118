"""A caller's key: a file for its owner alone; the gateway is told only its digest."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from release.errors import BadInput, Problem
from release.files import create_only

SHORTEST = 20  # characters; ours have 46


def read(path: Path) -> str:
    """The key in ``path``. OSError when it cannot be read, BadInput when it is none."""
    key = path.read_bytes().strip()
    if len(key) < SHORTEST or not key.isascii():
        expected, found = f"a key of at least {SHORTEST} ASCII characters", "something else"
        remedy = "Remove the file: `greenlight ship` makes a new key."
        raise BadInput(Problem(expected, found, remedy, file=str(path)))
    return key.decode()


def ensure(path: Path) -> str:
    """The key in ``path``, made on first use. BadInput when there is something else."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        create_only(path, f"gl-{secrets.token_urlsafe(32)}\n".encode(), mode=0o600)
    except FileExistsError:
        path.chmod(0o600)
    return read(path)


def digest(key: str) -> str:
    """What the gateway knows of it: SHA-256, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()
