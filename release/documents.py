"""YAML as data and nothing more, with the line of every value.

YAML can carry references that grow without bound, tags that build objects, and words that
turn into booleans. A file that decides what customers get has none of these: scalars follow
YAML 1.2's core schema, and size, depth and number of values are capped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
        raise BadInput(Problem(file=str(path), expected=f"at most {limit} bytes", found="more"))
    return data


def parse_document(data: bytes, file: str) -> Document:
    """As ``read_document``, from bytes; ``file`` is the name that errors give."""
    try:
        text = data.decode("utf-8")
        _refuse_what_is_not_data(text, file)
        node = yaml.compose(text, Loader=_CoreSchema)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadInput(Problem(file=file, line=line, expected="UTF-8 text")) from error
    except yaml.MarkedYAMLError as error:
        raise BadInput(
            Problem(
                file=file,
                line=_line(error.problem_mark),
                expected="YAML",
                found=error.problem or "something else",
            )
        ) from error
    except yaml.YAMLError as error:
        raise BadInput(Problem(file=file, expected="YAML", found=str(error))) from error
    if not isinstance(node, yaml.MappingNode):
        raise BadInput(Problem(file=file, line=1, expected="a mapping of keys to values"))
    places: dict[tuple[Key, ...], Place] = {}
    return Document(_value(node, (), file, places), places)


def _refuse_what_is_not_data(text: str, file: str) -> None:
    """Walk the events, which cost no more than the text, before anything is built of them."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=_CoreSchema)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        expected = (
            "no alias"
            if isinstance(event, yaml.AliasEvent)
            else "no anchor"
            if getattr(event, "anchor", None)
            else "no tag"
            if getattr(event, "tag", None)
            else f"at most {MAX_DEPTH} levels"
            if depth > MAX_DEPTH
            else f"at most {MAX_VALUES} values"
            if count > MAX_VALUES
            else "one document"
            if documents > 1
            else ""
        )
        if expected:
            raise BadInput(
                Problem(
                    file=file,
                    line=_line(event.start_mark),
                    expected=expected,
                    remedy="Write the values out plainly.",
                )
            )


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
    return _CoreSchema("").construct_object(node)


def _items(
    node: yaml.MappingNode,
    path: tuple[Key, ...],
    file: str,
    places: dict[tuple[Key, ...], Place],
) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key, line = key_node.value, _line(key_node.start_mark)
        if not isinstance(key_node, yaml.ScalarNode) or key in seen:
            raise BadInput(
                Problem(
                    file=file,
                    line=line,
                    path=dotted(path),
                    expected="each key once, as plain text",
                    found=f"{key!r} again" if isinstance(key, str) else "a structure as a key",
                )
            )
        seen.add(key)
        value = _value(value_node, (*path, key), file, places)
        places[(*path, key)] = (file, line)
        yield key, value


def dotted(path: tuple[Key, ...]) -> str:
    """``("gates", 0, "min")`` as ``gates[0].min``."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def overlay(base: Document, change: Document) -> Document:
    """``change`` laid over ``base``: mappings merge, everything else is replaced whole."""
    places = dict(base.places)
    value = _merge(base.value, change.value, (), places, change)
    return Document(value, places)


def _merge(
    base: Any,
    change: Any,
    path: tuple[Key, ...],
    places: dict[tuple[Key, ...], Place],
    source: Document,
) -> Any:
    if isinstance(base, dict) and isinstance(change, dict):
        merged = dict(base)
        for key, value in change.items():
            merged[key] = _merge(base.get(key), value, (*path, key), places, source)
        return merged
    depth = len(path)
    for old in [place for place in places if place[:depth] == path]:
        del places[old]
    places.update({k: v for k, v in source.places.items() if k[:depth] == path})
    return change
