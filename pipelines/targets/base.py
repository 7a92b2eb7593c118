"""What every target can do, and no more. One file a target; unknown ones are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipelines.capacity import Room
from pipelines.facts import SlotFacts
from release.bundle import Release
from release.errors import GreenlightError, Waiting
from release.ledger import Witness


class DeployFailedError(GreenlightError):
    """A release did not get ready in its slot; the text says why."""


class PlatformError(GreenlightError):
    """The platform did not do it, whatever the release is: it says nothing of a candidate."""


class StaleFenceError(Waiting):
    """Somebody with a higher fence has taken over; this writer changes nothing any more."""


@dataclass(frozen=True)
class TargetFacts:
    """What is there. ``provisioned`` is whether its front door answers, ``reason`` why not;
    ``away`` whether nobody there could be asked; ``watched`` whether a watcher stands by.
    ``notice``: what somebody should know, and put right; ``unwatched``: why nobody watches though
    a watcher is to stand by, which is in the notice too.
    """

    provisioned: bool
    address: str = ""
    slots: Mapping[str, SlotFacts] = field(default_factory=dict)
    weights: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    watched: bool = False
    notice: str = ""
    away: bool = False
    unwatched: str = ""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask one slot, past the weights. ``headers`` hold a key: they are not printed."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    model: str


@dataclass(frozen=True)
class Histogram:
    """Seconds in buckets: ``buckets`` are (upper bound, how many at or below it), rising."""

    buckets: tuple[tuple[float, int], ...] = ()
    count: int = 0
    sum: float = 0.0

    def plus(self, other: Histogram) -> Histogram:
        """Both together; they have the same bounds, or one of them has none."""
        if not (self.buckets and other.buckets):
            return self if self.buckets else other
        pairs = zip(self.buckets, other.buckets, strict=True)
        buckets = tuple((bound, count + more) for (bound, count), (_, more) in pairs)
        return Histogram(buckets, self.count + other.count, self.sum + other.sum)


@dataclass(frozen=True)
class Copies:
    """Requests that a mirror copied to a slot: answered or failed, and ``errors`` among them.
    ``different``: answers that were not, to the letter, what the caller got. None: nobody who sees
    the one sees the other.
    """

    requests: int = 0
    errors: int = 0
    different: int | None = 0
    latency: Histogram = Histogram()


@dataclass(frozen=True)
class Measured:
    """Counts of one slot that only grow, since ``since`` (epoch seconds). Another ``since`` means
    that they began anew: the difference of two such values is no measurement. ``abandoned`` are
    those whose caller gave up first, ``declined`` those that got a 3xx or 4xx. ``copies`` are
    counted apart: nobody got their answers. None: nobody can tell them from requests there, and
    they are counted among those.
    """

    since: float
    requests: int = 0
    errors: int = 0
    truncated: int = 0
    cut: int = 0
    abandoned: int = 0
    refused: int = 0
    synthetic: int = 0
    in_flight: int = 0
    declined: int = 0
    latency: Histogram = Histogram()
    first_token: Histogram = Histogram()
    inter_token: Histogram = Histogram()
    copies: Copies | None = Copies()


class Target(Protocol):
    """One environment on one platform. Writes carry a fence, and a stale one is refused."""

    @property
    def witness(self) -> Witness:
        """The target's own memory of the ledger's head."""

    def key_file(self, role: str) -> Path:
        """The file with a caller's key: role user, tester or operator."""

    def facts(self) -> TargetFacts:
        """What is there now, read from the platform."""

    def drift(self) -> tuple[str, ...]:
        """A line for each thing that is otherwise than it is kept elsewhere, such as in Git."""

    def provision(self, fence: int) -> None:
        """Make what belongs to no slot, where that is the target's to make. Idempotent."""

    def destroy(self, fence: int) -> tuple[str, ...]:
        """Remove what ``provision`` and everything after it made; nothing where nothing is. A line
        for each thing that stays, or of which that cannot be seen.
        """

    def room(self, release: Release) -> Room | None:
        """Whether ``release`` could start beside what is there; None where nobody counts. Before
        ``provision`` too, by what is known then.

        What it has started already does not stand in its own way.
        """

    def deploy(
        self, slot: str, release: Release, fence: int, scale: int | None = None, whole: bool = True
    ) -> None:
        """Start ``release`` in ``slot`` without traffic; return when it answers a real prompt.

        ``scale``: with at most so many pods of each kind; None: all that it is to have. ``whole``:
        when every pod of its model server is there, too; a return does not wait for that.
        Idempotent. Raises DeployFailedError with the reason, StaleFenceError.
        """

    def expose(
        self, weights: Mapping[str, int], fence: int, mirror: Mapping[str, int] | None = None
    ) -> None:
        """Make ``weights`` (per cent, totalling 0 or 100) the whole truth, durably.

        ``mirror`` names a slot without weight and the per cent of requests that it answers too.
        """

    def measure(self, slot: str) -> Measured:
        """The counts of ``slot``. A slot without counts is an error, never zeros."""

    def watch(self, on: bool, fence: int) -> None:
        """Keep a watcher of this environment running, or no longer: it outlives this process."""

    def retire(self, slot: str, deadline: float, fence: int) -> int | None:
        """Drain for at most ``deadline`` seconds, then stop; the number of requests cut.

        None where nobody could count them: a return does not depend on who counts.
        """

    def endpoint(self, slot: str) -> Endpoint:
        """How to ask ``slot`` directly."""
