"""What CI and the commit hooks run: the same commands as a person, at the same versions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.launcher.sandbox import ROOT

LAUNCHER = """#!/bin/sh
read -r line && echo "there was input: $line"
echo "greenlight $* in $PWD with CI=$CI"
exit $ENDS
"""


@pytest.mark.parametrize("code", [0, 1, 5])
def test_ci_runs_the_test_command_and_ends_as_it_does(tmp_path: Path, code: int) -> None:
    """From any folder, without standard input; no tests (pytest's 5) is a failure too."""
    (tmp_path / ".ci").mkdir()
    for name, text in ((".ci/run", (ROOT / ".ci" / "run").read_text()), ("greenlight", LAUNCHER)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(tmp_path / ".ci" / "run")],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "ENDS": str(code)},
        input=b"something\n",
        capture_output=True,
    )
    assert done.returncode == code
    assert done.stdout.decode() == (
        f"+ ./greenlight test \ngreenlight test in {tmp_path} with CI=true\n"
    )


def test_commit_hooks_come_from_the_locked_environment() -> None:
    """Nothing is fetched from elsewhere, and every command is one that `.venv` holds."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    commands = [hook["entry"].split()[0] for hook in config["repos"][0]["hooks"]]
    assert commands == [
        ".venv/bin/ruff",
        ".venv/bin/ruff",
        ".venv/bin/mypy",
        ".venv/bin/lint-imports",
    ]
