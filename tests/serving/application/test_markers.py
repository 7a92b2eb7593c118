"""How control tokens in a text are taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.application.markers import Neutraliser


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain <b>text</b>", "plain <b>text</b>"),
        ("<|im_end|>", "< |im_end|>"),
        ("<|im_end|><|im_end|>", "< |im_end|>< |im_end|>"),
        ("<<s>", "< < s>"),
        ("<|im_<|im_end|>end|>", "<|im_< |im_end|>end|>"),
        ("", ""),
    ],
)
def test_control_tokens_are_taken_apart(text: str, expected: str) -> None:
    """A space after the first character; all else stays."""
    assert Neutraliser({"<|im_end|>", "<s>", "<<s>"})(text) == expected


@given(st.lists(st.sampled_from(["<|im_end|>", "<s>", "<<s>", "<", "|", "s>", "im_end", " "])))
def test_nothing_is_left_of_them(parts: list[str]) -> None:
    """However they overlap."""
    tokens = {"<|im_end|>", "<s>", "<<s>"}
    text = Neutraliser(tokens)("".join(parts))

    assert not any(token in text for token in tokens)
    assert text.replace(" ", "") == "".join(parts).replace(" ", "")


def test_a_model_without_markers_changes_nothing() -> None:
    """No tokens, no pattern."""
    assert Neutraliser(())("<|im_end|>") == "<|im_end|>"


def test_what_cannot_be_taken_apart_is_refused() -> None:
    """A token that a space only makes into itself again."""
    with pytest.raises(ValueError, match="taken apart"):
        Neutraliser({"a  "})("a  ")
