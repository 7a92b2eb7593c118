"""Which files ``check`` looks at, and what it says of one that it cannot look at.

A pull request chooses what lies in a folder. So only regular files are opened, only so much of
each is read, and what is passed by is either listed here or a finding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from policies.rules.findings import Finding
from release.documents import read_bytes
from release.errors import BadInput, Problem

SUFFIXES = frozenset({".json", ".jsonc", ".yaml", ".yml"})
"""Of files that a scanner may take, in any case of letters."""

PASSED_BY = frozenset({"node_modules", "__pycache__"})
"""Folders that are not walked, besides hidden ones (``.github`` is) and links to folders."""

MAX_BYTES = 20 << 20
"""Of a file in a folder, whatever it is. What a scanner takes is smaller: policies.scan.kinds."""

UNREAD = "GL-CHECK-001"
"""The rule of a file that was found and could not be looked at."""


@dataclass(frozen=True)
class File:
    """``named``: somebody asked for this very file, so that it has to be of a known kind."""

    path: Path
    named: bool
    data: bytes


def collect(paths: Sequence[Path]) -> tuple[tuple[File, ...], tuple[Finding, ...]]:
    """Each file once, in the order of the paths and of names; and what could not be looked at.

    BadInput for a path that is not there or no regular file, and for a file that is too long or
    must not be read.
    """
    files: dict[str, File] = {}
    unread: list[Finding] = []
    for path, named in _candidates(paths):
        place = os.path.abspath(path)  # noqa: PTH100 - Path.absolute() leaves `..` in it
        if place in files:
            continue
        if path.is_file():
            files[place] = File(path, named, read_bytes(path, MAX_BYTES))
        else:
            unread.append(_unread(path))
    return tuple(files.values()), tuple(unread)


def walk(folder: Path) -> Iterator[Path]:
    """Every entry below ``folder`` that is no folder, by name. BadInput for a closed folder."""
    for root, folders, names in os.walk(folder, onerror=_closed):
        folders[:] = sorted(one for one in folders if one not in PASSED_BY and _is_shown(one))
        yield from (Path(root, name) for name in sorted(names))


def _candidates(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    for path in paths:
        if path.is_dir():
            yield from ((one, False) for one in walk(path) if one.suffix.lower() in SUFFIXES)
        elif path.is_file():
            yield path, True
        else:
            raise BadInput(Problem("a file or a folder", _is(path), _NAME, file=str(path)))


def _is_shown(name: str) -> bool:
    return not name.startswith(".") or name == ".github"


def _closed(error: OSError) -> NoReturn:
    found = error.strerror or str(error)
    raise BadInput(Problem("a folder that can be read", found, _NAME, file=str(error.filename)))


def _is(path: Path) -> str:
    """What ``path`` is instead of a file or a folder."""
    if path.exists():
        return "something else, such as a pipe or a device"
    return "a link to what is not there" if path.is_symlink() else "none there"


def _unread(path: Path) -> Finding:
    remedy = "Nobody knows what it would hold. Remove it, or put a file there."
    return Finding(UNREAD, str(path), "a file", _is(path), remedy, severity="warn")


_NAME = "Name what is there and can be read."
