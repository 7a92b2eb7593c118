"""The page about targets is what the conformance suite says."""

from __future__ import annotations

import pytest

from docs.targets import FILE, behaviours, page


def test_the_page_is_current() -> None:
    """Write it again with ``python -m docs.targets``."""
    assert page() == FILE.read_text()


@pytest.mark.parametrize("name", behaviours())
def test_every_behaviour_is_written_out(name: str) -> None:
    """A row that says nothing promises nothing."""
    assert behaviours()[name]
