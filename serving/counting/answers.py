"""What was said, from the raw bytes of an answer that went by.

The bytes are only gathered while a stream passes, and read once, after its last word: what
costs something for each token would cost everybody who waits for one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

_DONE = re.compile(rb"(?:^|\n)data: ?\[DONE\]\s*\Z")
_TAIL_BYTES = 64
ANSWER_BYTES = 256 * 1024
"""A streamed token is about 200 bytes, so this is some 1,300 tokens; a refusal stands in the
first few."""

_DATA = b"data:"


class Answer:
    """One answer's bytes, kept up to ``limit``. Nothing of them outlives the request."""

    def __init__(self, limit: int) -> None:
        self.streamed = False
        self._left = limit
        self._kept: list[bytes] = []
        self._tail = b""

    def add(self, chunk: bytes) -> None:
        """Gather the next bytes; what is beyond the limit is let go."""
        if self._left > 0:
            self._kept.append(chunk[: self._left])
        self._left -= len(chunk)

    def pass_on(self, chunk: bytes) -> bool:
        """Gather the next bytes of a stream; whether they end it, as OpenAI's streams do."""
        self.streamed = True
        self.add(chunk)
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        return _DONE.search(self._tail) is not None

    @property
    def is_complete(self) -> bool:
        """Whether all of it was kept."""
        return self._left >= 0

    @cached_property
    def text(self) -> str:
        """What the assistant said, as far as it was kept; empty for what is no chat answer."""
        raw = b"".join(self._kept)
        documents = _events(raw) if self.streamed else [raw]
        part = "delta" if self.streamed else "message"
        return "".join(said for one in documents for said in _said(one, part))


def _events(raw: bytes) -> Iterator[bytes]:
    for line in raw.split(b"\n"):
        if line.startswith(_DATA):
            yield line[len(_DATA) :]


def _said(document: bytes, part: str) -> Iterator[str]:
    """The texts in a chat completion, or in a chunk of one. Bytes that are neither say nothing."""
    try:
        choices: Any = json.loads(document)["choices"]
        texts = [choice.get(part, {}).get("content") for choice in choices]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return
    yield from (text for text in texts if isinstance(text, str))


class Phrases:
    """By which an application says that it refuses."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases = tuple(map(_plain, phrases))

    def held_by(self, answer: Answer) -> bool:
        """Whether ``answer`` holds one of the phrases, in whatever case."""
        if not self._phrases:
            return False
        said = _plain(answer.text)
        return any(phrase in said for phrase in self._phrases)


def _plain(text: str) -> str:
    """Models write both apostrophes."""
    return text.casefold().replace("\u2019", "'")
