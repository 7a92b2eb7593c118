"""The processes themselves: started or taken over, looked at, signalled.

A supervisor's own children are reaped here; those of a killed predecessor are known by pid
and start time alone.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from release.errors import BAD_INPUT
from serving import processes
from serving.processes import Found, Identity
from serving.supervisor.logs import size, tail
from serving.supervisor.plan import Act, Seen, Unit

SIGNALS = {Act.TERMINATE: signal.SIGTERM, Act.KILL: signal.SIGKILL}


def matches(unit: Unit, found: Found) -> bool:
    """Whether a process found running is what ``unit`` asks for.

    The interpreter is left out: ``python`` and ``python3`` of one environment are the same.
    """
    return found.command[1 : len(unit.command)] == unit.command[1:]


@dataclass(frozen=True)
class Child:
    """A process in our care. ``handle`` is None when another supervisor started it."""

    identity: Identity
    log: Path
    log_start: int
    handle: subprocess.Popen[bytes] | None = None

    def look(self) -> Seen:
        """Whether it lives; if not, how it ended and its last words."""
        if self.handle is None:
            return self._seen(processes.alive(self.identity), None)
        return self._seen(self.handle.poll() is None, self.handle.returncode)

    def _seen(self, alive: bool, code: int | None) -> Seen:
        if alive:
            return Seen(alive=True)
        said = tail(self.log, self.log_start)
        reason = _ending(code) + (f": {said}" if said else "")
        return Seen(alive=False, reason=reason, hopeless=code == BAD_INPUT)


def _ending(code: int | None) -> str:
    if code is None:
        return "ended"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


class Children:
    """All processes of one environment, by the name of their unit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: dict[str, Child] = {}

    def log(self, name: str) -> Path:
        """The log of the unit ``name``."""
        return self.folder / "log" / f"{name}.log"

    def start(
        self, unit: Unit, extra: Sequence[str] = (), descriptors: Sequence[int] = ()
    ) -> Identity:
        """Take over the process that already does this, else start one."""
        for found in processes.marked(self.folder):
            if matches(unit, found):
                return self.take_over(unit.name, found)
        log = self.log(unit.name)
        begin = size(log)
        handle = processes.spawn((*unit.command, *extra), self.folder, log, descriptors)
        identity = processes.identify(handle.pid) or Identity(handle.pid, 0.0)
        self._children[unit.name] = Child(identity, log, begin, handle)
        return identity

    def take_over(self, name: str, found: Found) -> Identity:
        """Care for a process that an earlier supervisor has started."""
        log = self.log(name)
        self._children[name] = Child(found.identity, log, size(log))
        return found.identity

    def strays(self) -> list[Found]:
        """Processes of the environment that nobody here cares for."""
        known = {child.identity.pid for child in self._children.values()}
        return [one for one in processes.marked(self.folder) if one.identity.pid not in known]

    def look(self, name: str) -> Seen:
        """One look at the process of the unit ``name``; gone when there never was one."""
        child = self._children.get(name)
        return child.look() if child else Seen(alive=False, reason="was never started")

    def signal(self, name: str, act: Act) -> None:
        """TERMINATE or KILL the process of the unit ``name``."""
        processes.send(self._children[name].identity, SIGNALS[act])

    def forget(self, name: str) -> None:
        """Nothing is left of the unit ``name``."""
        self._children.pop(name, None)
