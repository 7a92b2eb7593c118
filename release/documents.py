"""YAML as data and nothing more, with the line of every value.

YAML can carry references that grow without bound, tags that build objects, and words that
turn into booleans. A file that decides what customers get has none of these: scalars follow
YAML 1.2's core schema with decimal, finite numbers only, and size, depth and number of values
are capped.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from release.errors import BadInput, Problem

MAX_BYTES = 1 << 20  # a hand-written file of 1 MiB is a mistake
MAX_DEPTH = 16  # twice what the deepest section of the schema needs
MAX_VALUES = 20_000  # bounds time and memory of everything that walks the document

Key = str | int
Place = tuple[str, int]  # file, line counted from 1


class _CoreSchema(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's core scalars: `no` and `2026-01-01` stay text."""


_CoreSchema.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
):
    _CoreSchema.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("out of range")
    return value


def _whole_characters(text: str) -> str:
    """``text`` with escaped surrogate pairs joined, as JSON has them; ValueError for a half."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16")


_SCALARS: Mapping[str, Callable[[str], Any]] = {
    "str": _whole_characters,
    "bool": lambda text: text.lower() == "true",
    "int": int,  # decimal, with zeros in front as well: PyYAML's own reads 010 as 8
    "float": _finite,
    "null": lambda text: None,
}
_OUTSIDE_UNICODE = re.compile(r"\\U(?!000[0-9A-Fa-f]|0010)")


@dataclass(frozen=True)
class Document:
    """A mapping read from a file; ``places`` says for each path where it was written."""

    value: dict[str, Any]
    places: Mapping[tuple[Key, ...], Place] = field(default_factory=dict)

    def place(self, path: tuple[Key, ...]) -> Place:
        """Where ``path`` stands, or the nearest thing around it that stands somewhere."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, ("", 1))


def read_document(path: Path) -> Document:
    """The mapping in ``path``. BadInput says file, line and what to do; nothing is guessed."""
    return parse_document(read_bytes(path), str(path))


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of ``path``, at most ``limit``. BadInput when absent, unreadable or larger."""
    try:
        with path.open("rb") as handle:
            data = handle.read(limit + 1)
    except OSError as error:
        raise BadInput(
            Problem(
                file=str(path),
                expected="a readable file",
                found=error.strerror or str(error),
                remedy="Check the path and its permissions.",
            )
        ) from error
    if len(data) > limit:
        raise BadInput(
            Problem(
                file=str(path),
                expected=f"at most {limit} bytes",
                found="more",
                remedy="Check that this is the file that is meant.",
            )
        )
    return data


def parse_document(data: bytes, file: str) -> Document:
    """As ``read_document``, from bytes; ``file`` is the name that errors give."""
    text = decode_text(data, file)
    try:
        _refuse_what_is_not_data(text, file)
        node = yaml.compose(text, Loader=_CoreSchema)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise BadInput(_not_yaml(error, text, file)) from error
    if not isinstance(node, yaml.MappingNode):
        raise BadInput(
            Problem(
                file=file,
                line=1,
                expected="a mapping of keys to values",
                found="nothing" if node is None else "something else",
                remedy="Begin with `key: value`.",
            )
        )
    places: dict[tuple[Key, ...], Place] = {}
    return Document(_value(node, (), file, places), places)


def decode_text(data: bytes, file: str) -> str:
    """The UTF-8 text in ``data``, without a byte order mark; BadInput names file and line."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise BadInput(
            Problem(
                file=file,
                line=data[: error.start].count(b"\n") + 1,
                expected="UTF-8 text",
                found=f"the byte 0x{data[error.start]:02x}",
                remedy="Save the file as UTF-8.",
            )
        ) from error


