"""Running the engine: what it is told, what is kept of it, and what a kill leaves alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipelines.engine import Engine
from pipelines.workspace import ROOT
from release.errors import GreenlightError
from release.files import write_json
from release.outputs import LocalEnvironment
from release.state import StateFolder

SALT = "v1:c2FsdA==:v1:made:up"
ENVIRONMENT = {"target": "local", "address": "http://127.0.0.1:1", "folder": "/there/a"}
OUTPUTS = {"version": 1, "target": "local", "environments": {"a": ENVIRONMENT}}
CREATED = " +  pulumi-python:dynamic/local:Environment box-staging created (2s)"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine of a few lines of shell; the file holds what it does at ``up``."""
    script = tmp_path / "bin/pulumi"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/calls; env > {tmp_path}/environment\n'
        'case "$1 $2" in\n'
        f"  'stack output') echo '{json.dumps(OUTPUTS)}';;\n"
        f"  up*) . {tmp_path}/up;;\n"
        "esac\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("GREENLIGHT_PULUMI", str(script))
    (tmp_path / "up").write_text(f"echo '{CREATED}'\n")
    return tmp_path / "up"


@pytest.fixture
def engine(app: Path, stand_in: Path) -> Engine:
    """The engine of a stack that has a state."""
    engine = Engine(StateFolder(app), ROOT)
    checkpoint = engine.state.pulumi / "backend/.pulumi/stacks/greenlight/local.json"
    checkpoint.parent.mkdir(parents=True)
    provider = {"type": "passphrase", "state": {"salt": SALT}}
    write_json(checkpoint, {"checkpoint": {"latest": {"secrets_providers": provider}}})
    return engine


def test_its_lines_are_passed_on_as_far_as_they_tell_a_change(
    engine: Engine, stand_in: Path
) -> None:
    stand_in.write_text(f"echo '@ updating....'; echo '{CREATED}'; printf ' +  a:b last created'")
    notes: list[str] = []

    assert engine.up((), notes.append) == {"a": LocalEnvironment.model_validate(ENVIRONMENT)}
    assert notes == [" ".join(CREATED.split()), "+ a:b last created"]


def test_its_last_words_are_told_when_it_fails(engine: Engine, stand_in: Path) -> None:
    stand_in.write_text("echo 'error: the disk is full' >&2; exit 1")

    with pytest.raises(GreenlightError, match="the disk is full"):
        engine.up((), print)


def test_an_engine_outlives_the_command_that_started_it(
    engine: Engine, stand_in: Path, tmp_path: Path
) -> None:
    """Killed, the command takes no pipe away that the engine writes to: what it began it ends."""
    begun, go, done = (tmp_path / name for name in ("begun", "go", "done"))
    stand_in.write_text(
        f"touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done\n"
        f"echo one || exit 1; echo two || exit 1; touch {done}\n"
    )
    program = (
        "import sys; from pathlib import Path; from pipelines.engine import Engine; "
        "from release.state import StateFolder; "
        "Engine(StateFolder(Path(sys.argv[1])), Path(sys.argv[2])).up((), print)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(engine.state.app), str(ROOT)], cwd=ROOT
    ) as command:
        wait_for(begun)
        command.send_signal(signal.SIGKILL)
    go.touch()

    wait_for(done)


@pytest.mark.parametrize("text", [None, "", "a: [", "- x", "config: 3\n", "encryptionsalt: other"])
def test_settings_that_were_lost_are_made_anew_with_the_salt_of_the_state(
    engine: Engine, tmp_path: Path, text: str | None
) -> None:
    """With another salt, or none, the engine would encrypt its state anew, or refuse it."""
    engine.settings.parent.mkdir(parents=True)
    if text is not None:
        engine.settings.write_text(text)

    assert engine.changes() == ()
    assert engine.by_hand(["stack"], takes_settings=False) == 0

    assert yaml.safe_load(engine.settings.read_text()) == {
        "config": {"greenlight:app": str(engine.state.app), "greenlight:target": "local"},
        "encryptionsalt": SALT,
    }
    assert (tmp_path / "calls").read_text() == "stack\n"


def test_the_changes_of_last_time_are_kept_by_hand(engine: Engine, tmp_path: Path) -> None:
    change = tmp_path / "change.yaml"
    engine.up((change,), print)

    engine.by_hand(["preview"], takes_settings=True)

    assert engine.changes() == (change,)
    assert (tmp_path / "calls").read_text().endswith(f"preview --config-file {engine.settings}\n")


def test_nothing_is_confirmed_for_the_user_and_no_stack_chosen_but_the_one(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal a change by hand wants its own --yes, and a preview is not in its way."""
    monkeypatch.setenv("PULUMI_STACK", "other")
    engine.by_hand(["destroy"], takes_settings=True)

    environment = (tmp_path / "environment").read_text().splitlines()
    assert "PULUMI_STACK=local" in environment
    assert not [line for line in environment if line.startswith("PULUMI_SKIP_CONFIRMATIONS")]


def wait_for(path: Path) -> None:
    """Until ``path`` is there."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.02)
