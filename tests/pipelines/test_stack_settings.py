"""The stack's settings: the checkout's are refused when they are wrong, the engine's made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.stack_settings import app_of_the_stack, last_given
from release.errors import BadInput


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("config:\n  greenlight:app: [", "Pulumi.local.yaml:"),
        ("", "Pulumi.local.yaml"),
        ("config: a\n", "config: expected a mapping, found 'a'"),
        ("config:\n  greenlight:app: 3\n", "config.greenlight:app: expected the folder"),
        ("config:\n  greenlight:app: nowhere\n", "found 'nowhere'"),
        ("config: {}\n", "config.greenlight:app: expected the folder"),
    ],
)
def test_stack_settings_that_cannot_be_used_are_bad_input(
    tmp_path: Path, text: str, says: str
) -> None:
    """File and line, and no traceback."""
    file = tmp_path / "infra/stacks/Pulumi.local.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)

    with pytest.raises(BadInput) as caught:
        app_of_the_stack(tmp_path)

    assert says in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "a: [", "- x", "config: 3\n", "config: [a]\n"])
def test_settings_of_the_last_run_that_are_lost_or_damaged_are_empty(
    tmp_path: Path, text: str | None
) -> None:
    """They are written at every run: nothing stops for them."""
    file = tmp_path / "Pulumi.local.yaml"
    if text is not None:
        file.write_text(text)

    assert last_given(file) == {"config": {}}
