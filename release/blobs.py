"""Everything that an entry or a statement refers to, kept under the digest of its content.

A reference is the digest itself, so whoever holds it can tell that what came back is what
was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from release.errors import Problem
from release.integrity import Damaged, is_digest, sha256
from release.stores import FolderStore, Store

MAX_BYTES = 64 << 20
"""A blob is evidence, a report or a lock file. Model weights are not kept here."""


@dataclass(frozen=True)
class Blobs:
    """Content-addressed bytes over any store."""

    store: Store

    def put(self, data: bytes) -> str:
        """Keep ``data`` and return its digest; what is there already stays as it is.

        Damaged when a file of that name is there and holds something else.
        """
        digest = sha256(data)
        try:
            self.store.create(digest, data)
        except FileExistsError:
            self.get(digest)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of ``digest``; Damaged when they are missing or no longer match it."""
        return self._checked(digest, partial(self.store.read, digest))

    def get_each(self, digests: Sequence[str]) -> Iterator[Callable[[], bytes]]:
        """What ``get`` would do for each of ``digests`` in turn, to be called at once."""
        reads = self.store.read_each(filter(is_digest, digests))
        for digest in digests:
            read = next(reads) if is_digest(digest) else bytes
            yield partial(self._checked, digest, read)

    def absent(self, digests: Iterable[str]) -> tuple[Problem, ...]:
        """A problem for each of ``digests`` that is not here intact."""
        problems: list[Problem] = []
        for get in self.get_each(tuple(digests)):
            try:
                get()
            except Damaged as error:
                problems.extend(error.problems)
        return tuple(problems)

    def digests(self) -> tuple[str, ...]:
        """Every digest that is kept, in order."""
        return tuple(sorted(name for name in self.store.names() if is_digest(name)))

    def _checked(self, digest: str, read: Callable[[], bytes]) -> bytes:
        where = self.store.where(digest)
        if not is_digest(digest):
            raise Damaged(Problem("64 hexadecimal digits", repr(digest), file=where))
        try:
            data = read()
        except FileNotFoundError as error:
            raise Damaged(_missing(where, digest)) from error
        if (found := sha256(data)) != digest:
            raise Damaged(_changed(where, digest, found))
        return data


def folder_blobs(folder: Path) -> Blobs:
    """Blobs as files of one folder."""
    return Blobs(FolderStore(folder, MAX_BYTES))


def _missing(where: str, digest: str) -> Problem:
    return Problem(
        file=where,
        expected=f"bytes with SHA-256 {digest}",
        found="no such file",
        remedy="Bring the file back from a copy: what refers to it cannot be checked without it.",
    )


def _changed(where: str, digest: str, found: str) -> Problem:
    return Problem(
        file=where,
        expected=f"bytes with SHA-256 {digest}",
        found=f"SHA-256 {found}",
        remedy="The file was changed after it was written. Bring it back from a copy.",
    )
