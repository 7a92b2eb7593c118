"""Requests/s of ``evaluate`` beside a plain concurrent client of the same model server.

``python -m bench.evaluation APP``, after ``greenlight ship APP``. Both ask the same cases with the
same concurrency, in turn, so that a machine which slows down slows both. The floor goes straight
to the model server's socket with the prompts written out: no gateway, no application, no answers
kept.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from pipelines.asking import request_body
from pipelines.dataset import Case, Dataset
from pipelines.evaluate import Side, measure
from pipelines.reporting import Silent
from pipelines.targets.base import Endpoint
from pipelines.workspace import Workspace, open_workspace
from serving import local
from serving.application.prompt import load, render
from serving.application.requests import read

ROUNDS = 4
CASES = 32


async def floor(folder: Path, bodies: list[dict[str, Any]], socket: str, workers: int) -> float:
    """Requests/s of ``workers`` plain clients at the model server's socket."""
    queue = iter(bodies)
    connector = aiohttp.UnixConnector(path=str(folder / socket), limit=workers)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for body in queue:
                async with session.post("http://engine/v1/chat/completions", json=body) as answer:
                    await answer.read()
                    answer.raise_for_status()

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(workers)))
        return len(bodies) / (time.perf_counter() - started)


def ours(
    workspace: Workspace,
    release: str,
    endpoint: Endpoint,
    inputs: tuple[str, ...],
    cases: tuple[Case, ...],
) -> float:
    """Requests/s of the evaluation itself, its latency run left out."""
    started = time.perf_counter()
    seen: list[float] = []

    class Clock(Silent):
        def progress(self, done: int, total: int, text: str = "") -> None:
            if text == "candidate" and done == total:
                seen.append(time.perf_counter() - started)

    settings = workspace.spec.evaluation.model_copy(update={"latency_cases": 1})
    dataset = Dataset(cases, "0" * 64, b"")
    with tempfile.TemporaryDirectory() as scratch:
        side = Side(release, endpoint, inputs, Path(scratch) / "answers.jsonl")
        asyncio.run(measure(side, None, dataset, settings, Clock()))
    return len(cases) / seen[0]


def main() -> None:
    """Print one line a round, then the ratio of the medians."""
    workspace = open_workspace(Path(sys.argv[1]))
    first = workspace.environments[0]
    folder = workspace.state.environment(first)
    slots = local.declared(folder).slots
    if not slots:
        sys.exit(f"nothing is deployed in {first}: run `greenlight ship {sys.argv[1]}` first")
    slot, spec = next(iter(slots.items()))
    prompt = load(spec.bundle, spec.label, lambda text: text)
    cases = workspace.dataset.cases[:CASES]
    inputs = tuple(spec.bundle["prompt"]["inputs"])
    endpoint = workspace.targets[first].endpoint(slot)
    bodies = [render(read(request_body(case, endpoint, inputs)), prompt) for case in cases]
    plain = [{**body, "stream": False} for body in bodies]
    for body in plain:
        body.pop("stream_options", None)
    workers = workspace.spec.evaluation.concurrency
    rates: dict[str, list[float]] = {"plain client": [], "evaluate": []}
    for number in range(ROUNDS):
        for name in sorted(rates, reverse=number % 2 == 0):
            if name == "evaluate":
                rate = ours(workspace, spec.release, endpoint, inputs, cases)
            else:
                rate = asyncio.run(floor(folder, plain, spec.engine.socket, workers))
            rates[name].append(rate)
    for name, values in rates.items():
        shown = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name:14} {statistics.median(values):6.2f} requests/s  ({shown})")
    ratio = statistics.median(rates["evaluate"]) / statistics.median(rates["plain client"])
    print(f"evaluate / plain client: {ratio:.2f}")


if __name__ == "__main__":
    main()
