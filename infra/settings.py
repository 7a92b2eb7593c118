"""The stack's settings, read in one place.

| setting | meaning | default |
|---|---|---|
| greenlight:target | what the stack provisions: local | none: an unknown target is refused |
| greenlight:app | the application's folder, absolute or from the checkout | none |
| greenlight:with | files laid over llm.yaml, one a line | none |
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from release.errors import BadInput, Problem

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class StackSettings:
    """What a stack is told. Paths are absolute."""

    target: str
    app: Path
    changes: tuple[Path, ...]


def parse_settings(target: str, app: str, changes: str, root: Path = ROOT) -> StackSettings:
    """The settings from their texts. BadInput for an unknown target or a missing folder."""
    if target != "local":
        raise BadInput(
            Problem(
                path="greenlight:target",
                expected="local",
                found=repr(target),
                remedy="This version provisions local environments only.",
            )
        )
    folder = (root / app).resolve()
    if not folder.is_dir():
        raise BadInput(
            Problem(
                path="greenlight:app",
                expected="the folder of an application",
                found=str(folder),
                remedy="Give a path that exists, absolute or from the checkout.",
            )
        )
    lines = tuple((root / line).resolve() for line in changes.splitlines() if line)
    return StackSettings(target, folder, lines)
