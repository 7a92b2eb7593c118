"""Targets without processes: what they are told is what they are. And a run that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from pipelines.capacity import Room, WhenFull
from pipelines.clock import Clock
from pipelines.facts import SlotFacts
from pipelines.provisioned import write_provisioned
from pipelines.provisioning import fingerprint
from pipelines.reporting import Silent
from pipelines.targets.base import (
    DeployFailedError,
    Endpoint,
    Histogram,
    Measured,
    StaleFenceError,
    TargetFacts,
)
from pipelines.workspace import Workspace, open_workspace
from release.blobs import Blobs
from release.bundle import Release
from release.errors import GreenlightError
from release.keys import Role, TrustedKey, TrustedKeys, trusted_keys
from release.ledger import FileWitness, Ledger, Mark, Records, history
from tests import tiny
from tests.pipelines.standin import StandIn, completion, standing_in
from tests.release.making import MemoryStore, MemoryWitness, pipeline

ROLLOUT = {
    "steps": [{"setWeight": 50}, {"pause": {"duration": 20}}, {"setWeight": 100}],
    "checks": 5,
    "analysis": {"interval": 10},
    "soakSeconds": 0,
    "scaleDownDelaySeconds": 0,
}
QUIET = Silent()
OTHER: dict[str, Any] = {"parameters": {"max_tokens": 7}}
"""A change that is worth a ship."""

TRUTHS = {row["query"]: row["ground_truth"] for row in tiny.ROWS}


class Cut(BaseException):
    """What a kill looks like to the code that is killed: nothing catches it."""


@dataclass
class Scissors:
    """Cuts the run at its act number ``at``, counted from 0, before it happens or right after.

    Who was cut does nothing any more: not even what a ``finally`` would have written.
    """

    at: int = -1
    after: bool = False
    acts: list[str] = field(default_factory=list)
    cut: bool = False

    @contextlib.contextmanager
    def act(self, name: str) -> Iterator[None]:
        """One act that changes something."""
        here = len(self.acts) == self.at
        self.cut = self.cut or (here and not self.after)
        if self.cut:
            raise Cut
        self.acts.append(name)
        yield
        if here:
            self.cut = True
            raise Cut

    def set(self, at: int = -1, after: bool = False) -> None:
        """Count from here."""
        self.at, self.after, self.acts, self.cut = at, after, [], False


@dataclass
class VirtualClock:
    """Time that passes when somebody sleeps, and at no other moment."""

    now: float = 1_000_000.0
    later: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    """What happens when it is so late."""
    set_by: float = 0.0
    """Seconds by which somebody has set the machine's clock."""

    def monotonic(self) -> float:
        """The virtual time."""
        return self.now

    def time(self) -> float:
        """The virtual time, as the machine's clock says it."""
        return self.now + self.set_by

    async def sleep(self, seconds: float) -> None:
        """It is later, and what was to happen by now does."""
        self.now += seconds
        while self.later and self.later[0][0] <= self.now:
            self.later.pop(0)[1]()
        await asyncio.sleep(0)


USERS = 40.0  # requests a virtual second, shared out by the weights


@dataclass
class Stream:
    """A long answer of ``slot``, so many seconds from its end."""

    slot: str
    seconds: float
    cut: bool = False


