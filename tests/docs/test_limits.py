"""The page about limits is what the tables say."""

from __future__ import annotations

from docs.limits import FILE, page


def test_the_page_is_current() -> None:
    """Write it again with ``python -m docs.limits``."""
    assert page() == FILE.read_text()
