"""The page about llm.yaml is what the models say."""

from __future__ import annotations

import re
from pathlib import Path

from docs.reference import FILE, page

DECISIONS = Path(__file__).resolve().parent.parent.parent / "docs/decisions"


def test_the_page_is_current() -> None:
    """Write it again with ``python docs/reference.py``."""
    assert page() == FILE.read_text()


def test_every_field_says_what_it_means() -> None:
    """No row of a table ends with an empty meaning."""
    rows = re.findall(r"^\| `\w+` \|.*\|$", page(), re.M)

    assert [row for row in rows if row.endswith("|  |")] == []


def test_decisions_are_numbered_without_gaps() -> None:
    """So that a link to one stays a link to it."""
    numbers = sorted(int(path.name[:4]) for path in DECISIONS.glob("*.md"))

    assert numbers == list(range(1, len(numbers) + 1))
