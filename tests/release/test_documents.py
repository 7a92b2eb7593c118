"""YAML as data and nothing more: what is read, what is refused, and where it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from release.documents import (
    MAX_DEPTH,
    MAX_VALUES,
    Document,
    dotted,
    overlay,
    parse_document,
    read_bytes,
    read_document,
)
from release.errors import BadInput, Problem
from tests.tiny import SPEC


def read(text: str | bytes, file: str = "llm.yaml") -> Document:
    return parse_document(text.encode() if isinstance(text, str) else text, file)


def refused(text: str | bytes) -> Problem:
    """The one problem of ``text``."""
    with pytest.raises(BadInput) as caught:
        read(text)
    (problem,) = caught.value.problems
    return problem


SCALARS: list[tuple[str, Any]] = [
    ("no", "no"),
    ("on", "on"),
    ("yes", "yes"),
    ("off", "off"),
    ("y", "y"),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    ("null", None),
    ("~", None),
    ("", None),
    ("12", 12),
    ("-3", -3),
    ("+1", 1),
    ("010", 10),
    ("08", 8),
    ("1e3", 1000.0),
    (".5", 0.5),
    ("1.", 1.0),
    ("0x10", "0x10"),
    ("0o17", "0o17"),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("12:30", "12:30"),
    ("1.2.3", "1.2.3"),
    ("2026-01-01", "2026-01-01"),
    ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00Z"),
    (".inf", ".inf"),
    (".nan", ".nan"),
    ("=", "="),
    ("<<", "<<"),
    ("\u0661", "\u0661"),  # a digit, but none of YAML's
    ("'12'", "12"),
    ('"true"', "true"),
    ('"\\ud83d\\ude00"', "😀"),  # JSON writes what lies beyond 16 bits as a pair
    ("|\n  one\n  two", "one\ntwo\n"),
]


@pytest.mark.parametrize(("written", "value"), SCALARS)
def test_a_scalar_is_what_it_looks_like(written: str, value: Any) -> None:
    """Words and dates stay text, numbers are decimal, and nothing else is guessed."""
    found = read(f"a: {written}\n").value["a"]

    assert (found, type(found)) == (value, type(value))


def test_every_value_has_the_line_of_its_key() -> None:
    """The place is where somebody looks for it: the key's line, counted from 1."""
    document = read("a: 1\n\nb:\n  - c\n  - d: |\n      long\n      text\n")

    assert {dotted(path): line for path, (_, line) in document.places.items()} == {
        "": 1,
        "a": 1,
        "b": 3,
        "b[0]": 4,
        "b[1]": 5,
        "b[1].d": 5,
    }


def test_what_stands_nowhere_has_the_place_of_what_is_around_it() -> None:
    document = read("a: 1\nb:\n  c: 1\n")

    assert document.place(("b", "missing", 3)) == ("llm.yaml", 2)


