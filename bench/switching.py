"""Switch and return in front of stand-in servers: what clients notice, and how soon weights hold.

The gateway and HAProxy take turns, so that a busy machine is busy for both.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice

from bench.clients import CLIENTS, Reply, Seen, keep_asking, stand_in_clients
from bench.fronts import POLL_SECONDS, Front, greenlight_front, haproxy, haproxy_front
from bench.gateway import percentile

STEPS = (5, 25, 50)  # green's weight in per cent, before it gets all
STAGES = len(STEPS) + 4  # of one switch and return
CYCLE = 5000  # requests in one switch and return, then it is the other front's turn
TURN = 10  # changes of weight, then it is the other front's turn
AIM_MS = 50.0
WATCHED_SECONDS = 0.1  # after a change of weights: twice the aim


@contextmanager
def fronts() -> Iterator[list[Front]]:
    """The gateway, and HAProxy where it is installed; else it is said why its row is missing."""
    with ExitStack() as stack:
        found: list[Front] = [stack.enter_context(greenlight_front())]
        if haproxy():
            found.append(stack.enter_context(haproxy_front()))
        else:
            print("no row for HAProxy: it is not installed (Debian's package `haproxy`)\n")
        yield found


async def switch_and_return(front: Front) -> AsyncIterator[None]:
    """From blue to green and back, one stage at a time.

    Who loses all weight is drained at once: with a pause in between there would be nobody left.
    """
    await front.start("green")
    yield
    for weight in STEPS:
        await front.weigh({"blue": 100 - weight, "green": weight})
        yield
    await front.weigh({"green": 100})
    await front.retire("blue")
    yield
    await front.start("blue")
    yield
    await front.weigh({"blue": 100})
    await front.retire("green")
    yield


@dataclass
class Run:
    """What one front came to: clients' counts, seconds under load, switches with returns."""

    front: Front
    seen: Seen = field(default_factory=Seen)
    seconds: float = 0.0
    cycles: int = 0

    async def turn(self, requests: int) -> None:
        """One switch and return, its stages spread evenly over so many requests."""
        began, before = time.perf_counter(), self.seen.requests
        stages = asyncio.create_task(self._stages(before, requests))
        clients = stand_in_clients(self.front.port)
        await keep_asking(clients, self.seen.add, stages.done)
        await stages
        self.seconds += time.perf_counter() - began
        self.cycles += 1

    async def _stages(self, before: int, requests: int) -> None:
        number = 0
        async for _ in switch_and_return(self.front):
            number += 1
            share = before + requests * number / STAGES
            while self.seen.requests < share:  # noqa: ASYNC110 - cheaper than one for each request
                await asyncio.sleep(POLL_SECONDS)


async def start_blue(found: list[Front]) -> None:
    """Before anything is measured: blue answers everything."""
    for front in found:
        await front.start("blue")
        await front.weigh({"blue": 100})


async def switch(requests: int) -> None:
    """Take turns until every front has answered so many requests; print a row for each."""
    with fronts() as found:
        await start_blue(found)
        runs = [Run(front) for front in found]
        while short := [run for run in runs if run.seen.requests < requests]:
            for run in short:
                await run.turn(min(CYCLE, requests))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print_switches(runs)


def print_switches(runs: list[Run]) -> None:
    """The table, and what went wrong, by how often."""
    steps = ", ".join(map(str, STEPS))
    print(
        f"{CLIENTS} clients, half of them streaming; green gets {steps} and 100 %, then blue all."
    )
    print("Milliseconds of whole answers, and of streams to their end.\n")
    print("| | switches and returns | requests | failed | truncated | requests/s "
          "| whole p50 | p99 | stream p50 | p99 |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    for run in runs:
        seen, rate = run.seen, run.seen.requests / run.seconds
        times = [
            percentile(seen.seconds[kind], part) for kind in (False, True) for part in (50, 99)
        ]
        shown = " | ".join(f"{seconds * 1000:.1f}" for seconds in times)
        print(f"| {run.front.name} | {run.cycles} | {seen.requests:,} | {seen.failed} "
              f"| {seen.truncated} | {rate:,.0f} | {shown} |")  # fmt: skip
    for run in runs:
        for reason, count in run.seen.reasons.most_common():
            print(f"\n{run.front.name}: {count} times {reason}")


@dataclass(frozen=True)
class Change:
    """One change of weights, in seconds: until it was answered; from then until every new
    request followed it. ``strays``: requests that began after the answer and did not follow.
    """

    answered: float
    followed: float
    strays: int


def follow(replies: list[Reply], returned: float, slot: str) -> tuple[float, int]:
    """Seconds from ``returned`` to the first request from which on all went to ``slot``, and how
    many began in between and went elsewhere. No such request: infinite.
    """
    new = sorted((r.began, r.slot) for r in replies if r.began >= returned)
    strays = [began for began, went in new if went != slot]
    last = max(strays, default=returned)
    following = next((began for began, went in new if began >= last and went == slot), float("inf"))
    return following - returned, len(strays)


@asynccontextmanager
async def load(front: Front, replies: list[Reply]) -> AsyncIterator[None]:
    """Clients that ask while the block runs; what was answered goes to ``replies``."""
    ended = asyncio.Event()
    clients = stand_in_clients(front.port)
    asking = asyncio.create_task(keep_asking(clients, replies.append, ended.is_set))
    try:
        yield
    finally:
        ended.set()
        await asking


async def change(front: Front, slot: str) -> Change:
    """Send everything to ``slot`` while clients ask, and see when it is so."""
    replies: list[Reply] = []
    async with load(front, replies):
        await asyncio.sleep(WATCHED_SECONDS)
        sent = time.perf_counter()
        await front.weigh({slot: 100})
        returned = time.perf_counter()
        await asyncio.sleep(WATCHED_SECONDS)
    return Change(returned - sent, *follow(replies, returned, slot))


async def react(times: int) -> None:
    """Turn all weight to and fro so many times at each front, in turns; print a row for each."""
    with fronts() as found:
        await start_blue(found)
        changes: dict[str, list[Change]] = {front.name: [] for front in found}
        slots = {front.name: cycle(("green", "blue")) for front in found}
        for front in found:
            await front.start("green")
        while len(changes[found[-1].name]) < times:
            for front in found:
                for slot in islice(slots[front.name], TURN):
                    changes[front.name].append(await change(front, slot))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print_changes(changes)


def print_changes(changes: Mapping[str, list[Change]]) -> None:
    """The table: milliseconds, median and maximum."""
    print(f"All weight from one slot to the other and back, {CLIENTS} clients asking. Strays began")
    print("after the change was answered and still went to the slot before. Milliseconds.\n")
    print("| | changes | change answered, median | max "
          "| then every new request follows, median | max | strays |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name, found in changes.items():
        answered = [one.answered * 1000 for one in found]
        followed = [one.followed * 1000 for one in found]
        shown = (statistics.median(answered), max(answered),
                 statistics.median(followed), max(followed))  # fmt: skip
        print(f"| {name} | {len(found)} | {' | '.join(f'{ms:.1f}' for ms in shown)} "
              f"| {sum(one.strays for one in found)} |")  # fmt: skip
    print(f"\naim: {AIM_MS:g} ms from the answer on")
