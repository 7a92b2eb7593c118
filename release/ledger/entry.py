"""One ledger entry, and how it is written.

An entry is a DSSE envelope around canonical JSON. Its file has exactly one spelling: a reader
spells it again and compares, so that not even a byte outside the signature can change. Every
version that was ever written stays readable: a new one adds a reader, and takes none away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from release import dsse
from release.errors import Problem
from release.integrity import Damaged, canonical, is_digest, parse_json, sha256
from release.keys import WRITERS, Signer, TrustedKeys
from release.timestamps import epoch, rfc3339

PAYLOAD_TYPE = "application/vnd.greenlight.ledger-entry+json"
VERSION = 1
NOTHING = "0" * 64
"""The digest before the first entry."""

_WORD = re.compile(r"[a-z][a-z0-9-]{0,63}")
_NAME = re.compile(r"(?!0{6})\d{6}\.json|[1-9]\d{6,}\.json")


@dataclass(frozen=True)
class Mark:
    """How far a ledger had come: its last sequence and the SHA-256 of that entry's bytes."""

    sequence: int
    sha256: str


GENESIS = Mark(0, NOTHING)


@dataclass(frozen=True)
class Draft:
    """What somebody wants to record. ``fence`` None: under no lease."""

    kind: str
    environment: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    refs: tuple[str, ...] = ()
    fence: int | None = None
    holder: str | None = None


@dataclass(frozen=True)
class Entry:
    """What was recorded: frozen, signed, chained to the entry before it.

    ``time`` is in seconds since 1970, as the writer's clock had it. ``digest`` is the SHA-256
    of the entry's bytes, which the next entry holds as ``previous``.
    """

    application: str
    sequence: int
    previous: str
    time: float
    kind: str
    environment: str | None
    fence: int | None
    holder: str | None
    data: Mapping[str, Any]
    refs: tuple[str, ...]
    digest: str
    version: int = VERSION

    @property
    def mark(self) -> Mark:
        """This entry as the last one."""
        return Mark(self.sequence, self.digest)


def name_of(sequence: int) -> str:
    """The object that holds entry ``sequence``: ``000042.json``."""
    return f"{sequence:06d}.json"


def sequence_of(name: str) -> int | None:
    """The reverse of ``name_of``; None for a name that no entry has."""
    return int(name.removesuffix(".json")) if _NAME.fullmatch(name) else None


def encode(draft: Draft, application: str, after: Mark, now: float, signer: Signer) -> bytes:
    """The bytes of the entry that follows ``after``; ValueError when nobody could read them."""
    document = {
        "version": VERSION,
        "application": application,
        "sequence": after.sequence + 1,
        "previous": after.sha256,
        "time": rfc3339(now),
        "kind": draft.kind,
        "environment": draft.environment,
        "fence": draft.fence,
        "holder": draft.holder,
        "data": dict(draft.data),
        "refs": list(draft.refs),
    }
    _entry_1(document, NOTHING)
    return dsse.seal(PAYLOAD_TYPE, canonical(document), signer)


def decode(data: bytes, trusted: TrustedKeys, where: str) -> Entry:
    """The entry in ``data``, its signature and its spelling checked; Damaged otherwise."""
    envelope = dsse.unseal(data, PAYLOAD_TYPE, trusted, WRITERS, where)
    if dsse.encode(envelope) != data:
        raise Damaged(
            Problem("the one spelling of a signed entry", "another around the same", file=where)
        )
    try:
        return _entry(parse_json(envelope.payload), sha256(data))
    except (ValueError, TypeError, KeyError) as error:
        raise Damaged(
            Problem(
                file=where,
                expected=f"a ledger entry of version {', '.join(map(str, _READERS))}",
                found=f"something else ({error})",
                remedy="If a newer Greenlight wrote it, use that one.",
            )
        ) from error


def _entry(document: Any, digest: str) -> Entry:
    version = document["version"]
    if type(version) is not int or version not in _READERS:
        raise ValueError(f"version {str(version)[:20]}")
    return _READERS[version](document, digest)


def _entry_1(document: Mapping[str, Any], digest: str) -> Entry:
    """Version 1, whole and nothing beside it."""
    if document.keys() != _FIELDS_1.keys():
        raise ValueError(f"fields {sorted(document)}")
    for name, (expected, holds) in _FIELDS_1.items():
        if not holds(document[name]):
            raise ValueError(f"{name} is not {expected}")
    values = {**document, "time": epoch(document["time"]), "refs": tuple(document["refs"])}
    return Entry(**values, digest=digest)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _are_digests(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_digest, value))


def _or_none(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or holds(value)


_FIELDS_1: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "version": ("1", lambda value: type(value) is int and value == 1),
    "application": ("a name", _is_word),
    "sequence": ("a number from 1", _is_count),
    "previous": ("a SHA-256", is_digest),
    "time": ("a time", _is_text),
    "kind": ("a word", _is_word),
    "environment": ("a name or null", _or_none(_is_word)),
    "fence": ("a number from 1 or null", _or_none(_is_count)),
    "holder": ("a text or null", _or_none(_is_text)),
    "data": ("an object", lambda value: isinstance(value, dict)),
    "refs": ("a list of SHA-256", _are_digests),
}

_READERS: dict[int, Callable[[Mapping[str, Any], str], Entry]] = {1: _entry_1}
