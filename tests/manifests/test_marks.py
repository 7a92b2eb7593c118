"""By which a file of ours is known, wherever it has been."""

from __future__ import annotations

import pytest

from manifests.folder import is_marked

KEY = "app.kubernetes.io/managed-by"


@pytest.mark.parametrize(
    "line",
    [
        f"{KEY}: greenlight",
        f'{KEY}: "greenlight"',
        f"'{KEY}': 'greenlight'",
        f"{KEY}:  greenlight ",
    ],
)
def test_a_formatter_makes_a_file_nobody_elses(line: str) -> None:
    assert is_marked(f"metadata:\n  labels:\n    {line}\nspec: {{}}\n")


@pytest.mark.parametrize(
    "line", [f"{KEY}: greenlight-x", f"{KEY}: helm", f"# {KEY}: greenlight", f"x{KEY}: greenlight"]
)
def test_what_is_alike_is_somebody_elses(line: str) -> None:
    assert not is_marked(f"metadata:\n  labels:\n    {line}\n")
