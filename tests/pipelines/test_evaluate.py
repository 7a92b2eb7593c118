"""Measuring releases: each question once, a few at a time, and nothing lost when it is cut."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from pipelines import asking
from pipelines.dataset import Case, Dataset
from pipelines.evaluate import (
    Side,
    UnmeasuredError,
    answers_file,
    measure,
    read_answers,
    spread,
)
from pipelines.gates import Measurements
from release.errors import BadInput
from release.spec import Evaluation
from tests.pipelines.standin import KEY, Reply, StandIn, completion, standing_in

CASES = tuple(Case(f"c{n}", f"question {n}", "context", "green", (), n) for n in range(10))
DATASET = Dataset(CASES, "d" * 64, b"")
QUESTIONS = [case.query for case in CASES]


@dataclass
class Heard:
    """A reporter that keeps what it was told, and may cut the run after so many answers.

    ``on_disk`` is how many answers the ``watched`` file had each time.
    """

    cut_after: int = 10**9
    watched: Path | None = None
    on_disk: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: list[tuple[str, int, int]] = field(default_factory=list)

    def step(self, text: str) -> None:
        """Nothing here begins a step."""

    def note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def progress(self, done: int, total: int, text: str = "") -> None:
        """Keep it; fail where the test wants the run to be cut."""
        self.counts.append((text, done, total))
        if self.watched:
            self.on_disk.append(len(read_answers(self.watched)))
        if len(self.counts) >= self.cut_after:
            raise KeyError("cut")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSE", 0.0)


def settings(concurrency: int = 3, latency_cases: int = 5) -> Evaluation:
    text = {
        "data": "cases.jsonl",
        "concurrency": concurrency,
        "latency_cases": latency_cases,
        "timeout_seconds": 5,
        "gates": [{"metric": "f1", "min": 0.5}],
    }
    return Evaluation.model_validate_json(json.dumps(text))


@dataclass
class Run:
    """One measurement against a stand-in: what came of it, and what was asked."""

    server: StandIn
    heard: Heard
    ours: Measurements | None = None
    theirs: Measurements | None = None
    error: Exception | None = None


def run(
    folder: Path,
    reply: Reply | None = None,
    *,
    incumbent: bool = False,
    concurrency: int = 3,
    latency_cases: int = 5,
    seconds: float = 0.0,
    together: int = 0,
    cut_after: int = 10**9,
) -> Run:
    """Measure the candidate, and the incumbent where there is one, with answers in ``folder``."""

    async def go() -> Run:
        async with standing_in() as server:
            server.reply, server.seconds = reply or server.reply, seconds
            server.together = together
            done = Run(server, Heard(cut_after, folder / "answers/candidate.jsonl"))

            def side(name: str) -> Side:
                path = folder / f"answers/{name}.jsonl"
                return Side(name, server.endpoint(name), ("query", "context"), path)

            other = side("incumbent") if incumbent else None
            try:
                done.ours, done.theirs = await measure(
                    side("candidate"), other, DATASET, settings(concurrency, latency_cases),
                    done.heard,
                )  # fmt: skip
            except Exception as error:
                done.error = error
            return done

    return asyncio.run(go())


def asked_for_answers(done: Run, side: str = "candidate", timed: int = 5) -> list[str]:
    """The questions that were asked to be scored, without those for the clock."""
    questions = done.server.questions(side)
    return sorted(questions[: len(questions) - timed])


def test_every_case_is_asked_once_and_some_once_more_for_the_clock(tmp_path: Path) -> None:
    done = run(tmp_path)

    assert done.error is None
    assert done.ours is not None
    assert asked_for_answers(done) == QUESTIONS
    assert sorted(done.ours.answers) == [case.id for case in CASES]
    assert [answer.case for answer in done.ours.timings] == ["c0", "c2", "c4", "c6", "c8"]
    assert done.theirs is None


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    """A bar on long work."""
    counts = run(tmp_path).heard.counts

    assert counts[9] == ("candidate", 10, 10)
    assert counts[-1][1:] == (5, 5)


def test_an_answer_is_written_down_before_it_is_counted(tmp_path: Path) -> None:
    """A kill at any moment loses what is in flight, and nothing else."""
    done = run(tmp_path)

    assert done.heard.on_disk[:10] == list(range(1, 11))


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_never_more_are_asked_at_once_than_agreed(tmp_path: Path, concurrency: int) -> None:
    """Nor fewer, while there are questions left."""
    done = run(tmp_path, concurrency=concurrency, seconds=0.02, together=concurrency)

    assert done.server.most_at_once == concurrency


def test_the_clock_is_asked_one_at_a_time(tmp_path: Path) -> None:
    run(tmp_path, incumbent=True)

    again = run(tmp_path, incumbent=True, concurrency=8, seconds=0.01)

    assert len(again.server.asked) == 10
    assert again.server.most_at_once == 1


def test_latency_is_measured_in_turn_and_who_begins_changes(tmp_path: Path) -> None:
    """A B, B A, A B: a machine that slows down slows both alike."""
    done = run(tmp_path, incumbent=True)

    assert done.server.asked[20:] == [
        ("candidate", "question 0"), ("incumbent", "question 0"),
        ("incumbent", "question 2"), ("candidate", "question 2"),
        ("candidate", "question 4"), ("incumbent", "question 4"),
        ("incumbent", "question 6"), ("candidate", "question 6"),
        ("candidate", "question 8"), ("incumbent", "question 8"),
    ]  # fmt: skip
    assert done.theirs is not None
    assert len(done.theirs.timings) == 5


def test_answers_of_an_earlier_run_are_kept_and_latency_never_is(tmp_path: Path) -> None:
    """The machine of last week is another machine."""
    run(tmp_path, incumbent=True)

    done = run(tmp_path, incumbent=True)

    assert len(done.server.questions("candidate")) == 5
    assert len(done.server.questions("incumbent")) == 5
    assert done.ours is not None
    assert len(done.ours.answers) == 10
    assert done.heard.notes == [
        "candidate: 10 answers from an earlier run on the same set",
        "incumbent: 10 answers from an earlier run on the same set",
    ]


def test_a_run_that_was_cut_asks_only_the_rest(tmp_path: Path) -> None:
    """Each answer is written as it comes."""
    cut = run(tmp_path, concurrency=1, cut_after=4)
    assert isinstance(cut.error, KeyError)

    done = run(tmp_path)

    assert asked_for_answers(done) == QUESTIONS[4:]
    assert done.heard.notes == ["candidate: 4 answers kept from a run that was cut"]
    assert done.ours is not None
    assert len(done.ours.answers) == 10


def tear(data: bytes) -> bytes:
    return data[:-20]


def end_with_zeros(data: bytes) -> bytes:
    return data + b"\0" * 40


def end_within_a_character(data: bytes) -> bytes:
    return data + '{"case": "é'.encode()[:-1]


@pytest.mark.parametrize(
    ("damage", "kept"), [(tear, 3), (end_with_zeros, 4), (end_within_a_character, 4)]
)
def test_a_last_line_that_was_cut_is_asked_again(
    tmp_path: Path, damage: Callable[[bytes], bytes], kept: int
) -> None:
    """A kill in the middle of a write; the file is whole again afterwards."""
    run(tmp_path, concurrency=1, cut_after=4)
    path = tmp_path / "answers/candidate.jsonl"
    path.write_bytes(damage(path.read_bytes()))

    done = run(tmp_path)

    assert asked_for_answers(done) == QUESTIONS[kept:]
    assert len(read_answers(path)) == 10


GOOD = '{"case": "c0", "text": "green", "seconds": 0.5, "completion_tokens": 3}'
DAMAGED = {
    "garbage": "garbage",
    "an empty line": "",
    "a list": "[]",
    "null": "null",
    "not UTF-8": "\udcff",
    "zeros": "\0\0",
    "deep": "[" * 100_000,
    "a missing key": '{"case": "c1", "text": "green", "seconds": 0.5}',
    "a number for a text": GOOD.replace('"green"', "7"),
    "a text for a number": GOOD.replace("0.5", '"0.5"'),
}


@pytest.mark.parametrize("line", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_line_in_the_middle_is_an_error_that_names_it(tmp_path: Path, line: str) -> None:
    """Nobody knows who wrote it: no score comes from that file, and nothing is asked."""
    path = tmp_path / "answers/candidate.jsonl"
    path.parent.mkdir()
    path.write_bytes(f"{GOOD}\n{line}\n{GOOD}\n".encode("utf-8", "surrogateescape"))

    done = run(tmp_path)

    assert isinstance(done.error, BadInput)
    (problem,) = done.error.problems
    assert (problem.file, problem.line) == (str(path), 2)
    assert "Remove the file" in problem.remedy
    assert done.server.asked == []


def test_answers_that_nobody_wrote_are_none(tmp_path: Path) -> None:
    assert read_answers(tmp_path / "none.jsonl") == {}


def test_answers_are_kept_for_one_release_on_one_set(tmp_path: Path) -> None:
    names = {
        answers_file(tmp_path, release, Dataset((), digest, b""))
        for release in ("a" * 64, "b" * 64)
        for digest in ("c" * 64, "d" * 64)
    }

    assert len(names) == 4


def fails_on(number: int, attempts: int, side: str = "candidate") -> Reply:
    def reply(asked: str, question: str, before: int) -> web.Response:
        bad = asked == side and question == f"question {number}" and before < attempts
        return web.Response(status=500) if bad else completion()

    return reply


def test_an_answer_that_failed_is_asked_for_again(tmp_path: Path) -> None:
    done = run(tmp_path, fails_on(7, asking.ATTEMPTS - 1))

    assert done.error is None
    assert done.server.questions("candidate").count("question 7") == asking.ATTEMPTS


@pytest.mark.parametrize("side", ["candidate", "incumbent"])
def test_S13_a_case_without_an_answer_leaves_the_release_unmeasured(
    tmp_path: Path, side: str
) -> None:
    """Never a score over the others: the error names side and case, and what came instead."""
    done = run(tmp_path, fails_on(7, 10**9, side), incumbent=True)

    assert isinstance(done.error, UnmeasuredError)
    assert str(done.error) == (
        f"the {side} left case c7 unanswered: HTTP status 500: Internal Server Error"
    )
    assert KEY not in str(done.error)


def test_what_was_answered_before_a_failure_is_kept(tmp_path: Path) -> None:
    run(tmp_path, fails_on(7, 10**9), concurrency=1)

    done = run(tmp_path)

    assert asked_for_answers(done) == QUESTIONS[7:]


def test_S13_a_request_without_a_time_leaves_the_release_unmeasured(tmp_path: Path) -> None:
    """The clock has one attempt: a second one would measure a warmed-up cache."""
    run(tmp_path)

    done = run(tmp_path, fails_on(4, 1))

    assert isinstance(done.error, UnmeasuredError)
    assert str(done.error).startswith("no latency could be measured for case c4: HTTP status 500")


def test_another_error_is_told_as_it_is(tmp_path: Path) -> None:
    """A full disk is not a slow model, and one error is easier to read than a group."""
    (tmp_path / "answers").write_text("a file where a folder has to be")

    done = run(tmp_path)

    assert isinstance(done.error, OSError)


SPREADS: list[tuple[int, int, list[int]]] = [
    (10, 5, [0, 2, 4, 6, 8]),
    (10, 10, list(range(10))),
    (10, 20, list(range(10))),
    (10, 3, [0, 3, 6]),
    (10, 1, [0]),
    (1, 5, [0]),
]


@pytest.mark.parametrize(("cases", "count", "chosen"), SPREADS)
def test_a_sample_is_spread_over_the_set(cases: int, count: int, chosen: list[int]) -> None:
    """A set is often sorted by subject."""
    assert spread(CASES[:cases], count) == tuple(CASES[number] for number in chosen)
