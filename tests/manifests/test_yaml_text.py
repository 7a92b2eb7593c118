"""A value in a manifest is that value, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined
from jinja2.exceptions import UndefinedError

from manifests.yaml_text import Text, block, scalar

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("web", "web"), ("no", '"no"'), ("Y", '"Y"'), ("1.20", '"1.20"'), ("", '""'), (3, "3"),
        (True, "true"), (None, "null"), ("a: b", '"a: b"'), ("- x", '"- x"'), ("a\nb", '"a\\nb"'),
        ([1, "x"], "[1, x]"), (Text("as: it is"), "as: it is"), ("0x1f", '"0x1f"'),
    ],
)  # fmt: skip
def test_a_scalar_is_quoted_where_it_has_to_be(value: Any, written: str) -> None:
    """And nowhere else, for people read it."""
    assert scalar(value) == written


@given(VALUES)
def test_every_value_is_read_back_as_it_was(value: Any) -> None:
    """In a line, and in a block."""
    assert yaml.safe_load(f"a: {scalar(value)}")["a"] == value


@given(st.dictionaries(TEXTS, VALUES, max_size=4) | st.lists(VALUES, max_size=4))
def test_every_block_is_read_back_as_it_was(value: Any) -> None:
    """Nested as it may be."""
    assert yaml.safe_load(f"a:{block(value, 2)}\nb: 1\n") == {"a": value, "b": 1}


@given(TEXTS)
def test_no_text_gets_out_of_its_place_in_a_template(text: str) -> None:
    """It adds no key, no item and no document."""
    environment = Environment(finalize=scalar, undefined=StrictUndefined, autoescape=False)
    template = environment.from_string("a: {{ text }}\nb: [{{ text }}]\n")

    assert yaml.safe_load(template.render(text=text)) == {"a": text, "b": [text]}


def test_what_is_not_there_is_an_error() -> None:
    """Never an empty place."""
    environment = Environment(finalize=scalar, undefined=StrictUndefined, autoescape=False)

    with pytest.raises(UndefinedError):
        environment.from_string("a: {{ nothing }}").render()
