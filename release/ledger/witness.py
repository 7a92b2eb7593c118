"""Whoever remembers how far the ledger had come.

A hash chain shows what was changed inside it, and nothing of what was cut off its end. A
witness keeps the last sequence and digest it has seen somewhere else: the keys folder does,
and so does each target. A ledger may be ahead of a witness (a crash came between the two),
never behind it, and never different.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from release.errors import BadInput, Problem
from release.files import locked, read_json, write_json
from release.integrity import Damaged, is_digest
from release.ledger.entry import Mark
from release.stores import NotStored


class Witness(Protocol):
    """A memory of the ledger's head, kept apart from the ledger."""

    @property
    def where(self) -> str:
        """Its place, as an error message shows it."""

    def seen(self) -> Mark | None:
        """The last mark it was told, or None when it was never told any."""

    def note(self, mark: Mark) -> None:
        """Remember ``mark`` durably, unless it knows of a later one already."""


@dataclass(frozen=True)
class FileWitness:
    """A witness in one file, shared between processes."""

    path: Path

    @property
    def where(self) -> str:
        """The file's path."""
        return str(self.path)

    def seen(self) -> Mark | None:
        """The mark in the file, None when there is no file, BadInput when it has none."""
        try:
            document = read_json(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            found = error.strerror or str(error)
            raise BadInput(Problem("a readable file", found, file=self.where)) from error
        return _mark(document, self.where)

    def note(self, mark: Mark) -> None:
        """Move forward to ``mark``; of two processes the later entry stays noted.

        Damaged when the file knows another entry under the same number, NotStored when the
        disk says no.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                self._advance(mark)
        except OSError as error:
            raise NotStored(
                f"{self.where} could not be written: {error.strerror}. The ledger itself has "
                f"entry {mark.sequence}; make room or mend the permissions, then run again."
            ) from error

    def _advance(self, mark: Mark) -> None:
        known = self.seen()
        if known is None or known.sequence < mark.sequence:
            write_json(self.path, asdict(mark))
        elif known.sequence == mark.sequence and known != mark:
            raise Damaged(rewritten(self.where, known, mark.sha256))


def rewritten(where: str, known: Mark, found: str) -> Problem:
    """``where`` remembers another entry ``known.sequence`` than the one that is there."""
    return Problem(
        file=where,
        expected=f"entry {known.sequence} with SHA-256 {known.sha256}, which it has seen",
        found=f"SHA-256 {found}",
        remedy="The ledger was rewritten. Bring it back from a copy.",
    )


def _mark(document: Any, where: str) -> Mark:
    match document:
        case {"sequence": int(sequence), "sha256": str(digest)} if is_digest(digest):
            return Mark(sequence, digest)
    raise BadInput(
        Problem(
            file=where,
            expected="the sequence and sha256 of a ledger entry",
            found="something else",
            remedy="It was changed from outside. Bring it back from a copy.",
        )
    )
