"""The real engine with the pack: the repository's own stack passes, a broken pack never does.

What the pack refuses is in tests/pipelines/test_known_bad.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipelines.known_bad import EXECUTABLE, ROOT, packed, packed_own

FALLS = """\
from policies.pack import pack
from policies.rules.azure import kinds
from policies.rules.rule import Rule

def falls(resource):
    raise KeyError("made-up")

over = Rule("GL-AZ-XXX-001", "t", (kinds.GROUP,), "e", "r.", "https://x", falls)
pack.rules = lambda bounds: (over,)
pack.serve()
"""
MISSING = 'config["greenlight:azure"].environment: expected a name, found nothing'
DOES_NOT_LOAD = "import policies.pack.that_is_not_there\n"

pytestmark = pytest.mark.slow


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """An executable pack that runs ``pack/__main__.py``; the test writes it."""
    folder = tmp_path / "pack"
    folder.mkdir()
    text = EXECUTABLE.read_text().replace('exec "$python"', f'exec "{ROOT}/.venv/bin/python"')
    text = text.replace("PYTHONPATH=$root", f"PYTHONPATH={ROOT}")
    (folder / "start").write_text(text)
    (folder / "start").chmod(0o755)
    return folder / "start"


def test_a_stack_of_the_repository_passes(engine: str, tmp_path: Path) -> None:
    """As it does in `greenlight preview`; the engine alone tells the pack what the stack is."""
    found = packed_own("production", tmp_path)

    assert found.at("mandatory") == frozenset()
    assert found.code == 0, found.said


def test_s25_a_rule_that_falls_over_stops_the_preview(
    engine: str, tmp_path: Path, broken: Path
) -> None:
    """At each resource that it could not judge; what it fell over stays unsaid."""
    broken.with_name("__main__.py").write_text(FALLS)

    found = packed("no-budget", tmp_path, broken)

    assert found.code != 0
    assert "GL-AZ-XXX-001" in {policy for policy, _ in found.at("mandatory")}
    assert "KeyError in the rule" in found.said
    assert "made-up" not in found.said


def test_s25_a_pack_that_does_not_load_stops_the_preview(
    engine: str, tmp_path: Path, broken: Path
) -> None:
    """And the engine shows why."""
    broken.with_name("__main__.py").write_text(DOES_NOT_LOAD)

    found = packed("no-budget", tmp_path, broken)

    assert found.code != 0
    assert "that_is_not_there" in found.said


def test_s25_a_stack_that_says_no_bounds_stops_the_preview(engine: str, tmp_path: Path) -> None:
    """And the engine says which setting is missing."""
    found = packed("no-budget", tmp_path, settings="config: {}\n")

    assert found.code != 0
    assert MISSING in found.said
