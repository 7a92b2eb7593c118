"""Every verb as a person types it, on targets in memory, to be killed at any write.

Whatever outlives a command is written through scissors: entries, blobs, targets, the engine. Each
command is a process of its own to the leases, so one that is cut leaves its lease behind, held by
a process that is gone, or by one that hangs.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import itertools
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines import past
from pipelines.dataset import Case
from pipelines.destroy import destroy
from pipelines.engine import Engine
from pipelines.gates import Answer
from pipelines.provisioning import fingerprint
from pipelines.rollback import rollback
from pipelines.ship import comply, evaluate, promote, ship
from pipelines.watcher import Watcher
from pipelines.word import approve, pause, resume
from pipelines.workspace import Workspace
from release.errors import BadInput, GreenlightError, Refused, Returned, Waiting
from release.integrity import Damaged
from release.keys import Role, TrustedKeys, approver_key, trust
from release.lease import is_gone
from release.ledger import Entry, verify
from release.ledger.entry import decode
from release.ledger.leases import Holder, Status, current_lease
from release.outputs import LocalEnvironment
from release.spec import locate
from tests import tiny
from tests.pipelines.invariants import moved_while_paused, twice
from tests.pipelines.memory import (
    OTHER,
    QUIET,
    TRUTHS,
    Cut,
    Saved,
    Scissors,
    VirtualClock,
    World,
    releases,
)
from tests.pipelines.standin import StandIn
from tests.release.making import MemoryStore

DELAYS = {"scaleDownDelaySeconds": 40, "soakSeconds": 20, "checks": 1}
CHANGE: dict[str, Any] = {**OTHER, "rollout": DELAYS}
ASKING: dict[str, Any] = {
    **OTHER,
    "rollout": {
        **DELAYS,
        "steps": [
            {"setWeight": 50}, {"pause": {"duration": 20}}, {"approval": {}}, {"setWeight": 100},
        ],
    },
}  # fmt: skip
"""The same change, where somebody has to approve the last step."""

STOPS = (BadInput, Refused, Returned, Waiting)
"""How a verb may end that does nothing wrong, but for a rollback that has nowhere to go."""

WORDS = ("pause", "resume", "approve")


@dataclass
class CutStore(MemoryStore):
    """A store whose every write is an act."""

    scissors: Scissors = field(default_factory=Scissors)

    def create(self, name: str, data: bytes) -> None:
        """As any store; an entry goes by its kind."""
        if name in self.objects:
            raise FileExistsError(name)
        with self.scissors.act(_kind(data) if name.endswith(".json") else "blob"):
            super().create(name, data)


def _kind(entry: bytes) -> str:
    kind: str = json.loads(base64.b64decode(json.loads(entry)["payload"]))["kind"]
    return kind


class Processes:
    """Commands as the leases see them: who is at work, who hangs, and that the others are gone."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._numbers = itertools.count(1)
        self._at_work: list[int] = []
        self.hung: set[int] = set()
        patch.setattr("release.lease.this_process", self._this)
        patch.setattr("release.lease._started", self._started)

    @contextlib.contextmanager
    def one(self) -> Iterator[int]:
        """A process while the block runs; its number. Afterwards it is gone, but if it hangs."""
        self._at_work.append(number := next(self._numbers))
        try:
            yield number
        finally:
            self._at_work.pop()

    def _this(self, verb: str) -> Holder:
        return Holder(str(self._at_work[-1]), verb, socket.gethostname(), self._at_work[-1], 0.0)

    def _started(self, number: int) -> float | None:
        return 0.0 if number in {*self._at_work, *self.hung} else None


