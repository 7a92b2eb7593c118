"""A watcher in virtual time, and a release that soaks."""

from __future__ import annotations

from typing import Any

from pipelines.watcher import Watcher
from tests.pipelines.memory import OTHER, QUIET, VirtualClock, World

SOAKS: dict[str, Any] = {**OTHER, "rollout": {"soakSeconds": 100, "scaleDownDelaySeconds": 120}}


def watch(world: World, seconds: int) -> bool:
    """Let a watcher look once a virtual second; whether it is still there at the end."""
    assert isinstance(world.clock, VirtualClock)
    return watched(Watcher(world.open(), "production", QUIET), world.clock, seconds)


def watched(watcher: Watcher, clock: VirtualClock, seconds: int) -> bool:
    """The same of a watcher that is there already."""
    end = clock.now + seconds
    while clock.now < end:
        if not watcher.turn():
            return False
        clock.now += 1.0
    return True
