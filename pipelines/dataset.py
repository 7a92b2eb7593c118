"""Evaluation data: JSONL with ``query``, ``context``, ``ground_truth`` and ``tags``.

The keys are azure-ai-evaluation's. A row that cannot be used is an error with its line: a set
that silently shrinks would change what a score means.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from release.documents import decode_text, read_bytes
from release.errors import BadInput, Problem
from release.integrity import canonical, sha256

MAX_BYTES = 256 << 20  # held in memory at once; larger sets belong to a batch engine
MAX_CASES = 100_000
UNANSWERABLE = "unanswerable"

_KEYS = ("query", "context", "ground_truth", "tags", "id")
_MEND = "Mend the row or remove it."


@dataclass(frozen=True)
class Case:
    """One question, and the ``line`` of its file that holds it."""

    id: str
    query: str
    context: str
    ground_truth: str
    tags: tuple[str, ...] = ()
    line: int = field(default=1, compare=False)

    @property
    def answerable(self) -> bool:
        """Whether the context holds the answer; else the right answer is to refuse."""
        return UNANSWERABLE not in self.tags


@dataclass(frozen=True)
class Dataset:
    """The cases in their order, with a digest over their content."""

    cases: tuple[Case, ...]
    digest: str
    content: bytes


def read_dataset(path: Path) -> Dataset:
    """The cases in ``path``. BadInput names every row that cannot be used."""
    lines = decode_text(read_bytes(path, MAX_BYTES), str(path)).split("\n")
    rows = [_row(line, str(path), i) for i, line in enumerate(lines, 1) if line.strip()]
    problems = [row for row in rows if isinstance(row, Problem)]
    cases = tuple(row for row in rows if isinstance(row, Case))
    problems += _repeated(cases, str(path))
    if not problems and not 0 < len(cases) <= MAX_CASES:
        problems = [
            Problem(
                file=str(path),
                line=1,
                expected=f"1 to {MAX_CASES} cases",
                found=str(len(cases)),
                remedy="Write one case a line, or take a sample.",
            )
        ]
    if problems:
        raise BadInput(*problems[:20])
    content = b"".join(canonical(_plain(case)) + b"\n" for case in cases)
    return Dataset(cases, sha256(content), content)


def _plain(case: Case) -> dict[str, Any]:
    return {key: getattr(case, key) for key in _KEYS}


def _repeated(cases: tuple[Case, ...], file: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for case in cases:
        if case.id in first:
            yield Problem(
                file=file,
                line=case.line,
                path="id",
                expected="each id once",
                found=f"{case.id[:60]!r}, which line {first[case.id]} has",
                remedy="Give it another id.",
            )
        first.setdefault(case.id, case.line)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        raise ValueError("a key that is given twice")
    return row


def _row(line: str, file: str, number: int) -> Case | Problem:
    try:
        row = json.loads(line, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        return Problem(
            file=file,
            line=number,
            expected="one JSON object a line",
            found=str(error),
            remedy=_MEND,
        )
    if not isinstance(row, dict):
        return Problem(
            file=file,
            line=number,
            expected="a JSON object",
            found=type(row).__name__,
            remedy='Write {"query": ..., "ground_truth": ...}.',
        )
    unknown = sorted(set(row) - set(_KEYS))
    if unknown:
        return Problem(
            file=file,
            line=number,
            path=unknown[0][:60],
            expected=f"only the keys {', '.join(_KEYS)}",
            found=", ".join(unknown)[:200],
            remedy="Remove the others: nothing would read them.",
        )
    return _case(row, file, number)


def _case(row: dict[str, Any], file: str, number: int) -> Case | Problem:
    def wrong(key: str, expected: str) -> Problem:
        found = type(row[key]).__name__ if key in row else "nothing"
        return Problem(
            file=file, line=number, path=key, expected=expected, found=found, remedy=_MEND
        )

    for key in ("query", "ground_truth"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            return wrong(key, "text that is not empty")
    if not isinstance(row.get("context", ""), str):
        return wrong("context", "text")
    tags = row.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        return wrong("tags", "a list of texts")
    if not isinstance(row.get("id", ""), str):
        return wrong("id", "text")
    case = Case(
        id=row.get("id") or f"line-{number}",
        query=row["query"],
        context=row.get("context", ""),
        ground_truth=row["ground_truth"],
        tags=tuple(tags),
        line=number,
    )
    try:
        canonical(_plain(case))
    except UnicodeEncodeError:  # JSON can hold half of a surrogate pair, and nothing else can
        return Problem(
            file=file, line=number, expected="whole characters", found="half of one", remedy=_MEND
        )
    return case
