"""Releases that differ in one thing, for every target alike."""

from __future__ import annotations

from typing import Any

from release.bundle import Release
from tests.release.test_bundle import ENGINE, PROMPT, SYSTEM, USER, release


def make(name: str, broken: bool, dedicated: bool, weights: dict[str, Any]) -> Release:
    """Told apart by its system prompt. A broken one's asks for an input that nobody declared."""
    system = {**SYSTEM, "template": f"You are {name}." + (" {{ undeclared }}" if broken else "")}
    isolation = "dedicated" if dedicated else "shared"
    return release(
        weights=weights,
        engine={**ENGINE, "isolation": isolation},
        prompt={**PROMPT, "messages": [system, USER]},
    )
