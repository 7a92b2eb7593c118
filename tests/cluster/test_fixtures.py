"""A run that leaves out what is slow neither builds nor starts a cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cluster.sharing import ROOT

TESTS = """
def test_with(cluster): ...
def test_below(namespace): ...
def test_without(): ...
"""


def test_whatever_uses_a_cluster_is_slow(tmp_path: Path) -> None:
    """Also where a test says nothing about it, or uses it through another fixture."""
    (tmp_path / "test_them.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 600\nmarkers = slow\n")
    chosen = ("-m", "not slow", "--collect-only", "-q", str(tmp_path))

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.cluster.fixtures", *chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert "1/3 tests collected (2 deselected)" in done.stdout, done.stdout + done.stderr
