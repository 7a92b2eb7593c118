"""The supervisor's life: look, decide (plan.py), act, tell (report.py), ten times a second."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from release.errors import BadInput, GreenlightError
from release.files import locked, read_json, write_json
from serving import processes
from serving.slots import NOTHING, Desired, parse_desired
from serving.supervisor import DESIRED, ENDPOINTS, OBSERVED, STOPPING, listener, logs
from serving.supervisor.borrowed import Borrowed
from serving.supervisor.children import Children, matches
from serving.supervisor.plan import (
    Act,
    Answer,
    Life,
    Unit,
    advance,
    crashed,
    still_wanted,
    while_stopping,
)
from serving.supervisor.probe import ask
from serving.supervisor.report import endpoints, observed
from serving.supervisor.units import GATEWAY, MODULES, slots_by_unit, units_of

LOOK_SECONDS = 0.1
ASK_READY_SECONDS = 1.0
"""A ready process is asked this often; one that is not, at every look."""

ROTATE_SECONDS = 5.0

QUIET_SECONDS = 1.0
"""Since a file came to the folder or went: before, somebody may be removing all of it, and a
file that is put back would be in the way."""

Stamp = tuple[int, int, int] | None


def stamp(path: Path) -> Stamp:
    """What changes whenever ``path`` is written; None where there is no such file."""
    try:
        entry = path.stat()
    except FileNotFoundError:
        return None
    return entry.st_ino, entry.st_mtime_ns, entry.st_size


class Supervisor:
    """One environment's processes. ``lock`` is the descriptor that makes it the only one."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder, self.lock = folder, lock
        self.identity = processes.identify(os.getpid()) or processes.Identity(os.getpid(), 0.0)
        self.children = Children(folder)
        self.lives: dict[str, Life] = {}
        self.desired: Desired = NOTHING
        self.problem = ""
        self.stopping = False
        self._units: dict[str, Unit] = {}
        self._desired_is: Stamp = None
        self._borrowed = Borrowed()
        self._listener: Any = None
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._ask_at: dict[str, float] = {}
        self._rotate_at = 0.0
        self._swept = False
        self._told: dict[str, tuple[Any, Stamp]] = {}

    async def run(self) -> None:
        """Until SIGTERM, or until the environment is destroyed; then everything is stopped."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        while not (self.stopping and not self.lives):
            self._look_at_the_world()
            wanted = self._wanted()
            for name in (*wanted, *(self.lives.keys() - wanted.keys())):
                self._turn(name, wanted.get(name), time.monotonic())
            self._tell()
            await asyncio.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Stop everything, in order; ``run`` returns when it is done."""
        self.stopping = True

    def _look_at_the_world(self) -> None:
        gone = os.fstat(self.lock).st_nlink == 0  # somebody removed the folder under us
        if gone or (self.folder / STOPPING).exists():
            self.stop()
        if gone:
            return
        self._read_desired()
        self._borrowed.keep({Path(spec.engine.model) for spec in self.desired.slots.values()})
        if not self._swept and not self.problem:
            self._sweep()
        if time.monotonic() >= self._rotate_at:
            self._rotate_at = time.monotonic() + ROTATE_SECONDS
            logs.rotate(self.folder / "log")

    def _read_desired(self) -> None:
        """Follow desired.json when it has changed. One that cannot be read changes nothing."""
        version = stamp(self.folder / DESIRED)
        if version == self._desired_is and self._units:
            return
        if version is None and self._units and not self._is_quiet():
            return
        self._desired_is = version
        try:
            desired = self._declared()
            self._units = units_of(self.folder, desired, self._address())
        except (GreenlightError, OSError) as error:
            self.problem = str(error)
            self._units = self._units or units_of(self.folder, NOTHING, self._address())
        else:
            self.desired, self.problem = desired, ""

    def _declared(self) -> Desired:
        """What desired.json says. One that was lost or cut since it was followed is written again;
        before that, nobody here knows what it said.
        """
        path, followed = self.folder / DESIRED, self.desired is not NOTHING
        try:
            document = read_json(path)
        except FileNotFoundError:
            if not followed:
                return NOTHING
        except BadInput:
            if not followed:
                raise
        else:
            return parse_desired(document, str(path))
        with locked(self.folder / "desired.lock"):
            if stamp(path) == self._desired_is:  # else somebody has just declared
                write_json(path, asdict(self.desired))
        return self.desired

    def _is_quiet(self) -> bool:
        try:
            return time.time() - self.folder.stat().st_mtime >= QUIET_SECONDS
        except FileNotFoundError:
            return False

    def _address(self) -> str:
        try:
            return listener.settled_address(self.folder)
        except (GreenlightError, OSError, KeyError, TypeError):
            return "unknown:0"  # the gateway's start says what is wrong with its settings

    def _wanted(self) -> dict[str, Unit]:
        if self.stopping:
            return while_stopping(self._units, self.lives)
        return still_wanted(self._units, self.lives)

    def _sweep(self) -> None:
        """Once, when it is known what shall run: what runs already is taken over or ended."""
        self._swept = True
        for found in self.children.strays():
            unit = next((u for u in self._units.values() if matches(u, found)), None)
            if unit is None or unit.name in self.lives:
                unit = self._stray(found)
            if unit is not None:
                self.lives[unit.name] = Life(unit, self.children.take_over(unit.name, found))

    def _stray(self, found: processes.Found) -> Unit | None:
        kind = next((MODULES[word] for word in found.command if word in MODULES), None)
        name = f"stray-{found.identity.pid}"
        return Unit(name, kind, found.command, "", "", grace=5.0) if kind else None

    def _turn(self, name: str, wanted: Unit | None, now: float) -> None:
        life = self.lives.get(name) or (Life(wanted) if wanted else None)
        if life is None:
            return
        seen = self.children.look(name)
        if life.process is not None and seen.alive:
            seen = replace(seen, answer=self._answer(life, now))
        next_life, act = advance(wanted, life, seen, now)
        if next_life is None:
            self._forget(life.unit)
        elif act is Act.START:
            self.lives[name] = self._start(next_life, now)
        else:
            self.lives[name] = next_life
            if act is not Act.NOTHING:
                self.children.signal(name, act)

    def _answer(self, life: Life, now: float) -> Answer | None:
        """What the last health check brought, if one has ended; asks again when it is time."""
        name, task = life.unit.name, self._asking.get(life.unit.name)
        if task is not None and not task.done():
            return None
        if task is not None:
            del self._asking[name]
            self._ask_at[name] = now + (ASK_READY_SECONDS if task.result().healthy else 0.0)
            return task.result()
        if now >= self._ask_at.get(name, 0.0) and life.unit.address:
            self._asking[name] = asyncio.create_task(ask(life.unit.address, life.unit.health))
        return None

    def _start(self, life: Life, now: float) -> Life:
        self._drop_answer(life.unit.name)
        try:
            extra, descriptors = self._prepare(life.unit)
            process = self.children.start(life.unit, extra, descriptors)
        except (GreenlightError, OSError) as error:
            return crashed(life, str(error), hopeless=True, now=now)
        return replace(life, process=process)

    def _prepare(self, unit: Unit) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """What a process needs before it starts: arguments and descriptors beside its command."""
        if unit.kind == "application":
            slot, spec = slots_by_unit(self.desired)[unit.name]
            write_json(self.folder / "run" / f"{slot}.json", asdict(spec))
        if unit.kind != "gateway" or self._gateway_runs():
            return (), ()
        if self._listener is None:
            self._listener = listener.bind(self.folder)
            self._units = units_of(self.folder, self.desired, self._address())  # known only now
        number = self._listener.fileno()
        return ("--fd", str(number)), (number,)

    def _gateway_runs(self) -> bool:
        """Whether a predecessor's gateway runs: it holds the socket, there is none to bind."""
        gateway = self._units[GATEWAY]
        return any(matches(gateway, found) for found in processes.marked(self.folder))

    def _drop_answer(self, name: str) -> None:
        """A health check of the process before says nothing about the next one."""
        if task := self._asking.pop(name, None):
            task.cancel()
        self._ask_at.pop(name, None)

    def _forget(self, unit: Unit) -> None:
        self._drop_answer(unit.name)
        self.lives.pop(unit.name, None)
        self.children.forget(unit.name)
        if unit.address.startswith("run/"):
            stem = self.folder / unit.address.removesuffix(".sock")
            for suffix in (".sock", ".sock.lock", ".json"):
                stem.with_name(stem.name + suffix).unlink(missing_ok=True)

    def _tell(self) -> None:
        """Rewrite what the others read, where it has changed or is not as it was left."""
        if os.fstat(self.lock).st_nlink == 0:
            return
        units: Mapping[str, Unit] = {} if self.stopping else self._units
        seen = observed(self.identity, self.desired, self.lives, units, self.problem)
        documents = {OBSERVED: seen}
        if self._swept:  # before that, what a predecessor told the gateway still stands
            documents[ENDPOINTS] = endpoints(self.desired, seen)
        for name, document in documents.items():
            path, told = self.folder / name, self._told.get(name)
            version = stamp(path)
            if told != (document, version) and (version or not told or self._is_quiet()):
                write_json(path, document)
                self._told[name] = document, stamp(path)
