"""Logs that stay small, and the few words of them that explain a crash.

Processes write to their log themselves, so that it survives the supervisor; the supervisor
only cuts it. They append, so after a cut they go on at its beginning.
"""

from __future__ import annotations

import os
from pathlib import Path

LIMIT = 5 * 1024 * 1024
"""Bytes of a log before it is moved aside. One old one is kept."""

TAIL_BYTES, TAIL_LINES, LINE_LIMIT = 4096, 2, 300


def size(log: Path) -> int:
    """Bytes in ``log``; 0 when there is none."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def rotate(folder: Path, limit: int = LIMIT) -> None:
    """Cut every log in ``folder`` that has grown over ``limit`` bytes, keep its end as ``.1``."""
    for log in folder.glob("*.log"):
        if size(log) <= limit:
            continue
        with log.open("rb+") as handle:
            handle.seek(-limit, os.SEEK_END)
            log.with_suffix(".log.1").write_bytes(handle.read(limit))
            handle.truncate(0)


def tail(log: Path, since: int = 0) -> str:
    """The last words in ``log`` after byte ``since``, on one line. Empty when there are none."""
    try:
        with log.open("rb") as handle:
            end = handle.seek(0, os.SEEK_END)
            handle.seek(max(end - TAIL_BYTES, since if since <= end else 0))
            text = handle.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip()[:LINE_LIMIT] for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-TAIL_LINES:])
