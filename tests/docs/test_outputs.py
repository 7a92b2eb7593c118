"""The page about a stack's outputs, and their schema, are what the models say."""

from __future__ import annotations

import re

from docs.outputs import FILE, SCHEMA, page, schema


def test_page_and_schema_are_current() -> None:
    """Write them again with ``python -m docs.outputs``."""
    assert page() == FILE.read_text()
    assert schema() == SCHEMA.read_text()


def test_every_output_says_what_it_is() -> None:
    """No row of a table ends with an empty meaning."""
    rows = re.findall(r"^\| `\w+` \|.*\|$", page(), re.M)

    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []
