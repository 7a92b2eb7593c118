"""What to do about one process: facts in, decision out, no I/O.

The supervisor looks at every process ten times a second. All that it decides is here:
when to start, to stop, to kill, how long to wait after a crash, and what to call that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Literal

from serving.processes import Identity

Kind = Literal["watcher", "gateway", "application", "engine"]
STOP_ORDER: tuple[Kind, ...] = ("watcher", "gateway", "application", "engine")
"""Whoever turns weights stops first; whoever takes requests before whoever answers them."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before a crashed process is started again; doubles with every crash in a row."""

FAILED_AFTER = 5
"""Crashes in a row after which a process counts as failed. It is still tried again."""

STEADY_SECONDS = 60.0
"""A process that has been healthy for so long has left its crashes behind."""

SILENT_SECONDS = 60.0
"""One that has answered before and is silent for so long hangs, and is replaced."""


@dataclass(frozen=True)
class Unit:
    """A process that shall run. ``command`` alone says whether a running one is the right one."""

    name: str
    kind: Kind
    command: tuple[str, ...]
    address: str
    """Where it answers: a socket's path in the environment's folder, or host and port."""
    health: str
    """The path of its health check."""
    grace: float
    """Seconds between SIGTERM and SIGKILL."""
    engine: str = ""
    """For an application: the name of the unit that it asks."""


@dataclass(frozen=True)
class Life:
    """What is known of a unit's process from one look to the next. Times are monotonic."""

    unit: Unit
    process: Identity | None = None
    ready: bool = False
    failed: bool = False
    reason: str = ""
    restarts: int = 0
    crashes: int = 0
    retry_at: float = 0.0
    healthy_since: float | None = None
    answered_at: float | None = None
    kill_at: float | None = None
    hung: bool = False


@dataclass(frozen=True)
class Answer:
    """What a health check brought. ``answered`` is False when nothing came back at all."""

    answered: bool
    healthy: bool
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """One look. ``answer`` is None when none came in since; ``reason`` says how it ended."""

    alive: bool
    answer: Answer | None = None
    reason: str = ""
    hopeless: bool = False


class Act(Enum):
    """What the supervisor does next about one process."""

    NOTHING = "nothing"
    START = "start"
    TERMINATE = "terminate"
    KILL = "kill"


def pause(crashes: int) -> float:
    """Seconds to wait after so many crashes in a row."""
    if crashes >= FAILED_AFTER:
        return LONGEST_PAUSE
    return float(min(FIRST_PAUSE * 2 ** (crashes - 1), LONGEST_PAUSE))


def advance(wanted: Unit | None, life: Life, seen: Seen, now: float) -> tuple[Life | None, Act]:
    """The next life of a process and what to do; None when there is nothing left of it."""
    if life.process is None:
        return _start(wanted, life, now)
    if not seen.alive:
        return _ended(wanted, life, seen, now)
    if life.kill_at is not None or wanted is None or wanted.command != life.unit.command:
        return _stop(life, now)
    return _watch(replace(life, unit=wanted), seen.answer, now)


def _start(wanted: Unit | None, life: Life, now: float) -> tuple[Life | None, Act]:
    if wanted is None:
        return None, Act.NOTHING
    if wanted.command != life.unit.command:
        return Life(wanted), Act.START
    life = replace(life, unit=wanted)
    return life, Act.START if now >= life.retry_at else Act.NOTHING


def _ended(wanted: Unit | None, life: Life, seen: Seen, now: float) -> tuple[Life | None, Act]:
    if wanted is None:
        return None, Act.NOTHING
    if life.kill_at is not None or wanted.command != life.unit.command:
        return Life(wanted), Act.START
    reason = life.reason if life.hung else seen.reason
    return crashed(life, reason, seen.hopeless, now), Act.NOTHING


def crashed(life: Life, reason: str, hopeless: bool, now: float) -> Life:
    """A life whose process ended by itself, or could not be started."""
    crashes = life.crashes + 1
    return Life(
        unit=life.unit,
        failed=life.failed or hopeless or crashes >= FAILED_AFTER,
        reason=reason,
        restarts=life.restarts + 1,
        crashes=crashes,
        retry_at=now + (LONGEST_PAUSE if hopeless else pause(crashes)),
    )


def _stop(life: Life, now: float) -> tuple[Life, Act]:
    if life.kill_at is None:
        return replace(life, ready=False, kill_at=now + life.unit.grace), Act.TERMINATE
    return life, Act.KILL if now >= life.kill_at else Act.NOTHING


def _watch(life: Life, answer: Answer | None, now: float) -> tuple[Life, Act]:
    if answer is None:
        return life, Act.NOTHING
    if answer.healthy:
        return _healthy(life, now), Act.NOTHING
    life = replace(life, ready=False, healthy_since=None, reason=answer.reason or life.reason)
    if answer.answered:
        return replace(life, answered_at=now), Act.NOTHING
    if life.answered_at is not None and now - life.answered_at >= SILENT_SECONDS:
        reason = f"hung: {SILENT_SECONDS:.0f} seconds without an answer"
        return replace(life, hung=True, reason=reason), Act.KILL
    return life, Act.NOTHING


def _healthy(life: Life, now: float) -> Life:
    since = now if life.healthy_since is None else life.healthy_since
    return replace(
        life,
        ready=True,
        failed=False,
        reason="",
        crashes=0 if now - since >= STEADY_SECONDS else life.crashes,
        healthy_since=since,
        answered_at=now,
    )


def still_wanted(units: Mapping[str, Unit], lives: Mapping[str, Life]) -> dict[str, Unit]:
    """``units`` and the engines of applications that are still being stopped."""
    needed = {life.unit.engine for life in lives.values() if life.unit.engine}
    kept = {name: lives[name].unit for name in needed - units.keys() if name in lives}
    return {**kept, **units}


def while_stopping(units: Mapping[str, Unit], lives: Mapping[str, Life]) -> dict[str, Unit]:
    """What may still run while everything is being stopped, kind after kind."""
    for position, kind in enumerate(STOP_ORDER):
        if any(life.unit.kind == kind for life in lives.values()):
            left = STOP_ORDER[position + 1 :]
            return {name: unit for name, unit in units.items() if unit.kind in left}
    return {}
