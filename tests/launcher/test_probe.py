"""Which versions are good enough, and what set-up says while it works."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.probe import misfit, number
from tools.progress import Progress, clock_text

VERSIONS = st.tuples(*[st.integers(0, 9999)] * 3)


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


@given(VERSIONS, VERSIONS, VERSIONS)
def test_a_version_fits_from_the_floor_to_just_below_the_ceiling(
    version: tuple[int, ...], floor: tuple[int, ...], ceiling: tuple[int, ...]
) -> None:
    """By number, not by letter: 3.9 is older than 3.10."""
    why = misfit(dotted(version), dotted(floor), dotted(ceiling))
    assert (why == "") == (floor <= version < ceiling)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("v3.259.0", (3, 259, 0)),
        ("uv 0.13.9 (x86_64-unknown-linux-gnu)", (0, 13, 9)),
        ("uv 0.13.9 (a1b2c3d 2026-10-01)", (0, 13, 9)),
        ("1.26", (1, 26, 0)),
        ("1.26.8 linux/amd64", (1, 26, 8)),
        ("", (0, 0, 0)),
    ],
)
def test_a_version_is_found_in_what_a_tool_says(said: str, expected: tuple[int, ...]) -> None:
    assert number(said) == expected


@pytest.mark.parametrize(
    "said", ["v3.260.0-alpha.1", "3.260.0-dev", "1.27rc1", "1.27beta2", "unknown", ""]
)
def test_what_has_no_plain_number_never_fits(said: str) -> None:
    assert misfit(said, "0.0.0")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.9, "59 s"), (60, "1 m 00 s"), (367, "6 m 07 s")]
)
def test_elapsed_time_reads_well(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress_of(stream: io.StringIO, seconds: int) -> str:
    """What is written about a step of so many seconds that reports ten times each second."""
    now = [0.0]
    progress = Progress(stream, clock=lambda: now[0])
    with progress.step("building"):
        for tenth in range(seconds * 10):
            now[0] = tenth / 10
            progress.tick("a package")
    return stream.getvalue()


def test_in_a_log_a_line_appears_every_15_seconds() -> None:
    lines = progress_of(io.StringIO(), 40).splitlines()
    assert lines == [
        "greenlight: building …",
        "greenlight: building, 15 s: a package",
        "greenlight: building, 30 s: a package",
        "greenlight: building: done in 39 s",
    ]


def test_on_a_terminal_one_line_is_kept_up_to_date() -> None:
    written = progress_of(Terminal(), 4)
    assert written.count("\n") == 2
    assert written.count("\r\x1b[Kgreenlight: building, 2 s: a package") == 2


def test_a_live_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that wraps cannot be replaced."""
    monkeypatch.setenv("COLUMNS", "30")
    written = progress_of(Terminal(), 2)
    live = [part for part in written.split("\r\x1b[K") if not part.endswith("\n")]
    assert live
    assert all(len(part) < 30 for part in live)
