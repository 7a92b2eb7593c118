"""The page about facts is what their table says, and the table is about files that there are."""

from __future__ import annotations

from pathlib import Path

from docs.azure_facts import FILE, page
from policies.limits.tables import document


def test_the_page_is_current() -> None:
    """Write it again with ``python -m docs.azure_facts``."""
    assert page() == FILE.read_text()


def test_a_fact_names_a_file_and_a_page_or_says_what_is_not_verified() -> None:
    """Each source is somebody's."""
    data = document("facts")
    root = Path(__file__).resolve().parents[2]

    assert all((root / row["in"]).is_file() for row in data["rules"])
    assert {row["source"] for row in data["rules"]} == set(data["sources"])
