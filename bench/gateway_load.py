"""What the gateway bears on one core: requests a second, and whether its memory stays flat.

    python -m bench.gateway_load --requests 1000000

The gateway has a core of its own, the stand-in server and the client have the others. Every
connection asks again as soon as it is answered, until all requests are made; memory is read on
the way. The first tenth counts for neither: it fills pools and caches.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass

import psutil

from bench.gateway import Connection, both, connect

CONNECTIONS, PARTS = 16, 10
TARGET = 1500.0  # requests a second on one core
FLAT = 0.02  # share by which memory may grow from the second part to the last
MIB = 2**20


@dataclass(frozen=True)
class Reading:
    """After so many requests: seconds on the clock, and the gateway's own of processor time;
    its resident memory in bytes."""

    requests: int
    clock: float
    processor: float
    memory: int


def read(requests: int, gateway: psutil.Process) -> Reading:
    """What the gateway has used until now."""
    used = gateway.cpu_times()
    memory = gateway.memory_info().rss
    return Reading(requests, time.perf_counter(), used.user + used.system, memory)


def one_core(gateway: psutil.Process) -> str:
    """Give the gateway a core of its own where there are two; what was done, in words."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return "everything on one core"
    gateway.cpu_affinity(cores[-1:])
    os.sched_setaffinity(0, cores[:-1])
    return f"the gateway alone on one core of {len(cores)}"


async def load(port: int, requests: int, gateway: psutil.Process) -> list[Reading]:
    """Make all requests; a reading at the start and after each part."""
    connections = await connect(port, CONNECTIONS)
    readings = [read(0, gateway)]
    for part in range(1, PARTS + 1):
        each = requests // PARTS // CONNECTIONS
        await asyncio.gather(*(ask(connection, each) for connection in connections))
        readings.append(read(part * each * CONNECTIONS, gateway))
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for connection in connections:
        connection.close()
    return readings


async def ask(connection: Connection, times: int) -> None:
    """So many requests, one after the other."""
    for _ in range(times):
        await connection.ask()


def report(readings: list[Reading]) -> None:
    """Print memory at the start, the middle and the end, and both rates."""
    warm, last = readings[1], readings[-1]
    print("| requests | resident memory, MiB |\n|---|---|")
    for one in (readings[0], warm, readings[PARTS // 2], last):
        print(f"| {one.requests:,} | {one.memory / MIB:.1f} |")
    made, grown = last.requests - warm.requests, last.memory / warm.memory - 1
    rate = made / (last.clock - warm.clock)
    print(f"\nmemory grew by {grown:.1%}: {'flat' if grown <= FLAT else 'NOT FLAT'}")
    print(f"requests/s: {rate:,.0f}, aim {TARGET:,.0f}: {'met' if rate >= TARGET else 'MISSED'}")
    print(f"requests per second of the gateway's processor time: {made / busy(warm, last):,.0f}")


def busy(before: Reading, after: Reading) -> float:
    """Seconds of processor time between two readings."""
    return after.processor - before.processor


def main(arguments: list[str]) -> int:
    """Run it: about two minutes with what is asked for by default."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway_load", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    options = parser.parse_args(arguments)
    with both() as (ports, pid):
        gateway = psutil.Process(pid)
        where = one_core(gateway)
        readings = asyncio.run(load(ports["gateway"], options.requests, gateway))
    print(f"{CONNECTIONS} connections, {where}; load average {os.getloadavg()[0]:.1f}\n")
    report(readings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
