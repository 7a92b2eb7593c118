"""The README's commands, run as they are written, from a copy of the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def commands() -> list[str]:
    """The lines of every ``sh`` block, in order. ``./greenlight test`` is in another kind."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def checkout() -> Iterator[Path]:
    """What git would give a newcomer: tracked and new files, nothing that is ignored."""
    folder = Path(tempfile.mkdtemp(prefix="gl-"))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    yield folder
    subprocess.run(["./greenlight", "destroy", "examples/support-bot"], cwd=folder, check=False)
    shutil.rmtree(folder)


def run(checkout: Path, command: str) -> str:
    """Run one line in a shell, as a reader would; its standard output."""
    done = subprocess.run(
        ["sh", "-c", command], cwd=checkout, env={**os.environ}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def live_release(checkout: Path) -> str:
    """What is live in production."""
    text = run(checkout, "./greenlight status examples/support-bot --json")
    return str(json.loads(text)["environments"]["production"]["live"])


def answer(shipped: str) -> str:
    """What production answers to the command that ``ship`` printed, and by which release."""
    command = shipped.split("Ask production:\n")[1].strip()
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["choices"][0]["message"]["content"])


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(3600)
def test_every_command_of_the_readme_works(checkout: Path) -> None:
    """In the README's order, each ending as it says; what is slow comes back, what is worse is
    refused.
    """
    live = {}
    for command in commands():
        out = run(checkout, command)
        if " ship " in command:
            live[command.partition("--with")[2].split()[0] if "--with" in command else ""] = (
                live_release(checkout)
            )
        if out.count("Ask production:"):
            assert answer(out)

    changes = "examples/support-bot/changes"
    assert live[f"{changes}/slow-in-traffic.yaml"] == live[""]
    assert live[f"{changes}/better-prompt.yaml"] != live[""]
    assert live[f"{changes}/worse-prompt.yaml"] == live[f"{changes}/better-prompt.yaml"]
    state = checkout / "examples/support-bot/.greenlight"
    assert {"evidence", "keys", "ledger"} == {path.name for path in state.iterdir()}


def test_every_link_of_the_readme_leads_somewhere() -> None:
    """No link to a file that is not there."""
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_readme_names_every_command() -> None:
    """And the table of exit codes is whole."""
    from cli.__main__ import COMMANDS

    text = (ROOT / "README.md").read_text()

    assert [name for name in COMMANDS if f"`{name}" not in text] == []
    assert re.findall(r"^\| (\d+) \|", text, re.M) == ["0", "2", "3", "4", "5", "130", "1"]
