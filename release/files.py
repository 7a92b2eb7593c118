"""Files that are whole or absent, whatever moment the power goes.

A state file that is written in place is truncated by a crash (kamal-proxy's is); these go
through a temporary neighbour, fsync and rename, and the folder is synced as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from release.errors import BadInput, Problem
from release.integrity import parse_json


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    """A synced neighbour of ``path`` with ``data`` in it, ready to be renamed or linked."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data``: readers see the old bytes or the new, never a part."""
    temporary = _write_temporary(path, data, mode)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def create_only(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create ``path`` with ``data``, durably, or raise FileExistsError and change nothing."""
    temporary = _write_temporary(path, data, mode)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """Replace ``path`` by ``value`` as indented JSON."""
    write_atomic(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode(), mode)


def read_json(path: Path) -> Any:
    """The JSON in ``path``. FileNotFoundError when absent, BadInput when it is not JSON."""
    data = path.read_bytes()
    try:
        return parse_json(data)
    except ValueError as error:
        raise BadInput(
            Problem(
                file=str(path),
                line=getattr(error, "lineno", None),
                expected="JSON",
                found=f"{len(data)} bytes that are not ({error})",
                remedy="It was damaged from outside. Restore it; the files of an environment "
                "are written again by `greenlight ship`.",
            )
        ) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold ``path`` as a lock between processes; the kernel lets go when the holder dies."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
