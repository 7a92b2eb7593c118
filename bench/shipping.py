"""A real application under load: ship, rollback, breach and resume, by clients and by the ledger.

``greenlight`` runs as its users run it, in a process of its own. What clients see is counted by
them; how long something took is read from the ledger, whose times are those of the machine's clock.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlsplit

from bench.clients import CLIENTS, Client, Requests, Seen, chat, keep_asking
from pipelines import past
from pipelines.asking import request_body
from pipelines.steps import Analyse, Check, Expose
from pipelines.workspace import Workspace, open_workspace
from release.errors import DONE, RETURNED
from release.ledger import Entry, Ledger
from release.ledger.leases import LEASE

ROOT = Path(__file__).resolve().parent.parent
LOOK_SECONDS = 0.1
AIM_BACK, AIM_RESUME = 2.0, 5.0
KILLED_AFTER = (Expose.kind, Check.kind, Analyse.kind)  # each weight of a rollout has all three


class App:
    """The application: its last environment, its ledger, and the commands that move it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.workspace: Workspace = open_workspace(self.folder)
        self.environment = self.workspace.environments[-1]
        self._ledger: Ledger | None = None

    def start(self, verb: str, *words: str) -> subprocess.Popen[bytes]:
        """``greenlight VERB APP WORDS``, under way; what it says goes to standard error."""
        command = [str(ROOT / "greenlight"), verb, str(self.folder), *words]
        return subprocess.Popen(command, stdout=sys.stderr)

    async def run(self, verb: str, *words: str, codes: tuple[int, ...] = (DONE,)) -> int:
        """As ``start``, to its end. Another exit code than ``codes`` ends the benchmark."""
        return await self.finish(self.start(verb, *words), codes)

    async def finish(self, running: subprocess.Popen[bytes], codes: tuple[int, ...]) -> int:
        """The exit code of a command that was started."""
        if (code := await asyncio.to_thread(running.wait)) not in codes:
            raise SystemExit(f"{running.args!r} ended with exit code {code}")
        return code

    def entries(self, after: int = 0) -> list[Entry]:
        """The last environment's entries with a sequence above ``after``."""
        self._ledger = self._ledger or self.workspace.open_ledger()
        return [
            entry
            for entry in self._ledger.refresh()
            if entry.sequence > after and entry.environment == self.environment
        ]

    def head(self) -> int:
        """The sequence of the environment's newest entry."""
        return max((entry.sequence for entry in self.entries()), default=0)

    def clients(self) -> list[Client]:
        """Users of the last environment, with its evaluation queries, every second streaming."""
        port = urlsplit(self.workspace.targets[self.environment].endpoint("").url).port or 0
        key = self.workspace.state.keys.joinpath(f"{self.environment}.user.key").read_text().strip()
        return [Client(port, self._requests(port, key, number)) for number in range(CLIENTS)]

    def _requests(self, port: int, key: str, number: int) -> Requests:
        """Endless; each client begins at another case."""
        endpoint = self.workspace.targets[self.environment].endpoint("")
        inputs = tuple(self.workspace.spec.prompt.inputs)
        cases = self.workspace.dataset.cases
        extra = {"stream": True} if number % 2 else {}
        bodies = [{**request_body(case, endpoint, inputs), **extra} for case in cases]
        return islice(
            cycle([chat(port, key, json.dumps(body).encode()) for body in bodies]), number * 5, None
        )


@dataclass
class Part:
    """One kind of rollout under load: what clients saw, for how long, how often."""

    name: str
    seen: Seen = field(default_factory=Seen)
    seconds: float = 0.0
    times: int = 0


async def wait_for(look: Callable[[], Entry | None], running: subprocess.Popen[bytes]) -> Entry:
    """What ``look`` finds, once it does. A command that ends before ends the benchmark."""
    while (found := await asyncio.to_thread(look)) is None:
        if running.poll() is not None:
            raise SystemExit(f"{running.args!r} ended with exit code {running.returncode} too soon")
        await asyncio.sleep(LOOK_SECONDS)
    return found


@contextmanager
def ended(running: subprocess.Popen[bytes]) -> Iterator[None]:
    """Nothing that was started outlives the block."""
    try:
        yield
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait()


async def one_rollout(app: App, part: Part, change: Path, back: bool) -> None:
    """Ship ``change`` under load and bring it back, by hand or by its own breach.

    Clients begin when the last environment is touched, after evaluation and before traffic moves.
    """
    running = app.start("ship", "--with", str(change), "--retry")
    with ended(running):
        await first(app, running, past.INTENT)
        began, over = time.perf_counter(), asyncio.Event()
        asking = asyncio.create_task(keep_asking(app.clients(), part.seen.add, over.is_set))
        try:
            code = await app.finish(running, (DONE, RETURNED))
            if back and code == DONE:
                await app.run("rollback", "--env", app.environment)
        finally:
            over.set()
            await asking
    part.seconds += time.perf_counter() - began
    part.times += 1
    print(f"{part.name}: `ship` ended with exit code {code}", file=sys.stderr)


