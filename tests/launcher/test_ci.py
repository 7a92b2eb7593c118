"""What CI and the commit hooks run: the same commands as a person, at the same versions."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.launcher.sandbox import ROOT

LAUNCHER = """#!/bin/sh
read -r line && echo "there was input: $line"
echo "greenlight $* in $PWD with CI=$CI"
exit $ENDS
"""


APT = """#!/bin/sh
echo "apt-get $*" >&2
"""


@dataclass(frozen=True)
class Ran:
    """How a run in a made-up checkout ended."""

    code: int
    out: str
    err: str


def run_ci(folder: Path, code: int = 0, user: int = 0, tools: Sequence[str] = ("chromium",)) -> Ran:
    """``.ci/run`` where nothing is on PATH but ``tools`` and what the script itself needs."""
    (folder / ".ci").mkdir()
    (folder / "bin").mkdir()
    scripts = {
        ".ci/run": (ROOT / ".ci" / "run").read_text(),
        "greenlight": LAUNCHER,
        "bin/id": f"#!/bin/sh\necho {user}\n",
        **{f"bin/{tool}": APT for tool in tools},
    }
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    for tool in ("bash", "dirname"):
        (folder / "bin" / tool).symlink_to(str(shutil.which(tool)))
    done = subprocess.run(
        [str(folder / "bin/bash"), str(folder / ".ci" / "run")],
        cwd="/",
        env={"PATH": str(folder / "bin"), "ENDS": str(code)},
        input=b"something\n",
        capture_output=True,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("code", [0, 1, 5])
def test_ci_runs_the_test_command_and_ends_as_it_does(tmp_path: Path, code: int) -> None:
    """From any folder, without standard input; no tests (pytest's 5) is a failure too."""
    found = run_ci(tmp_path, code)

    assert found.code == code
    assert found.out == f"+ ./greenlight test \ngreenlight test in {tmp_path} with CI=true\n"


def test_ci_installs_a_browser_as_root_where_there_is_none(tmp_path: Path) -> None:
    found = run_ci(tmp_path, tools=("apt-get",))

    assert found.out.startswith("+ apt-get install chromium\n+ ./greenlight test")
    assert found.err.splitlines() == [
        "apt-get -q update", "apt-get -qy install --no-install-recommends chromium"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("user", "tools"),
    [(0, ("chromium", "apt-get")), (1000, ("apt-get",)), (0, ())],
    ids=["there is one", "not root", "no apt-get"],
)
def test_ci_installs_nothing_else(tmp_path: Path, user: int, tools: tuple[str, ...]) -> None:
    found = run_ci(tmp_path, user=user, tools=tools)

    assert (found.code, found.err) == (0, "")
    assert found.out.startswith("+ ./greenlight test")


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