class Stage:
    """A world in which a first release is live, put back to there before each story."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.clock, self.scissors, self.change = VirtualClock(), Scissors(), CHANGE
        store, blobs = CutStore(scissors=self.scissors), CutStore({}, "blobs", self.scissors)
        app = tiny.write(folder / "app")
        self.world = World(
            app, StandIn("http://memory"), self.scissors, self.clock, store=store, blobs=blobs
        )
        self.processes, self.key = Processes(patch), folder / "approver.key"
        self._opened: dict[str, Workspace] = {}
        self._read: dict[bytes, Entry] = {}
        self._goals: dict[str, dict[str, Any]] = {}
        self.acts: list[str] = []
        self._stand_in(patch)
        with self.processes.one():
            ship(self.open_first(), QUIET)
            self._trust_the_approver()
        self.first = {self.open_first().built.release.digest}
        self.candidate = {self.open().built.release.digest}
        self._begin = self.save()

    def open(self) -> Workspace:
        """The change, as a command opens it: what is read from files stays the same."""
        return self._open(**self.change)

    def open_first(self) -> Workspace:
        """What is live when a story begins."""
        return self._open()

    def save(self) -> tuple[Saved, dict[Path, bytes]]:
        """All that lasts, the engine's files as well."""
        files = {path: path.read_bytes() for path in self._engines_files() if path.exists()}
        return self.world.save(), files

    def reset(self, change: Mapping[str, Any] = CHANGE) -> None:
        """As it was before ``change`` was shipped for the first time."""
        self.change = dict(change)
        self.restore(self._begin)

    def restore(self, saved: tuple[Saved, dict[Path, bytes]]) -> None:
        """As it was then."""
        world, files = saved
        self.world.restore(world)
        there = set(self.world.store.objects.values())
        self._read = {data: one for data, one in self._read.items() if data in there}
        for target in self.world.targets.values():
            target.asked.clear()
            target.writes.clear()
            target.wrong.clear()
        for path in self._engines_files():
            path.unlink(missing_ok=True)
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def undisturbed(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """How it ends when ``change`` is shipped and nobody is killed."""
        key = json.dumps(change)
        if key not in self._goals:
            self.reset(change)
            self.settle()
            assert releases(self.world)["production"] == self.candidate
            self._goals[key] = self.ending()
        return self._goals[key]

    def entries(self) -> tuple[Entry, ...]:
        """The whole ledger."""
        return self.open().entries()

    def do(
        self, verb: str, at: int = -1, after: bool = False, hangs: bool = False,
        meanwhile: str = "nothing", later: float = 0.0,
    ) -> str:  # fmt: skip
        """Type ``verb`` and be killed at that write, if it comes so far; what happened, in words.

        Wrong use changes nothing, and a word moves nothing, whatever becomes of it. ``meanwhile``
        somebody else types that, so many seconds ``later`` if it lasts so long.
        """
        before, moved = self._everything(), self.moved()
        self.scissors.set(at, after)
        self.clock.later = [
            (self.clock.now + later, lambda: self._beside(meanwhile)),
            (self.clock.now + 400, lambda: self._beside("resume")),  # or it would wait for ever
        ]
        with self.processes.one() as number:
            ended = self._type(verb)
        if hangs and ended.startswith("cut"):
            self.processes.hung.add(number)
            ended += " and hangs"
        self.acts, self.clock.later = self.scissors.acts, []
        self.scissors.set()
        refused = ended == "BadInput" or (ended == "Refused" and verb in WORDS)
        assert not refused or self._everything() == before, f"{verb} was refused and changed it"
        assert verb not in (*WORDS, "comply") or self.moved() == moved, f"{verb} moved something"
        return f"{verb}, {meanwhile} {later:.0f} s later: {ended}"

    def _type(self, verb: str) -> str:
        """How ``verb`` ended, in a word; any other end than these is raised."""
        try:
            VERBS[verb](self)
        except Cut:
            return f"cut {'after' if self.scissors.after else 'before'} write {self.scissors.at}"
        except Damaged:
            raise
        except STOPS as error:
            return next(one.__name__ for one in STOPS if isinstance(error, one))
        except GreenlightError as error:
            if re.search("nothing to return to|does not run", str(error)):
                return "nowhere to go back to"
            raise
        return "done"

    def settle(self, verb: str = "ship") -> list[str]:
        """Somebody ships until it is done, and says yes whenever asked; then the watcher's time."""
        told = []
        for _ in range(6):
            told.append(self.do(verb))
            if told[-1].endswith(("done", "Refused")):
                break
            if told[-1].endswith("Waiting"):
                self.clock.now += 40  # a lease of one that hangs is over
                told += [self.do("approve"), self.do("resume")]
        return [*told, self.do("watch 200 s")]

    def watch(self, seconds: float) -> None:
        """Where the target was told to have one, a watcher looks once a second."""
        end, watcher = self.clock.now + seconds, None
        while self.clock.now < end and self.world.targets["production"].watched:
            try:
                watcher = watcher or Watcher(self.open(), "production", QUIET)
                watcher.turn()
            except Waiting:
                watcher = None  # somebody else is at work: it begins anew, as the process does
            self.clock.now += 1.0
        self.clock.now = max(self.clock.now, end)

    def moved(self) -> object:
        """What users could notice, and whether somebody watches."""
        return {name: (dict(one.slots), dict(one.weights), one.watched, one.there)
                for name, one in self.world.targets.items()}  # fmt: skip

    def ending(self) -> dict[str, Any]:
        """What is left when all is done: to be the same, however it came about."""
        entries, production = self.entries(), self.world.targets["production"]
        rollout = past.rollout(entries, "production")
        weights = {production.slots[slot].release: n for slot, n in production.weights.items()}
        waits = rollout.waiting["until"] if rollout and rollout.waiting else ""
        return {
            "releases": releases(self.world),
            "weights": weights,
            "live": {name: past.live_history(entries, name) for name in self.world.targets},
            "held": set(past.held(entries)),
            "rollout": rollout and (rollout.release, rollout.done, waits, rollout.paused),
            "said": rollout and (rollout.allowed, set(rollout.approvals)),
            "evidence": {(e.data["kind"], e.data["release"])
                         for e in entries if e.kind == past.EVIDENCE},
            "watched": production.watched,
            "at work": {name for name in self.world.targets if self._is_held(entries, name)},
        }  # fmt: skip

    def require_whole(self) -> None:
        """The ledger holds, nothing was asked of a target that it must refuse, nothing is twice."""
        entries = self.entries()
        verify(self.open().records()).require()
        assert [one.wrong for one in self.world.targets.values()] == [[], []]
        assert "expose {}" not in self.world.targets["production"].writes
        assert twice(entries) == []
        assert moved_while_paused(entries) == []

    def _open(self, **changes: Any) -> Workspace:
        key = json.dumps(changes)
        if key not in self._opened:
            self._opened[key] = self.world.open(**changes)
        return self._opened[key]

    def _everything(self) -> object:
        return self.moved(), len(self.world.store.objects), len(self.world.blobs.objects)

    def _is_held(self, entries: tuple[Entry, ...], name: str) -> bool:
        lease = current_lease(entries, self.clock.now, name)
        return lease is not None and lease.status is Status.HELD and not is_gone(lease.lease.holder)

    def _beside(self, verb: str) -> None:
        """A command of somebody else's, while one is at work."""
        with contextlib.suppress(*STOPS), self.processes.one():
            VERBS[verb](self)

    def _trust_the_approver(self) -> None:
        keys, public = self.open_first().state.keys, approver_key(self.key).public
        trust(keys, public, Role.APPROVER)

    def _stand_in(self, patch: pytest.MonkeyPatch) -> None:
        """An engine without processes, slots that answer without a network, a wait for the
        watcher's lease that takes no time, no disk to wait for, and no second look at what was read
        and believed before: a story reads its ledger thirty times.
        """
        program = fingerprint(self.open_first())

        def decode_once(data: bytes, trusted: TrustedKeys, where: str) -> Entry:
            if data not in self._read:
                self._read[data] = decode(data, trusted, where)
            return self._read[data]

        patch.setattr("release.ledger.chain.decode", decode_once)
        patch.setattr("os.fsync", lambda _: None)
        for module in ("pipelines.apply", "pipelines.evaluate"):
            patch.setattr(f"{module}.open_session", lambda *_: contextlib.nullcontext())
            patch.setattr(f"{module}.ask", _answer)
            patch.setattr(f"{module}.ask_once", _answer)
        patch.setattr("pipelines.provisioning.fingerprint", lambda _: program)
        patch.setattr("pipelines.comply.locate", functools.cache(locate))
        patch.setattr(Engine, "up", lambda engine, changes, note: self._up(engine))
        patch.setattr(Engine, "destroy", lambda engine, note: self._down())
        waits = SimpleNamespace(
            time=time.time, monotonic=self.clock.monotonic, sleep=self._sleep
        )  # fmt: skip
        patch.setattr("pipelines.run.time", waits)

    def _sleep(self, seconds: float) -> None:
        self.clock.now += seconds

    def _up(self, engine: Engine) -> dict[str, LocalEnvironment]:
        for path in self._engines_files():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for name, target in self.world.targets.items():
            with self.scissors.act(f"engine makes {name}"):
                target.there = True
        made = LocalEnvironment(target="local", address="", folder="")
        return dict.fromkeys(self.world.targets, made)

    def _down(self) -> None:
        for name, target in self.world.targets.items():
            with self.scissors.act(f"engine removes {name}"):
                target.there, target.watched, target.fence = False, False, 0
                target.slots, target.weights = {}, {}

    def _engines_files(self) -> tuple[Path, Path]:
        state = self.open_first().state
        checkpoint = state.pulumi / "backend/.pulumi/stacks/greenlight/local.json"
        return state.work / "provisioned.json", checkpoint


async def _answer(_session: object, _slot: object, case: Case, _inputs: object) -> Answer:
    """The truth, at once."""
    return Answer(case.id, TRUTHS[case.query], 0.01, 3)


def _pass_time(seconds: float) -> Callable[[Stage], object]:
    return lambda on: on._sleep(seconds)


VERBS: Mapping[str, Callable[[Stage], object]] = {
    "nothing": _pass_time(0),
    "comply": lambda on: comply(on.open(), QUIET),
    "evaluate": lambda on: evaluate(on.open(), QUIET),
    "promote": lambda on: promote(on.open(), "production", QUIET),
    "ship": lambda on: ship(on.open(), QUIET),
    "ship --retry": lambda on: ship(on.open(), QUIET, retry=True),
    "rollback": lambda on: rollback(on.open(), "production", QUIET),
    "pause": lambda on: pause(on.open(), "production"),
    "resume": lambda on: resume(on.open(), "production"),
    "approve": lambda on: approve(on.open(), "production", on.key),
    "destroy": lambda on: destroy(on.open(), QUIET),
    "watch 10 s": lambda on: on.watch(10),
    "watch 45 s": lambda on: on.watch(45),
    "watch 200 s": lambda on: on.watch(200),
    "wait 1 s": _pass_time(1),
    "wait 20 s": _pass_time(20),
    "wait 100 s": _pass_time(100),
}
