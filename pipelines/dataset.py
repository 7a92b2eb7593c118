"""Evaluation data: JSONL with ``query``, ``context``, ``ground_truth`` and ``tags``.

The keys are azure-ai-evaluation's. A row that cannot be used is an error with its line: a set
that silently shrinks would change what a score means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from release.documents import read_bytes
from release.errors import BadInput, Problem
from release.integrity import canonical, sha256

MAX_BYTES = 256 << 20  # held in memory at once; larger sets belong to a batch engine
MAX_CASES = 100_000
UNANSWERABLE = "unanswerable"

_KEYS = ("query", "context", "ground_truth", "tags", "id")


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
    data = read_bytes(path, MAX_BYTES)
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(Problem(file=str(path), line=line, expected="UTF-8 text")) from error
    rows = [_row(line, str(path), i) for i, line in enumerate(lines, 1) if line.strip()]
    problems = [row for row in rows if isinstance(row, Problem)]
    cases = tuple(row for row in rows if isinstance(row, Case))
    problems += _repeated(cases, str(path))
    if not problems and not 0 < len(cases) <= MAX_CASES:
        problems = [
            Problem(file=str(path), expected=f"1 to {MAX_CASES} cases", found=str(len(cases)))
        ]
    if problems:
        raise BadInput(*problems[:20])
    content = b"".join(canonical(_plain(case)) + b"\n" for case in cases)
    return Dataset(cases, sha256(content), content)


def _plain(case: Case) -> dict[str, Any]:
    return {key: getattr(case, key) for key in _KEYS}


def _repeated(cases: tuple[Case, ...], file: str) -> list[Problem]:
    seen: set[str] = set()
    repeated = [case.id for case in cases if case.id in seen or seen.add(case.id)]  # type: ignore[func-returns-value]
    return [Problem(file=file, path="id", expected="each id once", found=id) for id in repeated]


def _row(line: str, file: str, number: int) -> Case | Problem:
    try:
        row = json.loads(line)
    except ValueError as error:
        return Problem(
            file=file,
            line=number,
            expected="one JSON object a line",
            found=str(error),
            remedy="Mend the row or remove it.",
        )
    if not isinstance(row, dict):
        return Problem(file=file, line=number, expected="a JSON object", found=type(row).__name__)
    unknown = sorted(set(row) - set(_KEYS))
    if unknown:
        return Problem(
            file=file,
            line=number,
            path=unknown[0],
            expected=f"only the keys {', '.join(_KEYS)}",
            found=", ".join(unknown),
        )
    return _case(row, file, number)


def _case(row: dict[str, Any], file: str, number: int) -> Case | Problem:
    def wrong(key: str, expected: str) -> Problem:
        found = type(row[key]).__name__ if key in row else "nothing"
        return Problem(file=file, line=number, path=key, expected=expected, found=found)

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
    return Case(
        id=row.get("id") or f"line-{number}",
        query=row["query"],
        context=row.get("context", ""),
        ground_truth=row["ground_truth"],
        tags=tuple(tags),
        line=number,
    )
