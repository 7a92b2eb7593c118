"""What a target offers to the conformance suite beside the protocol itself: one file a target."""

from __future__ import annotations

from typing import Protocol

from pipelines.targets.base import Target
from release.bundle import Release


class Stream(Protocol):
    """A long answer under way."""

    def whole(self) -> bool:
        """Whether it came to its end mark; waits for its end, whichever."""


class Bed(Protocol):
    """One provisioned environment that the suite may turn upside down."""

    @property
    def target(self) -> Target:
        """The environment."""

    def nowhere(self) -> Target:
        """An environment that is not provisioned."""

    def fence(self) -> int:
        """A fence above all that were given before."""

    def release(self, name: str, *, broken: bool = False, dedicated: bool = False) -> Release:
        """A release of its own for each name; they share a model server unless ``dedicated``.
        A ``broken`` one never gets ready.
        """

    def ask(self) -> str:
        """Ask as a user does, through the front door; the label of the release that answered."""

    def ask_pinned(self, slot: str) -> str:
        """Ask at the target's endpoint for ``slot``; the label of the release that answered."""

    def stream(self, slot: str, seconds: float) -> Stream:
        """An answer of ``slot`` that takes so long; its first words are here."""

    def restart(self) -> None:
        """Kill what holds weights and counts; it is back when this returns."""

    def watched(self) -> bool:
        """Whether a watcher of the environment is kept running."""

    def servers(self) -> int:
        """How many model servers run."""
