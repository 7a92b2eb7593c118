"""Where records are kept: objects that are created once and never changed.

Create-only is all that a ledger needs of its storage: it is the compare-and-swap that lets
one of two writers win. The folder here is durable, fsync included; release/object_store.py offers
the same operations on object storage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from release.errors import BadInput, GreenlightError, Problem
from release.files import create_only, sync_folder
from release.integrity import Damaged

STALE = 3600.0
"""Seconds after which a temporary file is taken for a killed writer's: a write takes a moment."""


class Store(Protocol):
    """Named objects, each created once, whole or absent."""

    def create(self, name: str, data: bytes) -> None:
        """Keep ``data`` durably; FileExistsError, and no change, when ``name`` is there."""

    def read(self, name: str) -> bytes:
        """The object's bytes; FileNotFoundError when there is none."""

    def read_each(self, names: Iterable[str]) -> Iterator[Callable[[], bytes]]:
        """What ``read`` would do for each of ``names`` in turn, to be called at once: a store
        that is far away has begun with the next ones by then.
        """

    def names(self) -> tuple[str, ...]:
        """The names of all objects, in no particular order."""

    def where(self, name: str) -> str:
        """The place of ``name`` as an error message shows it."""


class NotStored(GreenlightError):
    """The storage refused a write (disk full, no permission); no part of it was kept."""


@dataclass(frozen=True)
class FolderStore:
    """A store in one local folder, made at the first write. ``limit`` is in bytes an object."""

    folder: Path
    limit: int = 1 << 20

    def create(self, name: str, data: bytes) -> None:
        """Keep ``data``; BadInput when it is over the limit, NotStored when the disk says no."""
        if len(data) > self.limit:
            raise BadInput(self._too_large(name, f"{len(data)} bytes"))
        try:
            _make_folder(self.folder)
            create_only(self.folder / name, data)
        except FileExistsError:
            raise
        except OSError as error:
            raise NotStored(
                f"{self.where(name)} could not be written: {error.strerror}. "
                "Nothing of it was kept; make room or mend the permissions, then run again."
            ) from error

    def read(self, name: str) -> bytes:
        """The object's bytes; Damaged when it is over the limit or cannot be read."""
        try:
            with (self.folder / name).open("rb") as handle:
                data = handle.read(self.limit + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            found = error.strerror or str(error)
            raise Damaged(Problem("a readable file", found, file=self.where(name))) from error
        if len(data) > self.limit:
            raise Damaged(self._too_large(name, "more"))
        return data

    def read_each(self, names: Iterable[str]) -> Iterator[Callable[[], bytes]]:
        """One after the other: a folder is near."""
        return (partial(self.read, name) for name in names)

    def names(self) -> tuple[str, ...]:
        """What is kept; the temporary files of writers at work, or killed, are not."""
        if not self.folder.is_dir():
            return ()
        return tuple(p.name for p in self.folder.iterdir() if not p.name.startswith("."))

    def where(self, name: str) -> str:
        """The file's path."""
        return str(self.folder / name)

    def sweep(self, older_than: float = STALE) -> int:
        """Remove what killed writers left behind; how many files that were.

        A writer that still lives loses its write, loudly, never the record.
        """
        stale = [p for p in self.folder.glob(".*") if _age(p) > older_than]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def _too_large(self, name: str, found: str) -> Problem:
        return Problem(f"at most {self.limit} bytes", found, file=self.where(name))


def _make_folder(folder: Path) -> None:
    """``folder``, durable with the parents it needed."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    sync_folder(folder.parent)


def _age(path: Path) -> float:
    """Seconds since ``path`` was written; a file that has just gone is young."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