@dataclass
class MemoryTarget:
    """One environment. ``broken`` releases never get ready, ``ill`` ones answer with errors in
    traffic; ``writes`` are what it was told. It passes the suite of tests/targets.
    """

    environment: str
    folder: Path
    model: StandIn
    scissors: Scissors
    slots: dict[str, SlotFacts] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    clock: Clock = field(default_factory=VirtualClock)
    users: float = USERS
    seen: float = 0.0
    asked: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    ill: set[str] = field(default_factory=set)
    watched: bool = False
    unwatched: str = ""
    """Why nobody watches."""
    writes: list[str] = field(default_factory=list)
    fence: int = 0
    there: bool = True
    away: bool = False
    since: float = 1.0
    streams: list[Stream] = field(default_factory=list)
    gpus: int | None = None
    """One for each pod of a model server, of which a slot is to have ``pods``; None: no limit."""
    pods: int = 1
    when_full: WhenFull = "wait"
    later: tuple[str, ...] = ()
    """What would have no room after the start."""
    wrong: list[str] = field(default_factory=list)
    """What no caller should ever have asked for; it was refused."""

    @property
    def witness(self) -> FileWitness:
        """Its memory of the ledger's head."""
        return FileWitness(self.folder / f"{self.environment}.seen.json")

    def key_file(self, role: str) -> Path:
        """Where a key would be."""
        return self.folder / f"{self.environment}.{role}.key"

    def facts(self) -> TargetFacts:
        """What it was told."""
        if not self.there:
            return TargetFacts(False, reason="it is not provisioned", away=self.away)
        slots, weights = dict(self.slots), dict(self.weights)
        idle = self.unwatched
        return TargetFacts(
            True, self.model.base, slots, weights, watched=self.watched, unwatched=idle
        )

    def drift(self) -> tuple[str, ...]:
        """It is kept nowhere else."""
        return ()

    def provision(self, fence: int) -> None:
        """It is there, or it is not."""

    def destroy(self, fence: int) -> tuple[str, ...]:
        """It goes with the test."""
        return ()

    def room(self, release: Release) -> Room | None:
        """By the GPUs that are free."""
        assert not self.away, "nobody answers"
        if self.gpus is None:
            return None
        missing = self.pods - self._free_of(release)
        if missing <= 0:
            asks = f"needs {self.pods} gpu; {self._free_of(release)} free"
            return Room("enough", asks, later=self.later)
        told: dict[str, Any] = {"asks": f"needs {self.pods} gpu", "missing": (f"{missing} gpu",)}
        scale = self.pods - missing
        if self.when_full == "smaller" and scale:
            return Room("smaller", scale=scale, share=100 * scale // self.pods, **told)
        return Room("outage" if self.when_full == "outage" else "wait", **told)

    def _free_of(self, release: Release) -> int:
        others = [one for one in self.slots.values() if one.release != release.digest]
        return (self.gpus or 0) - sum(self.pods * one.share // 100 for one in others)

    def deploy(
        self, slot: str, release: Release, fence: int, scale: int | None = None, whole: bool = True
    ) -> None:
        """Ready at once, or never."""
        with self._write(f"deploy {slot}", fence):
            there = self.slots.get(slot)
            other = there is not None and there.release != release.digest
            self._refuse_unless(not (other and self.weights.get(slot)), f"{slot} has traffic")
            wanted = min(self.pods, scale or self.pods)
            full = self.gpus is not None and wanted > self._free_of(release)
            broken, key = full or release.digest in self.broken, release.engine_key
            if release.engine.isolation == "dedicated":
                key = f"{slot}-{key}"
            self.slots[slot] = SlotFacts(
                release.digest,
                "failed" if broken else "ready",
                "broken" if broken else "",
                key,
                share=100 * wanted // self.pods,
            )
        if broken:
            raise DeployFailedError(f"{release.label} did not get ready: it is broken")

    def expose(
        self, weights: Mapping[str, int], fence: int, mirror: Mapping[str, int] | None = None
    ) -> None:
        """Weights of slots that are there."""
        given, copied = {slot: n for slot, n in weights.items() if n}, set(mirror or {})
        with self._write(f"expose {dict(weights)}", fence):
            ready = {slot for slot, one in self.slots.items() if one.state == "ready"}
            self._refuse_unless(sum(given.values()) in (0, 100), f"{given} total neither 0 nor 100")
            self._refuse_unless(min(given.values(), default=0) >= 0, f"{given} is below 0")
            self._refuse_unless({*given, *copied} <= ready, f"{given}, {copied}: not ready")
            self._refuse_unless(not copied & set(given), f"{copied} has weight and is a mirror")
            self._let_users_in()
            self.weights = given

    def measure(self, slot: str) -> Measured:
        """What users have asked in the time that passed; ``ill`` slots answer with errors."""
        if slot not in self.slots:
            raise GreenlightError(f"no counts of {slot}")
        self._let_users_in()
        synthetic = len(self.model.questions(f"{self.environment}-{slot}"))
        asked = int(self.asked[slot]) + synthetic
        errors = asked if self.slots[slot].release in self.ill else 0
        latency = Histogram(((0.01, asked), (1.0, asked)), asked, 0.01 * asked)
        return Measured(self.since, asked, errors, synthetic=synthetic, latency=latency)

    def _let_users_in(self) -> None:
        passed, self.seen = self.clock.monotonic() - self.seen, self.clock.monotonic()
        for slot, weight in self.weights.items():
            self.asked[slot] += passed * self.users * weight / 100

    def watch(self, on: bool, fence: int) -> None:
        """Remember whether a watcher stands by."""
        with self._write(f"watch {on}", fence):
            self.watched = on

    def retire(self, slot: str, deadline: float, fence: int) -> int:
        """A slot with traffic is never retired."""
        with self._write(f"retire {slot}", fence):
            self._refuse_unless(not self.weights.get(slot), f"{slot} has traffic")
            late = [one for one in self.streams if one.slot == slot and one.seconds > deadline]
            for one in late:
                one.cut = True
            self.streams = [one for one in self.streams if one.slot != slot]
            self.slots.pop(slot, None)
        return len(late)

    def endpoint(self, slot: str) -> Endpoint:
        """The stand-in, under the slot's name."""
        return Endpoint(f"{self.model.base}/{self.environment}-{slot}", {}, "tiny-bot")

    def loses(self, slot: str) -> None:
        """Every pod of ``slot``: the slot is there, and takes no requests."""
        self.slots[slot] = replace(
            self.slots[slot], state="failed", reason="OOMKilled", reachable=False
        )

    def _refuse_unless(self, right: bool, what: str) -> None:
        if not right:
            self.wrong.append(what)
            raise GreenlightError(f"{self.environment}: {what}")

    @contextlib.contextmanager
    def _write(self, what: str, fence: int) -> Iterator[None]:
        if fence < self.fence:
            raise StaleFenceError(f"{fence} is over")
        self.fence = fence
        with self.scissors.act(what):
            self.writes.append(what)
            yield


Held = dict[str, tuple[dict[str, SlotFacts], dict[str, int], int, bool, bool]]
Saved = tuple[dict[str, bytes], dict[str, bytes], Mark | None, Held, float]


@dataclass(frozen=True)
class MemoryWorkspace(Workspace):
    """A workspace whose record is kept in memory: thousands of ships need no disk."""

    kept: Records | None = None

    def records(self) -> Records:
        """The record, if it is kept in memory, else the folder's."""
        if self.kept is None:
            return super().records()
        theirs = trusted_keys(self.state.keys).keys  # approvers, who have keys of their own
        trusted = replace(self.kept.trusted, keys=(*self.kept.trusted.keys, *theirs))
        return replace(self.kept, trusted=trusted)

    def open_ledger(self) -> Ledger:
        """A ledger over the same record."""
        if self.kept is None:
            return super().open_ledger()
        return Ledger(self.records(), pipeline(), self.clock.time)


def kept_in_memory(store: MemoryStore, blobs: MemoryStore, witness: MemoryWitness) -> Records:
    """A record without a disk."""
    trusted = TrustedKeys((TrustedKey(pipeline().public, frozenset({Role.PIPELINE})),), "memory")
    return Records("tiny-bot", store, Blobs(blobs), trusted, (witness,))


@dataclass
class World:
    """A tiny application on targets in memory, provisioned; its record there too, or on disk."""

    app: Path
    model: StandIn
    scissors: Scissors = field(default_factory=Scissors)
    clock: Clock = field(default_factory=VirtualClock)
    targets: dict[str, MemoryTarget] = field(default_factory=dict)
    on_disk: bool = False
    store: MemoryStore = field(default_factory=MemoryStore)
    blobs: MemoryStore = field(default_factory=lambda: MemoryStore(label="blobs"))
    head: MemoryWitness = field(default_factory=MemoryWitness)
    kept: Records | None = None

    def __post_init__(self) -> None:
        self.kept = None if self.on_disk else kept_in_memory(self.store, self.blobs, self.head)
        rollout, spec = f"rollout: {json.dumps(ROLLOUT)}\n", self.app / "llm.yaml"
        if rollout not in spec.read_text():
            tiny.edit(spec, "environments:", f"{rollout}environments:")
        for name in ("staging", "production"):
            self.targets[name] = MemoryTarget(
                name, self.app.parent, self.model, self.scissors, clock=self.clock,
                seen=self.clock.monotonic(),
            )  # fmt: skip
        workspace = self.open()
        write_provisioned(workspace.state, fingerprint(workspace), workspace.spec)
        checkpoint = workspace.state.pulumi / "backend/.pulumi/stacks/greenlight/local.json"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_text("{}")

    def open(self, **changes: Any) -> Workspace:
        """The application as a command opens it; ``changes`` lie over its ``llm.yaml``."""
        files: tuple[Path, ...] = ()
        if changes:
            text = json.dumps(changes)  # JSON is YAML
            file = self.app / f"change-{len(text)}.yaml"
            file.write_text(text)
            files = (file,)
        opened = open_workspace(self.app, files)
        workspace = MemoryWorkspace(opened.sources, opened.spec, clock=self.clock, kept=self.kept)
        vars(workspace)["targets"] = self.targets
        return workspace

    def save(self) -> Saved:
        """Everything that lasts, of a record in memory."""
        held = {
            name: (dict(one.slots), dict(one.weights), one.fence, one.watched, one.there)
            for name, one in self.targets.items()
        }
        kept = dict(self.store.objects), dict(self.blobs.objects)
        return *kept, self.head.mark, held, self.clock.time()

    def restore(self, saved: Saved) -> None:
        """As it was then."""
        objects, blobs, mark, held, now = saved
        self.store.objects, self.blobs.objects = dict(objects), dict(blobs)
        self.head.mark = mark
        for name, (slots, weights, fence, watched, there) in held.items():
            target = self.targets[name]
            target.slots, target.weights, target.fence = dict(slots), dict(weights), fence
            target.watched, target.there, target.seen = watched, there, now
            target.ill, target.broken = set(), set()
        if isinstance(self.clock, VirtualClock):
            self.clock.now = now
        self.scissors.set()

    def state(self) -> dict[str, tuple[dict[str, str], dict[str, int]]]:
        """What users could notice: releases by slot, and weights."""
        return {
            name: ({slot: one.release for slot, one in target.slots.items()}, target.weights)
            for name, target in self.targets.items()
        }


@contextlib.contextmanager
def serving() -> Iterator[StandIn]:
    """A stand-in that knows every answer, in a thread: verbs have event loops of their own."""
    ready, done = threading.Event(), asyncio.Event()
    box: list[tuple[StandIn, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with standing_in() as server:
            server.reply = knowing
            box.append((server, asyncio.get_running_loop()))
            ready.set()
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    server, loop = box[0]
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)


def knowing(side: str, question: str, before: int) -> web.Response:
    """The truth."""
    return completion(TRUTHS[question])


def kinds(world: World) -> list[str]:
    return [entry.kind for entry in history(world.open().records())]


def releases(world: World) -> dict[str, set[str]]:
    """Which releases are where, whatever the slot."""
    return {name: set(slots.values()) for name, (slots, _) in world.state().items()}