REFUSED: list[tuple[str, str | bytes, int, str]] = [
    ("empty", "", 1, "a mapping of keys to values"),
    ("only a comment", "# nothing\n", 1, "a mapping of keys to values"),
    ("a list", "- a\n- b\n", 1, "a mapping of keys to values"),
    ("a text", "hello", 1, "a mapping of keys to values"),
    ("null", "~", 1, "a mapping of keys to values"),
    ("anchor", "a: 1\nb: &x 2\n", 2, "no anchor"),
    ("anchor on a mapping", "a: &x\n  b: 1\n", 1, "no anchor"),
    ("alias", "a: 1\nb: *x\n", 2, "no alias"),
    ("merge key", "a: &x {b: 1}\nc:\n  <<: *x\n", 1, "no anchor"),
    ("tag", "a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "no tag"),
    ("local tag", "a: !secret key\n", 1, "no tag"),
    ("plain tag", "a: !!str 1\n", 1, "no tag"),
    ("non-specific tag", "a: ! 1\n", 1, "no tag"),
    ("unknown handle", "a: !x!y 1\n", 1, "YAML"),
    ("two documents", "a: 1\n---\nb: 2\n", 2, "one document"),
    ("duplicate key", "a: 1\nb: 2\na: 3\n", 3, "each key once, as plain text"),
    ("duplicate key inside", "a:\n  b: 1\n  b: 2\n", 3, "each key once, as plain text"),
    ("duplicate key as JSON", '{"a": 1, "a": 2}', 1, "each key once, as plain text"),
    ("a list as a key", "a: 1\n[b]: 2\n", 2, "each key once, as plain text"),
    ("a mapping as a key", "? {a: 1}\n: 2\n", 1, "each key once, as plain text"),
    ("tabs", "a:\n\tb: 1\n", 2, "YAML"),
    ("bracket left open", "a: [1,\nb: 2\n", 3, "YAML"),
    ("bad escape", 'a: 1\nb: "\\xzz"\n', 2, "YAML"),
    ("escape beyond Unicode", 'a: 1\nb: "\\U00110000"\n', 2, "YAML"),
    ("escape beyond C's int", 'a: 1\nb: "\\UFFFFFFFF"\n', 2, "YAML"),
    ("NUL", "a: 1\nb: \0\n", 2, "YAML"),
    ("escape sequence of a terminal", "a: 1\nb: \x1b[31m\n", 2, "YAML"),
    ("a later YAML", "%YAML 9.1\n---\na: 1\n", 1, "YAML"),
    ("half a character", 'a: 1\nb: "\\ud800"\n', 2, "whole characters"),
    ("half a character as a key", 'a: 1\n"\\ud800": 1\n', 2, "whole characters"),
    ("infinite", "a: 1\nb: 1e999\n", 2, "a finite number"),
    ("minus infinity", "a: -1e999\n", 1, "a finite number"),
    ("more digits than Python reads", "a: " + "9" * 5000, 1, "a finite number"),
    ("Latin-1", "a: 1\nb: größer\n".encode("latin-1"), 2, "UTF-8 text"),
    ("UTF-16", "a: 1\n".encode("utf-16"), 1, "UTF-8 text"),
    ("too deep", "a: " + "[" * 20 + "]" * 20, 1, f"at most {MAX_DEPTH} levels"),
    ("100,000 brackets", "a: " + "[" * 100_000, 1, f"at most {MAX_DEPTH} levels"),
    ("100,000 braces", "{a: " * 100_000, 1, f"at most {MAX_DEPTH} levels"),
    ("100,000 dashes", "- " * 100_000, 1, f"at most {MAX_DEPTH} levels"),
    ("deep by indentation", "\n".join(" " * i + "a:" for i in range(99)), 17, "at most 16 levels"),
    ("too many values", "a:\n" + "- 1\n" * 20_000, 19_998, f"at most {MAX_VALUES} values"),
]


@pytest.mark.parametrize(
    ("text", "line", "expected"), [pytest.param(*case, id=name) for name, *case in REFUSED]
)
def test_what_is_not_plain_data_is_refused(text: str | bytes, line: int, expected: str) -> None:
    """Each refusal gives file and line, what was expected, and what to do about it."""
    problem = refused(text)

    assert (problem.file, problem.line, problem.expected) == ("llm.yaml", line, expected)
    assert problem.remedy.endswith(".")


def test_a_refusal_inside_a_section_gives_its_path() -> None:
    assert refused("a:\n  b: 1\n  b: 2\n").path == "a.b"
    assert refused("a:\n  - {b: 1e999}\n").path == "a[0].b"


def test_a_refusal_never_carries_control_characters() -> None:
    """What it says goes to a terminal."""
    for text in ('"\\e[31m": {a: 1, a: 2}', '"\\e[31m": 1\n"\\e[31m": 2', "a: 1\n\x1b: 2"):
        assert str(refused(text)).isprintable()


def test_a_byte_order_mark_and_other_line_ends_change_nothing() -> None:
    """Editors on other systems write these."""
    plain = read("a: 1\nb:\n  c: x\n")

    assert read("\ufeffa: 1\r\nb:\r\n  c: x\r\n") == plain


PATHS: list[tuple[tuple[str | int, ...], str]] = [
    ((), ""),
    (("gates",), "gates"),
    (("gates", 0, "min"), "gates[0].min"),
    (("a-b", "c_d"), "a-b.c_d"),
    (("a.b", "c"), '["a.b"].c'),
    (("", "\x1b[31m"), '[""]["\\u001b[31m"]'),
]


@pytest.mark.parametrize(("path", "text"), PATHS)
def test_a_path_is_written_as_people_write_it(path: tuple[str | int, ...], text: str) -> None:
    assert dotted(path) == text


@pytest.mark.parametrize("make", ["absent", "folder", "large"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, make: str) -> None:
    """Absent, a folder, or larger than its limit: the path, and what to do."""
    path = tmp_path / "llm.yaml"
    if make == "folder":
        path.mkdir()
    if make == "large":
        path.write_bytes(b"x" * 11)

    with pytest.raises(BadInput) as caught:
        read_bytes(path, 10)

    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert problem.remedy


def test_a_document_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "llm.yaml"
    path.write_text("a: 1\n")

    assert read_document(path).place(("a",)) == (str(path), 1)


OVERLAYS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("mappings merge", "a: {b: 1, c: 2}", "a: {c: 3, d: 4}", {"a": {"b": 1, "c": 3, "d": 4}}),
    ("lists are replaced whole", "a: [1, 2, 3]", "a: [4]", {"a": [4]}),
    ("an empty list empties", "a: [1, 2, 3]", "a: []", {"a": []}),
    ("an empty mapping changes nothing", "a: {b: 1}", "a: {}", {"a": {"b": 1}}),
    ("null replaces", "a: {b: 1}", "a: null", {"a": None}),
    ("a text replaces a mapping", "a: {b: 1}", "a: x", {"a": "x"}),
    ("a mapping replaces a text", "a: x", "a: {b: 1}", {"a": {"b": 1}}),
    ("new keys come last", "b: 1", "a: 2", {"b": 1, "a": 2}),
    ("nothing changes nothing", "a: 1", "{}", {"a": 1}),
]


@pytest.mark.parametrize(
    ("base", "change", "value"), [pytest.param(*case, id=name) for name, *case in OVERLAYS]
)
def test_an_overlay(base: str, change: str, value: dict[str, Any]) -> None:
    laid = overlay(read(base), read(change)).value

    assert laid == value
    assert list(laid) == list(value)


def test_each_value_of_an_overlay_keeps_the_place_where_it_was_written() -> None:
    """An error about a value names the file that decided it."""
    laid = overlay(
        read("a:\n  b: 1\n  c: [1, 2]\n"), read("\n\na:\n  c:\n    - 3\n  d: 1\n", "with.yaml")
    )

    assert laid.places == {
        (): ("llm.yaml", 1),
        ("a",): ("llm.yaml", 1),
        ("a", "b"): ("llm.yaml", 2),
        ("a", "c"): ("with.yaml", 4),
        ("a", "c", 0): ("with.yaml", 5),
        ("a", "d"): ("with.yaml", 6),
    }


def test_a_replaced_part_leaves_no_place_behind() -> None:
    laid = overlay(read("a: {b: [1, 2]}\n"), read("a: x\n", "with.yaml"))

    assert set(laid.places) == {(), ("a",)}


keys = st.text("abcé .:#-\n", min_size=1, max_size=4)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
mappings = st.dictionaries(keys, json_values, max_size=4)


@given(mappings)
def test_json_is_read_as_what_it_says(value: dict[str, Any]) -> None:
    """JSON is YAML: what a program wrote is read back as it was."""
    assert read(json.dumps(value)).value == value


def paths(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    if isinstance(value, list):
        items = enumerate(value)
    return {path}.union(*(paths(one, (*path, key)) for key, one in items))


def merged(base: Any, change: Any) -> Any:
    """What an overlay means, in the fewest words."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return {**base, **{k: merged(base[k], v) if k in base else v for k, v in change.items()}}


@given(mappings, mappings)
def test_an_overlay_is_the_merge_and_every_value_of_it_has_a_place(
    base: dict[str, Any], change: dict[str, Any]
) -> None:
    laid = overlay(read(json.dumps(base)), read(json.dumps(change), "with.yaml"))

    assert laid.value == merged(base, change)
    assert set(laid.places) == paths(laid.value)


yaml_like = st.text("ab:-?[]{}&*!|>'\"%@`#,\n\t \\x0U~<=\r\ufeff\u2028\x85", max_size=40)
mutated = st.builds(
    lambda at, cut, text: SPEC[:at] + text + SPEC[at + cut :],
    st.integers(0, len(SPEC)),
    st.integers(0, 40),
    yaml_like,
)


def problems_or_document(data: bytes) -> tuple[Problem, ...] | Document:
    try:
        return read(data)
    except BadInput as error:
        return error.problems


@given(yaml_like.map(str.encode) | mutated.map(str.encode) | st.binary(max_size=60))
@example(b'a: "\\U00110000"')
@example(b"a: 08")
@example(b"? ? ? a")
@example(b"%TAG ! x\n---\na: 1")
@example("\ud800".encode("utf-8", "surrogatepass"))
def test_anything_is_a_document_or_bad_input(data: bytes) -> None:
    """Whatever is in the file, nothing but BadInput comes out of reading it."""
    found = problems_or_document(data)

    if isinstance(found, Document):
        assert set(found.places) == paths(found.value)
        json.dumps(found.value, allow_nan=False).encode()
    else:
        assert all(one.file and one.line and one.remedy for one in found)
