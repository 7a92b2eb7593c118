"""Measuring a release: all cases once, then a few in turn with the incumbent for the clock.

Answers are written down one by one, so that a run which was cut asks only what is missing, and
an incumbent that was measured on the same set is not asked again. Its latency is, always: the
machine of last week is another machine.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import TypeAdapter

from pipelines.asking import NoAnswerError, ask, ask_once, open_session
from pipelines.dataset import Case, Dataset
from pipelines.gates import Answer, Measurements
from pipelines.reporting import Reporter
from pipelines.targets.base import Endpoint
from release.errors import BadInput, Problem
from release.files import sync_folder
from release.spec import Evaluation

_ANSWER = TypeAdapter(Answer)


class UnmeasuredError(Exception):
    """A slot left cases without an answer: there is no score, not a low one."""


@dataclass(frozen=True)
class Side:
    """One of the releases compared: where to ask it, and the file of its answers so far."""

    release: str
    endpoint: Endpoint
    inputs: tuple[str, ...]
    answers: Path


def answers_file(folder: Path, release: str, dataset: Dataset) -> Path:
    """Where the answers of ``release`` to this set are kept."""
    return folder / f"{release[:16]}-{dataset.digest[:16]}.jsonl"


def read_answers(path: Path) -> dict[str, Answer]:
    """Answers written so far by case id; a last line cut by a kill is left out.

    BadInput for a line that is no answer: a file that was damaged elsewhere is not trusted.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    answers = (_parse(line, path, number) for number, line in enumerate(lines[:-1], 1))
    return {answer.case: answer for answer in answers}


def _parse(line: bytes, path: Path, number: int) -> Answer:
    try:
        return _ANSWER.validate_json(line, strict=True)
    except ValueError as error:
        raise BadInput(
            Problem(
                file=str(path),
                line=number,
                expected="an answer as an evaluation wrote it",
                found="something else",
                remedy="Remove the file: the questions are asked again.",
            )
        ) from error


async def measure(
    candidate: Side,
    incumbent: Side | None,
    dataset: Dataset,
    settings: Evaluation,
    reporter: Reporter,
) -> tuple[Measurements, Measurements | None]:
    """Measurements of both sides. Raises UnmeasuredError when a case stays without an answer."""
    answers = await _answer_all(candidate, dataset, settings, reporter, "candidate")
    others = None
    if incumbent:
        others = await _answer_all(incumbent, dataset, settings, reporter, "incumbent")
    sides = [candidate, incumbent] if incumbent else [candidate]
    timings = await _time_in_turn(sides, dataset.cases, settings, reporter)
    return (
        Measurements(answers, timings[0]),
        Measurements(others, timings[1]) if others is not None else None,
    )


async def _answer_all(
    side: Side, dataset: Dataset, settings: Evaluation, reporter: Reporter, name: str
) -> dict[str, Answer]:
    """Ask what is not answered yet, ``concurrency`` at a time, each answer written at once."""
    answers = read_answers(side.answers)
    total = len(dataset.cases)
    missing = [case for case in dataset.cases if case.id not in answers]
    if not missing:
        reporter.note(f"{name}: {total} answers from an earlier run on the same set")
        return answers
    if answers:
        reporter.note(f"{name}: {len(answers)} answers kept from a run that was cut")
    side.answers.parent.mkdir(parents=True, exist_ok=True)
    _drop_torn_line(side.answers)
    queue = iter(missing)
    with side.answers.open("a", encoding="utf-8") as file:

        async def work() -> None:
            for case in queue:
                try:
                    answer = await ask(session, side.endpoint, case, side.inputs)
                except NoAnswerError as error:
                    reason = f"the {name} left case {case.id} unanswered: {error}"
                    raise UnmeasuredError(reason) from None
                file.write(json.dumps(asdict(answer)) + "\n")
                file.flush()
                answers[case.id] = answer
                reporter.progress(len(answers), total, name)

        async with open_session(settings.concurrency, settings.timeout_seconds) as session:
            await _all_or_none([work() for _ in range(settings.concurrency)])
    sync_folder(side.answers.parent)
    return answers


def _drop_torn_line(path: Path) -> None:
    """Cut what follows the last line end, which a kill in mid-write leaves."""
    if path.exists():
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)


async def _all_or_none(workers: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first that fails stops the others, and its error is the one that is told."""
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _time_in_turn(
    sides: Sequence[Side], cases: Sequence[Case], settings: Evaluation, reporter: Reporter
) -> list[tuple[Answer, ...]]:
    """One request at a time, the sides in turn, and who goes first in turn as well."""
    chosen = spread(cases, settings.latency_cases)
    timings: list[list[Answer]] = [[] for _ in sides]
    async with open_session(1, settings.timeout_seconds) as session:
        for number, case in enumerate(chosen):
            order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
            for i in order:
                timings[i].append(await _timed(session, sides[i], case))
            reporter.progress(number + 1, len(chosen), "latency, one at a time")
    return [tuple(side) for side in timings]


async def _timed(session: aiohttp.ClientSession, side: Side, case: Case) -> Answer:
    try:
        return await ask_once(session, side.endpoint, case, side.inputs)
    except NoAnswerError as error:
        raise UnmeasuredError(f"no latency could be measured for case {case.id}: {error}") from None


def spread(cases: Sequence[Case], count: int) -> tuple[Case, ...]:
    """``count`` cases (or all) evenly over the set: a set is often sorted by subject."""
    count = min(count, len(cases))
    return tuple(cases[i * len(cases) // count] for i in range(count))
