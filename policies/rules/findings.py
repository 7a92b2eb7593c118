"""What a rule says about an input, and how it says it without repeating what it found.

Findings are printed, logged and signed into evidence. So they hold kind and place, never the
personal datum or the secret itself, and nothing that a hostile file chose reaches a terminal
unescaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["refuse", "warn"]


@dataclass(frozen=True)
class Finding:
    """One thing that a rule has against one input.

    ``rule`` is a stable id such as ``GL-LICENSE-001``. ``line`` counts from 1; None means that
    the file has no lines. ``refuse`` stops a release, ``warn`` is shown and recorded.
    ``resource`` names what in the file it is about, ``guideline`` is the page it comes from.
    """

    rule: str
    file: str
    expected: str
    found: str
    remedy: str
    severity: Severity = "refuse"
    line: int | None = None
    resource: str = ""
    guideline: str = ""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        name = shown(self.resource.rpartition("::")[2])
        where += f" {name}" if name and not self.found.startswith(f"{name} ") else ""
        said = f"expected {self.expected}, found {self.found}"
        return f"{self.rule} {where}: {said}. {self.remedy}"


def by_place(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """In the order in which somebody would mend them: by file, line, rule, resource."""
    return tuple(sorted(findings, key=lambda f: (f.file, f.line or 0, f.rule, f.resource)))


def refusals(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those of ``findings`` that stop a release."""
    return tuple(finding for finding in findings if finding.severity == "refuse")


def shown(text: str, limit: int = 80) -> str:
    """``text`` as it may be printed: control characters escaped, at most ``limit`` characters."""
    cut = text[:limit]
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return safe if len(text) <= limit else f"{safe}..."
