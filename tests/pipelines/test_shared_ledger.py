"""A shared ledger from two machines: what one ships, the other sees, and verifies."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from pipelines.ship import ship
from release import object_store
from release.errors import BadInput
from release.ledger import open_ledger
from release.object_store import StoreAway
from release.state import StateFolder
from tests import tiny
from tests.emulators import ACCOUNT_KEY, Emulator
from tests.emulators.line import line
from tests.pipelines.memory import QUIET, World, knowing
from tests.pipelines.standin import StandIn
from tests.release.places import share_keys

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_cache")]
SECRETS = (ACCOUNT_KEY, "s3-secret-of-the-tests")


@pytest.fixture
def world(app: Path, model: StandIn, emulator: Emulator) -> World:
    """An application whose record is on an emulator."""
    model.reply = knowing
    url = emulator.url(str(uuid.uuid4()))
    tiny.edit(app / "llm.yaml", "environments:", f"ledger: {url}\nenvironments:")
    return World(app, model, on_disk=True)


@pytest.fixture
def clone(world: World, tmp_path: Path) -> Path:
    """The same application on another machine, once the first has shipped: all that git has."""
    ship(world.open(), QUIET)
    there = tmp_path / "elsewhere/app"
    shutil.copytree(world.app, there, ignore=shutil.ignore_patterns(".greenlight"))
    return there


def shown(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    """The document that ``command`` prints, which has to end well."""
    assert main([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_another_machine_sees_and_verifies_what_was_shipped(
    world: World, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says what it cannot know, since it has never seen this ledger before."""
    share_keys(StateFolder(world.app), StateFolder(clone))
    here = {verb: shown(capsys, verb, str(world.app)) for verb in ("history", "verify")}

    there = {verb: shown(capsys, verb, str(clone)) for verb in ("history", "verify", "status")}

    assert there["history"] == here["history"]
    assert there["verify"]["head"] == here["verify"]["head"]
    assert there["verify"]["notes"][0].startswith("Nobody here remembers how far this ledger")
    assert not any("Nobody" in note for note in here["verify"]["notes"])
    assert there["status"]["environments"]["production"]["live"]


def test_a_machine_without_the_keys_believes_nothing_writes_nothing_and_says_what_to_do(
    world: World, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("history", "verify", "status"):
        assert main([verb, str(clone)]) == 2
        said = capsys.readouterr().err
        assert f"{clone}/.greenlight/keys/trusted.json: expected the keys that" in said
        assert "trusted.json alone is enough" in said
    with pytest.raises(BadInput, match="Copy the folder"):
        open_ledger(StateFolder(clone), "tiny-bot", location=world.open().spec.location)
    assert not (clone / ".greenlight").exists()


def test_on_the_machine_that_shipped_there_is_no_record_and_no_secret(world: World) -> None:
    ship(world.open(), QUIET)

    state = StateFolder(world.app)
    assert not state.ledger.exists()
    assert not state.evidence.exists()
    files = [path.read_bytes() for path in world.app.rglob("*") if path.is_file()]
    assert not any(secret.encode() in data for secret in SECRETS for data in files)


def test_a_ship_that_lost_its_store_is_finished_by_the_same_command(
    world: World, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PATIENCE", 0.2)
    with line(emulator.port) as bad:
        for name, value in emulator.variables(bad.port).items():
            monkeypatch.setenv(name, value)
        bad.meets([""] * 60 + ["lost"] * 100_000)
        with pytest.raises(StoreAway) as error:
            ship(world.open(), QUIET)
        bad.meets([])
        asyncio.run(world.clock.sleep(60))  # until the lease has run out
        outcome, again = ship(world.open(), QUIET), ship(world.open(), QUIET)

    assert outcome.plan.steps
    assert all(target.facts().weights for target in world.targets.values())
    assert not again.plan.steps
    assert not any(secret in str(error.value) for secret in SECRETS)


def test_a_wrong_key_ends_the_command_without_showing_it(
    world: World, emulator: Emulator, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if emulator.scheme == "s3":
        pytest.skip("moto does not look at keys")
    wrong = ACCOUNT_KEY.replace("E", "F", 1)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", wrong)

    assert main(["history", str(world.app)]) == 2

    said = capsys.readouterr().err
    assert "expected an identity that may list, read and create objects here" in said
    assert "found it answered 403 AuthorizationFailure" in said
    assert wrong not in said


def test_a_container_that_is_not_there_is_named_and_not_made(
    app: Path, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"{emulator.scheme}://nowhere/x"
    tiny.edit(app / "llm.yaml", "environments:", f"ledger: {url}\nenvironments:")

    assert main(["history", str(app)]) == 2

    assert f"{url}/ledger/tiny-bot: expected a container or bucket" in capsys.readouterr().err
