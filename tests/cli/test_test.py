"""``greenlight test``: what runs at once, what runs alone, and how it ends."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import pytest

from cli import test as command

NO_TESTS = 5


def ran(
    monkeypatch: pytest.MonkeyPatch, *words: str, fast: bool = False, codes: Sequence[int] = ()
) -> tuple[int, list[str]]:
    """The exit code and every command, where pytest ends with ``codes`` one after the other."""
    lines: list[str] = []
    left = list(codes)

    def run(line: tuple[str, ...]) -> int:
        lines.append(" ".join(line))
        return left.pop(0) if line[0] == "pytest" and left else 0

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    return command.run(argparse.Namespace(fast=fast, passed_on=list(words))), lines


def test_checks_come_first_and_what_runs_alone_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    code, lines = ran(monkeypatch, "-x")

    assert code == 0
    assert [line.split()[0] for line in lines] == ["ruff", "ruff", "mypy", "lint-imports"] + [
        "pytest"
    ] * 2
    assert lines[-2].startswith("pytest -n 3 --dist loadscope ")
    assert lines[-2].endswith("-m not alone -x")
    assert lines[-1] == "pytest -m alone -x"


def test_fast_leaves_out_what_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines = ran(monkeypatch, fast=True)

    assert [line for line in lines if "pytest" in line][-1].endswith(" -m not slow")
    assert sum("pytest" in line for line in lines) == 1


def test_marks_of_ones_own_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines = ran(monkeypatch, "-m", "slow")

    assert [line.count("-m") for line in lines if "pytest" in line] == [1]


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((1, 0), 1),
        ((0, 1), 1),
        ((NO_TESTS, 0), 0),
        ((0, NO_TESTS), 0),
        ((NO_TESTS, NO_TESTS), NO_TESTS),
        ((2,), 2),
    ],
)
def test_it_ends_as_pytest_does_and_no_test_at_all_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, codes: Sequence[int], code: int
) -> None:
    """Words that choose a test leave one of the two runs with nothing to do."""
    assert ran(monkeypatch, codes=codes)[0] == code


def test_the_first_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lines = ran(monkeypatch, codes=(1,))

    assert sum("pytest" in line for line in lines) == 1
