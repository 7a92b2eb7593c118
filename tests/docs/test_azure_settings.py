"""The page about an Azure stack's settings is what the models say."""

from __future__ import annotations

import re

from docs.azure_settings import FILE, page


def test_the_page_is_current() -> None:
    """Write it again with ``python -m docs.azure_settings``."""
    assert page() == FILE.read_text()


def test_every_setting_says_what_it_means() -> None:
    """Unit, default and, where it is not plain, the reason."""
    rows = re.findall(r"^\| `\w+` \|.*\|$", page(), re.M)

    assert len(rows) > 60
    assert [row for row in rows if row.endswith("|  |")] == []
