"""The models of an environment's slots, kept in their cache while their servers come and go.

A model server holds its model only while it lives. The supervisor lives on: what it borrows is
not dropped by another application's ship in the moment in which that server restarts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import IO

from serving.processes import borrow


class Borrowed:
    """Open model files, by their path."""

    def __init__(self) -> None:
        self._handles: dict[Path, IO[bytes]] = {}

    def keep(self, models: Collection[Path]) -> None:
        """Hold exactly ``models``, as far as they are there; costs two stats each."""
        for path, handle in list(self._handles.items()):
            if path not in models or not _is_still(path, handle):
                self._handles.pop(path).close()
        for path in models:
            if path not in self._handles:
                with contextlib.suppress(OSError):  # its server says what is wrong with it
                    self._handles[path] = borrow(path)


def _is_still(path: Path, handle: IO[bytes]) -> bool:
    """Whether ``handle`` is the file that is at ``path`` now: a damaged one is replaced."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except OSError:
        return False
