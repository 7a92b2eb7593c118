"""What was found before, by everything that it depended on: said again without looking again."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.cache import cache_folder
from policies.rules.findings import Finding
from policies.source import rules_digest
from release.errors import BadInput
from release.files import read_json, write_json
from release.integrity import canonical, sha256

FORMAT = 1
"""Of what is remembered; raise it when the shape changes."""

KEPT = 64
"""Results remembered, the last ones; each has a few kilobytes."""

Found = tuple[tuple[Finding, ...], dict[str, int]]
"""Findings, and how many files of each kind were judged."""


def memory_of(*parts: Any) -> Path:
    """Where the result is remembered that depends on ``parts`` and on the rules."""
    digest = sha256(canonical([FORMAT, rules_digest(), *parts])).removeprefix("sha256:")
    return cache_folder() / "checks" / f"{digest}.json"


def recall(memory: Path) -> Found | None:
    """What was found; None where that is not known, or the memory is damaged."""
    try:
        known: Any = read_json(memory)
        os.utime(memory)  # what was used last goes last
        return tuple(Finding(**one) for one in known["findings"]), dict(known["files"])
    except (FileNotFoundError, BadInput, KeyError, TypeError):
        return None  # a memory that is lost is made anew


def remember(memory: Path, found: Found) -> None:
    """Keep ``found``, and forget what was not used for longest."""
    memory.parent.mkdir(parents=True, exist_ok=True)
    findings, files = found
    write_json(memory, {"findings": [asdict(one) for one in findings], "files": files})
    others = sorted(memory.parent.glob("*.json"), key=_last_used)
    for old in others[:-KEPT]:
        old.unlink(missing_ok=True)


def _last_used(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # another run has just removed it
        return 0
