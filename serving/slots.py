"""What a slot shall run: the part of desired.json that all processes of an environment share.

The target writes it, the supervisor acts on it, the application reads its own piece of it.
All three parse it here, so that a document which one of them refuses is refused by all.
No pydantic: the supervisor stays small by not importing it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from release.errors import BadInput, Problem

Value = TypeVar("Value")
SLOT_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class EngineSpec:
    """A model server. ``context`` is tokens in all, split evenly among ``parallel`` requests."""

    key: str
    name: str
    model: str
    model_sha256: str
    context: int
    parallel: int
    threads: int

    @property
    def unit(self) -> str:
        """The name of its process. Hashed: keys may share a long beginning."""
        return f"engine-{hashlib.sha256(self.key.encode()).hexdigest()[:12]}"

    @property
    def socket(self) -> str:
        """Relative to the environment's folder, since a Unix path holds about 104 bytes."""
        return f"run/{self.unit}.sock"


@dataclass(frozen=True)
class SlotSpec:
    """One release in one slot. ``bundle`` is what the application serves, as plain JSON."""

    release: str
    label: str
    bundle: Mapping[str, Any]
    engine: EngineSpec

    @property
    def fingerprint(self) -> str:
        """Changes when anything in the slot does; part of the application's command line."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Desired:
    """The slots that shall run, and the fence of the lease under which that was written.

    ``watch`` is the folder of the application whose rollout a watcher guards; empty: none does.
    """

    fence: int
    slots: Mapping[str, SlotSpec]
    watch: str = ""


NOTHING = Desired(fence=0, slots={})


@dataclass(frozen=True)
class _Place:
    """A value in a JSON document, with the way to it, for errors that say where."""

    value: Any
    file: str
    path: str

    def problem(self, expected: str) -> BadInput:
        found = type(self.value).__name__ if self.value is not None else "nothing"
        if isinstance(self.value, str | int):
            found = repr(self.value)[:80]
        remedy = "This file is written by Greenlight: run the command that wrote it again."
        return BadInput(Problem(expected, found, remedy, file=self.file, path=self.path))

    def at(self, name: str) -> _Place:
        path = f"{self.path}.{name}" if self.path else name
        return _Place(self.of(dict).get(name), self.file, path)

    def of(self, kind: type[Value]) -> Value:
        if not isinstance(self.value, kind) or isinstance(self.value, bool):
            raise self.problem({dict: "an object", str: "text", int: "a whole number"}[kind])
        return self.value

    def text(self, pattern: re.Pattern[str] | None = None) -> str:
        text = self.of(str)
        if not text or (pattern and not pattern.fullmatch(text)):
            raise self.problem(f"text like {pattern.pattern}" if pattern else "text")
        return text

    def number(self, least: int) -> int:
        number = self.of(int)
        if number < least:
            raise self.problem(f"a whole number of at least {least}")
        return number


def _engine(place: _Place) -> EngineSpec:
    return EngineSpec(
        key=place.at("key").text(),
        name=place.at("name").text(),
        model=place.at("model").text(),
        model_sha256=place.at("model_sha256").text(SHA256),
        context=place.at("context").number(least=1),
        parallel=place.at("parallel").number(least=1),
        threads=place.at("threads").number(least=1),
    )


def _slot(place: _Place) -> SlotSpec:
    return SlotSpec(
        release=place.at("release").text(SHA256),
        label=place.at("label").text(),
        bundle=place.at("bundle").of(dict),
        engine=_engine(place.at("engine")),
    )


def parse_slot(document: object, file: str) -> SlotSpec:
    """A slot's specification from JSON, or BadInput with file and path."""
    return _slot(_Place(document, file, ""))


def parse_desired(document: object, file: str) -> Desired:
    """desired.json as values, or BadInput with file and path."""
    whole = _Place(document, file, "")
    slots = whole.at("slots")
    for name in slots.of(dict):
        if not SLOT_NAME.fullmatch(name):
            raise slots.problem(f"slots named like {SLOT_NAME.pattern}, not {name!r}")
    desired = Desired(
        fence=whole.at("fence").number(least=0),
        slots={name: _slot(slots.at(name)) for name in slots.of(dict)},
        watch=whole.at("watch").of(str) if "watch" in whole.of(dict) else "",
    )
    _one_engine_a_key(desired, slots)
    return desired


def _one_engine_a_key(desired: Desired, place: _Place) -> None:
    """Slots share an engine by its key, so one key cannot mean two engines."""
    engines: dict[str, EngineSpec] = {}
    for name, slot in desired.slots.items():
        if engines.setdefault(slot.engine.key, slot.engine) != slot.engine:
            raise (
                place.at(name)
                .at("engine")
                .at("key")
                .problem("slots with the same engine key to describe the same engine")
            )
