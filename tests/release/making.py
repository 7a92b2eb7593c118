"""Small factories for ledgers in memory: the same code over a dictionary instead of a disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from release.blobs import Blobs
from release.evidence import Binding, Kind, Statement
from release.keys import Role, SigningKey, TrustedKey, TrustedKeys, generate
from release.ledger import Ledger, Mark, Records
from release.ledger.leases import Holder

NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC


@dataclass
class MemoryStore:
    """The protocol of a store, over a dictionary."""

    objects: dict[str, bytes] = field(default_factory=dict)
    label: str = "memory"

    def create(self, name: str, data: bytes) -> None:
        if name in self.objects:
            raise FileExistsError(name)
        self.objects[name] = data

    def read(self, name: str) -> bytes:
        try:
            return self.objects[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def read_each(self, names: Iterable[str]) -> Iterator[Callable[[], bytes]]:
        return (partial(self.read, name) for name in names)

    def names(self) -> tuple[str, ...]:
        return tuple(self.objects)

    def where(self, name: str) -> str:
        return f"{self.label}/{name}"


@dataclass
class MemoryWitness:
    """A witness that keeps its mark in memory."""

    mark: Mark | None = None
    where: str = "memory/head"

    def seen(self) -> Mark | None:
        return self.mark

    def note(self, mark: Mark) -> None:
        if self.mark is None or self.mark.sequence < mark.sequence:
            self.mark = mark


@dataclass
class HandClock:
    """A clock that moves only when it is told to."""

    now: float = NOON

    def __call__(self) -> float:
        return self.now


@cache
def pipeline() -> SigningKey:
    return generate()


@cache
def approver() -> SigningKey:
    return generate()


def trusted() -> TrustedKeys:
    return TrustedKeys(
        (
            TrustedKey(pipeline().public, frozenset({Role.PIPELINE})),
            TrustedKey(approver().public, frozenset({Role.APPROVER})),
        ),
        "trusted.json",
    )


def records(application: str = "support-bot", **changes: Any) -> Records:
    defaults: dict[str, Any] = {
        "application": application,
        "entries": MemoryStore(label="ledger"),
        "blobs": Blobs(MemoryStore(label="evidence")),
        "trusted": trusted(),
        "witnesses": (MemoryWitness(),),
    }
    return Records(**(defaults | changes))


def ledger(of: Records | None = None, clock: HandClock | None = None) -> Ledger:
    return Ledger(of or records(), pipeline(), clock or HandClock())


def holder(verb: str = "ship", name: str = "a", host: str = "build-1") -> Holder:
    return Holder(name, verb, host, 4242, 100.0)


def statement(kind: Kind = Kind.EVALUATION, **changes: Any) -> Statement:
    defaults: dict[str, Any] = {
        "kind": kind,
        "name": "support-bot@3f2a91c",
        "binding": Binding("1" * 64, "2" * 64, "3" * 64),
        "issued": NOON,
        "expires": NOON + 3600,
        "result": {"verdict": "pass", "token_f1": 0.71},
    }
    return Statement(**(defaults | changes))