def _not_yaml(error: Exception, text: str, file: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        line, found = _line(error.problem_mark), f"a mistake ({error.problem})"
    elif isinstance(error, yaml.reader.ReaderError):
        line, found = text.count("\n", 0, error.position) + 1, "a control character"
    else:  # the loader hands every \\U escape to chr(), whatever its number
        escape = _OUTSIDE_UNICODE.search(text)
        line = text.count("\n", 0, escape.start() if escape else 0) + 1
        found = "an escape for what is no character"
    return Problem(
        file=file,
        line=line,
        expected="YAML",
        found=found,
        remedy="Mend the line, or the one before it.",
    )


def _refuse_what_is_not_data(text: str, file: str) -> None:
    """Walk the events, which cost no more than the text, before anything is built of them."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=_CoreSchema)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        expected, remedy = _objection(event, depth, count, documents)
        if expected:
            line = _line(event.start_mark)
            raise BadInput(Problem(file=file, line=line, expected=expected, remedy=remedy))


def _objection(event: yaml.Event, depth: int, count: int, documents: int) -> tuple[str, str]:
    """What should be instead of ``event``, and what to do; empty when nothing is wrong."""
    if isinstance(event, yaml.AliasEvent):
        return "no alias", "Write the value out."
    if getattr(event, "anchor", None):
        return "no anchor", "Remove it, and write the value out wherever it is meant."
    if getattr(event, "tag", None):
        return "no tag", "Remove it: a value says by itself whether it is text or a number."
    if depth > MAX_DEPTH:
        return f"at most {MAX_DEPTH} levels", "Nothing here needs more; look for a stray bracket."
    if count > MAX_VALUES:
        return f"at most {MAX_VALUES} values", "Check that this is the file that is meant."
    if documents > 1:
        return "one document", "Remove the --- before the second, or the second."
    return "", ""


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 1


def _value(
    node: yaml.Node, path: tuple[Key, ...], file: str, places: dict[tuple[Key, ...], Place]
) -> Any:
    places[path] = (file, _line(node.start_mark))
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, i), file, places) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return dict(_items(node, path, file, places))
    return _scalar(node, path, file)


def _scalar(node: yaml.Node, path: tuple[Key, ...], file: str, kind: str | None = None) -> Any:
    """Text, number, boolean or None, as the node's tag says; ``kind`` overrides the tag."""
    kind = kind or node.tag.rpartition(":")[2]
    try:
        return _SCALARS[kind](node.value)
    except ValueError as error:
        raise BadInput(
            Problem(
                file=file,
                line=_line(node.start_mark),
                path=dotted(path),
                expected="whole characters" if kind == "str" else "a finite number",
                found=json.dumps(node.value[:60]),
                remedy="Correct it, or put it in quotes if it is text.",
            )
        ) from error


def _items(
    node: yaml.MappingNode,
    path: tuple[Key, ...],
    file: str,
    places: dict[tuple[Key, ...], Place],
) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        line = _line(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode):
            raise BadInput(_bad_key(file, line, path, "a structure"))
        key = _scalar(key_node, path, file, "str")
        if key in seen:
            raise BadInput(_bad_key(file, line, (*path, key), "the same key again"))
        seen.add(key)
        value = _value(value_node, (*path, key), file, places)
        places[(*path, key)] = (file, line)
        yield key, value


def _bad_key(file: str, line: int, path: tuple[Key, ...], found: str) -> Problem:
    return Problem(
        file=file,
        line=line,
        path=dotted(path),
        expected="each key once, as plain text",
        found=found,
        remedy="Keep one of them." if "again" in found else "Write one word before the colon.",
    )


def dotted(path: tuple[Key, ...]) -> str:
    """``("gates", 0, "min")`` as ``gates[0].min``; keys that are no words stand in quotes."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif not re.fullmatch(r"[\w-]+", key):
            text += f"[{json.dumps(key[:60])}]"
        else:
            text += f".{key}" if text else key
    return text


def undotted(text: str) -> tuple[Key, ...]:
    """The path that ``dotted`` wrote, where its keys are words."""
    found = re.findall(r"\[(\d+)\]|([\w-]+)", text)
    return tuple(int(index) if index else word for index, word in found)


def overlay(base: Document, change: Document) -> Document:
    """``change`` laid over ``base``: mappings merge, everything else is replaced whole."""
    replaced: set[tuple[Key, ...]] = set()
    value = _merge(base.value, change.value, (), replaced)
    kept = {path: place for path, place in base.places.items() if not _within(path, replaced)}
    new = {path: place for path, place in change.places.items() if _within(path, replaced)}
    return Document(value, kept | new)


def _merge(base: Any, change: Any, path: tuple[Key, ...], replaced: set[tuple[Key, ...]]) -> Any:
    """The merged value; ``replaced`` gets the path of each part that ``change`` decided."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        replaced.add(path)
        return change
    merged = dict(base)
    for key, value in change.items():
        merged[key] = _merge(base.get(key), value, (*path, key), replaced)
    return merged


def _within(path: tuple[Key, ...], replaced: set[tuple[Key, ...]]) -> bool:
    return any(path[:depth] in replaced for depth in range(len(path) + 1))
