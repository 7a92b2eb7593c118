"""Building the tiny application, and the one mistake that it was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.build import Built, Sources, build
from pipelines.cache import ModelCache
from release.errors import BadInput, Problem
from release.spec import load_spec


def built(app: Path, *changes: Path) -> Built:
    cache = ModelCache(app.parent / "cache", 1 << 30)
    return build(load_spec(app, changes), Sources(app, changes), cache)


def digest(app: Path, *changes: Path) -> str:
    return built(app, *changes).release.digest


def problem(app: Path, *changes: Path) -> Problem:
    with pytest.raises(BadInput) as caught:
        built(app, *changes)
    (one,) = caught.value.problems
    return one


def with_file(app: Path, text: str, name: str = "with.yaml") -> Path:
    path = app.parent / name
    path.write_text(text)
    return path


def line_of(app: Path, text: str) -> int:
    """The line of llm.yaml that begins with ``text``."""
    lines = (app / "llm.yaml").read_text().splitlines()
    return 1 + next(i for i, line in enumerate(lines) if line.strip().startswith(text))
