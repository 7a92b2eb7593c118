"""docs/faults.md names tests, and each is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text()
FAULTS = sorted((ROOT / "tests" / "targets" / "kubernetes").glob("test_faults*.py"))


def named(pattern: str) -> set[str]:
    """What the last column of a table names."""
    last = [line.rstrip(" |").rpartition("|")[2] for line in PAGE.splitlines() if "|" in line]
    return set(re.findall(pattern, "\n".join(last)))


def test_every_place_that_is_named_is_there() -> None:
    assert {place for place in named(r"`(tests/[\w/.]+)`") if not (ROOT / place).exists()} == set()


def test_every_fault_of_a_cluster_is_in_the_table_and_the_other_way_round() -> None:
    tests = {name for file in FAULTS for name in re.findall(r"def (test_\w+)", file.read_text())}
    assert named(r"`(test_\w+)`") == tests
