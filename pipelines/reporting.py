"""How a verb tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """What a command shows on standard error while it works."""

    def step(self, text: str) -> None:
        """A new step begins."""

    def note(self, text: str) -> None:
        """Something worth a line happened within the step."""

    def progress(self, done: int, total: int, text: str = "") -> None:
        """``done`` of ``total`` units of the running step are finished."""


class Silent:
    """Listens and says nothing."""

    def step(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Say nothing."""


SILENT = Silent()
