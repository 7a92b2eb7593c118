"""Model files by their content, in a cache of the user's with a limit.

A slot's model server opens the file here, never where it came from: that package may be
upgraded, and that checkout may go, while the release is still live.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from release.errors import BadInput, GreenlightError, Problem
from release.files import locked, read_json, write_json
from release.integrity import is_digest

DEFAULT_LIMIT = 50 << 30  # bytes: a few quantised models of tens of gigabytes


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/greenlight``, by default ``~/.cache/greenlight``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "greenlight"


def cache_limit() -> int:
    """Bytes that models may take: ``GREENLIGHT_CACHE_BYTES``, by default 50 GiB."""
    text = os.environ.get("GREENLIGHT_CACHE_BYTES", str(DEFAULT_LIMIT))
    if not text.isdecimal():
        raise BadInput(
            Problem(
                path="GREENLIGHT_CACHE_BYTES",
                expected="a number of bytes",
                found=repr(text),
                remedy="Write digits alone, or unset it.",
            )
        )
    return int(text)


def hash_file(path: Path) -> str:
    """SHA-256 of a file of any size, in constant memory."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _mark(path: Path) -> str:
    """What changes whenever the file does; the kernel sets the last time, and nobody else."""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}-{stat.st_dev}-{stat.st_ctime_ns}"


def _is_borrowed(path: Path) -> bool:
    """Whether an environment holds ``path``: perhaps of an application we know nothing of."""
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@dataclass(frozen=True)
class ModelCache:
    """Content-addressed model files below ``folder``; ``limit`` is in bytes."""

    folder: Path
    limit: int

    def path(self, digest: str) -> Path:
        """Where the file with this SHA-256 is, if it is there."""
        return self.folder / "models" / "sha256" / digest

    def digest_of(self, source: Path) -> str:
        """SHA-256 of ``source``, from memory where the file is untouched since it was hashed."""
        mark, known = _mark(source), self._known().get(str(source))
        if isinstance(known, list) and known[:1] == [mark] and is_digest(known[-1]):
            return str(known[-1])
        digest = hash_file(source)
        self._remember(source, mark, digest)
        return digest

    def keep(self, source: Path, digest: str, used: frozenset[str]) -> Path:
        """A copy of ``source`` under its digest; makes room first, never from ``used`` digests."""
        path = self.path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "models.lock"):
            if path.exists() and self.digest_of(path) == digest:
                os.utime(path)  # the one that was used last goes last
                self._remember(path, _mark(path), digest)
                return path
            path.unlink(missing_ok=True)  # half-written or changed: it is no use to anybody
            self._make_room(source.stat().st_size, used | {digest})
            self._copy(source, path, digest)
        return path

    def _known(self) -> dict[str, Any]:
        try:
            known = read_json(self.folder / "hashes.json")
        except (FileNotFoundError, BadInput):
            return {}  # a memory that is lost is made anew
        return known if isinstance(known, dict) else {}

    def _remember(self, source: Path, mark: str, digest: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "hashes.json", {**self._known(), str(source): [mark, digest]})

    def _copy(self, source: Path, path: Path, digest: str) -> None:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
        os.close(descriptor)
        try:
            shutil.copyfile(source, name)
            if hash_file(Path(name)) != digest:
                raise GreenlightError(f"{source} changed while it was read; run again")
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)

    def _make_room(self, size: int, used: frozenset[str]) -> None:
        """Remove parts of killed copies, then the models that were used the longest ago."""
        for part in self.path("x").parent.glob(".part-*"):
            part.unlink(missing_ok=True)
        files = sorted(self.path("x").parent.glob("[0-9a-f]*"), key=lambda p: p.stat().st_mtime_ns)
        total = sum(file.stat().st_size for file in files) + size
        for file in files:
            if total <= self.limit:
                return
            if file.name not in used and not _is_borrowed(file):
                total -= file.stat().st_size
                with contextlib.suppress(FileNotFoundError):
                    file.unlink()
        if total > self.limit:
            raise GreenlightError(
                f"{self.folder}: {total} bytes of models in use are over the limit of "
                f"{self.limit}. Raise GREENLIGHT_CACHE_BYTES or retire a release."
            )
