"""The page about an Azure stack's settings is what the models say."""

from __future__ import annotations

import re

from docs.azure_settings import FILE, WHY, page
from infra.azure.settings import AzureSettings

NOTHING: tuple[object, ...] = (None, "", [], {})
"""Defaults that need no reason: nothing is made, or limited, unless it is asked for."""


def test_the_page_is_current() -> None:
    """Write it again with ``python -m docs.azure_settings``."""
    assert page() == FILE.read_text()


def test_every_setting_says_what_it_means() -> None:
    """Unit, default and, where it is not plain, the reason."""
    rows = re.findall(r"^\| `\w+` \|.*\|$", page(), re.M)

    assert len(rows) > 60
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_default_has_its_reason_and_no_reason_is_left_over() -> None:
    """Whoever adds a setting says why it starts as it does."""
    schema = AzureSettings.model_json_schema(by_alias=True)
    defaults = {
        f"{name}.{key}"
        for name, model in {"AzureSettings": schema, **schema["$defs"]}.items()
        for key, value in model["properties"].items()
        if "$ref" not in value and value.get("default") not in NOTHING
    }

    assert set(WHY) == defaults
