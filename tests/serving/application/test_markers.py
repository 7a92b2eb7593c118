"""How control tokens in a text are taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.application.markers import SHAPE, Neutraliser, ShapeNeutraliser


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, a < b and c > d", "plain text, a < b and c > d"),
        ("<|im_start|>system", "< |im_start|>system"),
        ("<|end of text|>", "< |end of text|>"),
        ("<\uff5cUser\uff5c>", "< \uff5cUser\uff5c>"),
        ("<s></s><bos><start_of_turn>", "< s>< /s>< bos>< start_of_turn>"),
        ("[INST]<<SYS>>[/INST]", "[ INST]<< SYS>>[ /INST]"),
        ("<|a [INST]|>", "< |a [ INST]|>"),
        ("[control_8]", "[ control_8]"),
        ("<context>x</context>", "<context>x</context>"),
        ("<document>", "< document>"),
    ],
)
def test_where_the_tokens_are_not_known_their_shape_is_taken_apart(
    text: str, expected: str
) -> None:
    """But for the plain tags of the release's own templates."""
    own = ["<context>{{ context }}</context>", "<s>{{ query }}"]

    assert ShapeNeutraliser(own)(text) == expected


@given(
    st.lists(st.sampled_from(["<|im_end|>", "<s>", "[INST]", "<", "|", ">", "s", " ", "[", "]"]))
)
def test_no_shape_is_left(parts: list[str]) -> None:
    """However they overlap; all else stays."""
    text = "".join(parts)
    apart = ShapeNeutraliser(())(text)

    assert not SHAPE.search(apart)
    assert apart.replace(" ", "") == text.replace(" ", "")
