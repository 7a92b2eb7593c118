"""Text that a model takes for the frame of the conversation, read from its GGUF file: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from release.errors import BadInput, Problem

STRING, ARRAY = 8, 9
NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
"""GGUF's value types as struct's; all little-endian."""

UNKNOWN_TOKEN, CONTROL_TOKEN = 2, 3
TOKENS, TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
TEMPLATE = "tokenizer.chat_template"
WANTED = (TOKENS, TYPES, TEMPLATE)

FRAME = re.compile(r"<[^<>\s{}%]{1,60}>|\[/?[A-Z][A-Z_]+\]")
"""Marks in a chat template that are no control tokens, such as Mistral's ``[INST]``."""


class _Reader:
    """Walks a GGUF file's metadata without copying more than is asked for."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0

    def number(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self.data, self.at)
        self.at += struct.calcsize(f"<{code}")
        return value

    def text(self) -> bytes:
        length = self.number("Q")
        if length > len(self.data) - self.at:
            raise ValueError("a text longer than the file")
        self.at += length
        return self.data[self.at - length : self.at]

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            return list(self.array())
        return self.number(NUMBERS[kind])

    def array(self) -> Iterator[Any]:
        kind, count = self.number("I"), self.number("Q")
        if kind == ARRAY or count > len(self.data):
            raise ValueError("an array that is nested, or longer than the file")
        for _ in range(count):
            yield self.value(kind)

    def skip(self, kind: int) -> None:
        if kind != ARRAY:
            self.value(kind)
        else:
            for _ in self.array():
                pass


def _metadata(data: mmap.mmap) -> dict[str, Any]:
    reader = _Reader(data)
    if data[:4] != b"GGUF":
        raise ValueError("no GGUF file")
    reader.at = 4
    if (version := reader.number("I")) not in (2, 3):
        raise ValueError(f"GGUF version {version}")
    _, count = reader.number("Q"), reader.number("Q")
    found: dict[str, Any] = {}
    for _ in range(count):
        name, kind = reader.text().decode(), reader.number("I")
        if name in WANTED:
            found[name] = reader.value(kind)
        else:
            reader.skip(kind)
        if len(found) == len(WANTED):
            break
    return found


def markers(model: Path) -> frozenset[str]:
    """The texts that ``model`` may read as control tokens. BadInput when it does not say."""
    try:
        with (
            model.open("rb") as handle,
            mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            metadata = _metadata(data)
        tokens, types = metadata[TOKENS], metadata[TYPES]
        control = [
            token.decode(errors="replace")
            for token, kind in zip(tokens, types, strict=True)
            if kind in (UNKNOWN_TOKEN, CONTROL_TOKEN)
        ]
    except (OSError, ValueError, KeyError, struct.error) as error:
        expected = "a GGUF file that names its tokens and their types"
        raise BadInput(Problem(expected, str(error), file=str(model))) from error
    template = metadata.get(TEMPLATE, b"").decode(errors="replace")
    return frozenset(token for token in (*control, *FRAME.findall(template)) if len(token) > 1)
