"""What every target can do, and no more. One file a target; unknown ones are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipelines.facts import SlotFacts
from release.bundle import Release
from release.errors import GreenlightError
from release.ledger import Witness


class DeployFailedError(GreenlightError):
    """A release did not get ready in its slot; the text says why."""


class StaleFenceError(GreenlightError):
    """Somebody with a higher fence has taken over; this writer changes nothing any more."""


@dataclass(frozen=True)
class TargetFacts:
    """What is there. ``provisioned`` is whether its front door answers, ``reason`` why not."""

    provisioned: bool
    address: str = ""
    slots: Mapping[str, SlotFacts] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask one slot, past the weights. ``headers`` hold a key: they are not printed."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    model: str


@dataclass(frozen=True)
class Measured:
    """Counts of one slot since its gateway started; latencies in seconds as sum and count."""

    requests: int
    errors: int
    truncated: int
    cut: int
    synthetic: int
    in_flight: int
    seconds_sum: float
    seconds_count: int


class Target(Protocol):
    """One environment on one platform. Writes carry a fence, and a stale one is refused."""

    @property
    def witness(self) -> Witness:
        """The target's own memory of the ledger's head."""

    def key_file(self, role: str) -> Path:
        """The file with a caller's key: role user, tester or operator."""

    def facts(self) -> TargetFacts:
        """What is there now, read from the platform."""

    def deploy(self, slot: str, release: Release, fence: int, scale: int = 1) -> None:
        """Start ``release`` in ``slot`` without traffic; return when it answers a real prompt.

        Idempotent. Raises DeployFailedError with the reason, StaleFenceError.
        """

    def expose(self, weights: Mapping[str, int], fence: int, mirror: str | None = None) -> None:
        """Make ``weights`` (per cent, totalling 0 or 100) the whole truth, durably."""

    def measure(self, slot: str) -> Measured:
        """The counts of ``slot``. A slot without counts is an error, never zeros."""

    def retire(self, slot: str, deadline: float, fence: int) -> int:
        """Drain for at most ``deadline`` seconds, then stop; the number of requests cut."""

    def endpoint(self, slot: str) -> Endpoint:
        """How to ask ``slot`` directly."""