async def real(folder: Path, better: Path, worse: Path, requests: int) -> None:
    """Ship and roll back until so many requests were made, then a breach; print both."""
    app = App(folder)
    await app.run("ship")  # nothing to do where it was shipped before
    before = app.head()
    by_hand, breach = Part(f"{better.stem}, then `rollback`"), Part(f"{worse.stem}, its breach")
    while by_hand.seen.requests < requests:
        await one_rollout(app, by_hand, better, back=True)
    await one_rollout(app, breach, worse, back=False)
    print_parts([by_hand, breach])
    print_ways_back(ways_back(app.entries(before)))


def print_parts(parts: Sequence[Part]) -> None:
    """What clients saw, a row for each kind of rollout."""
    print(
        f"{CLIENTS} clients, half of them streaming, from before the rollout to after the return."
    )
    print("\n| rollouts | times | requests | failed | truncated | seconds | p50, s | max, s |")
    print("|---|---|---|---|---|---|---|---|")
    for part in parts:
        seen = part.seen
        taken = [*seen.seconds[True], *seen.seconds[False]]
        print(f"| {part.name} | {part.times} | {seen.requests:,} | {seen.failed} "
              f"| {seen.truncated} | {part.seconds:.0f} | {statistics.median(taken):.1f} "
              f"| {max(taken):.1f} |")  # fmt: skip
    for part in parts:
        for reason, count in part.seen.reasons.most_common():
            print(f"\n{part.name}: {count} times {reason}")


def ways_back(entries: Sequence[Entry]) -> list[float]:
    """For each return that a window showed the need of: seconds from that window's end to all
    traffic on blue. ``entries`` are one environment's.
    """
    found: list[float] = []
    breach: float | None = None
    returning = False
    for entry in entries:
        done = entry.data["step"] if entry.kind == past.DONE else ""
        if entry.kind == past.WINDOW:
            breach = window_end(entry) if is_breach(entry) else None
        elif entry.kind == past.RETURN_BEGUN:
            returning = True
        elif done == Expose.kind and returning:
            found += [] if breach is None else [entry.time - breach]
            breach, returning = None, False
        elif done == Analyse.kind:
            breach = None  # it went on all the same: that window decided nothing
    return found


def is_breach(window: Entry) -> bool:
    """Whether one of its verdicts failed."""
    return any(verdict["outcome"] == "fail" for verdict in window.data["verdicts"])


def window_end(window: Entry) -> float:
    """Seconds since 1970."""
    return float(window.data["started"]) + float(window.data["seconds"])


def print_ways_back(seconds: Sequence[float]) -> None:
    """From breach to blue."""
    if not seconds:
        print("\nno window showed a breach: nothing to say of the way back")
        return
    shown = ", ".join(f"{one:.2f}" for one in seconds)
    print(f"\nfrom the end of the window that showed the breach to all traffic on blue: {shown} s, "
          f"aim {AIM_BACK:g} s")  # fmt: skip


async def resume(folder: Path, change: Path, times: int) -> None:
    """Kill ``ship`` so often, each time a little further on, and run it again; print how soon it
    had begun a step. Then bring back.
    """
    app, found = App(folder), list[float]()
    await app.run("ship")
    running = app.start("ship", "--with", str(change), "--retry")
    for step in islice(cycle(KILLED_AFTER), times):
        with ended(running):
            await first(app, running, past.DONE, step)
            running.kill()
        began = time.time()
        running = app.start("ship", "--with", str(change))
        found.append((await first(app, running, past.INTENT)).time - began)
    with ended(running):
        await app.run("rollback", "--env", app.environment)
    print_resumed(found)


async def first(app: App, running: subprocess.Popen[bytes], kind: str, step: str = "") -> Entry:
    """The first entry of ``kind`` (and ``step``) that this very process writes, once it is there.

    The watcher may write too; a lease names the process that holds it.
    """

    def written() -> Entry | None:
        entries = app.entries()
        ours = {e.holder for e in entries if e.kind == LEASE and e.data["pid"] == running.pid}
        mine = (e for e in entries if e.kind == kind and e.holder in ours)
        return next((e for e in mine if step in ("", e.data["step"])), None)

    return await wait_for(written, running)


def print_resumed(seconds: Sequence[float]) -> None:
    """From the command's start to the first step that it begins."""
    shown = ", ".join(f"{one:.2f}" for one in seconds)
    print(f"killed in the middle of a rollout and run again, until it had begun a step: {shown} s, "
          f"aim {AIM_RESUME:g} s")  # fmt: skip
