"""The one way a value gets into a manifest: as the YAML of that value, whatever it holds.

A template's ``{{ … }}`` passes through ``scalar`` by Jinja2's ``finalize``, so nothing that a spec
says can end a string, begin a key or open a document: hostile text stays text. What is written is
YAML 1.2 that a reader of YAML 1.1 understands alike (``no`` is quoted).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Undefined

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
"""Text that needs no quotes, unless it is one of ``WORDS``."""

WORDS = frozenset({"y", "yes", "n", "no", "on", "off", "true", "false", "null", "nan", "inf"})
"""Words that one YAML or another takes for something else than text."""

UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is and YAML does not take, or takes for the end of a line."""


class Text(str):
    """YAML already; it is not quoted again."""

    __slots__ = ()


def scalar(value: Any) -> str:
    """``value`` in the flow style of YAML, on one line. TypeError for what is no JSON value."""
    if isinstance(value, Text):
        return value
    if isinstance(value, str):
        return _string(value)
    if type(value) is int:
        return str(value)
    if isinstance(value, Undefined):
        value._fail_with_undefined_error()
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{_string(str(k))}: {scalar(one)}" for k, one in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(scalar, value)) + "]"
    return _number(value) if isinstance(value, float) else json.dumps(value)


def block(value: Mapping[str, Any] | list[Any] | tuple[Any, ...], indent: int) -> Text:
    """``value`` in the block style, beginning on a line of its own, ``indent`` spaces in.

    Empty, it stays on the line: `` {}`` or `` []``.
    """
    if not value:
        return Text(" {}" if isinstance(value, Mapping) else " []")
    if isinstance(value, Mapping) and all(type(one) is str for one in value.values()):
        return _labels(tuple(value.items()), indent)
    return Text("".join(f"\n{' ' * indent}{line}" for line in _lines(value)))


@lru_cache(maxsize=256)  # an application says its labels in each of its objects
def _labels(pairs: tuple[tuple[str, str], ...], indent: int) -> Text:
    begin = f"\n{' ' * indent}"
    return Text("".join(f"{begin}{_string(str(key))}: {_string(one)}" for key, one in pairs))


def _lines(value: Any) -> Iterator[str]:
    """A mapping or a list, neither of them empty, line by line."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _entry(f"{_string(str(key))}:", one)
    else:
        for one in value:
            yield from _item(one)


def _entry(head: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        yield head
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{head} {_string(value) if type(value) is str else scalar(value)}"


def _item(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        for number, line in enumerate(_lines(value)):
            yield f"  {line}" if number else f"- {line}"
    else:
        yield f"- {scalar(value)}"


@lru_cache(maxsize=4096)  # the same few labels and names, hundreds of times an application
def _string(value: str) -> str:
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return _escaped(json.dumps(value, ensure_ascii=False))


def _escaped(text: str) -> str:
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _number(value: float) -> str:
    """With a point before an exponent, without which YAML 1.1 reads text."""
    mantissa, e, exponent = json.dumps(value, allow_nan=False).partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else f"{mantissa}{e}{exponent}"
