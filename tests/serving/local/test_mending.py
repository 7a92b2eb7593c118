"""What was lost or damaged in an environment is put right by whoever knows it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.local import provider
from release.errors import BadInput
from serving import local, processes, supervisor
from serving.slots import Desired
from serving.supervisor import listener
from serving.supervisor import run as module
from serving.supervisor.run import Supervisor
from tests.serving.local.world import World
from tests.serving.making import engine_spec, eventually, slot_spec


def cut(path: Path) -> None:
    """As a crash of the machine may leave it: the first half."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def damage_settings(world: World) -> None:
    cut(world.folder / "gateway.json")


def lose_settings(world: World) -> None:
    (world.folder / "gateway.json").unlink()


def damage_callers(world: World) -> None:
    cut(world.folder / "callers.json")


def lose_the_operators_key(world: World) -> None:
    local.key_file(world.settings.keys_folder, "staging", "operator").unlink()


def exchange_a_key(world: World) -> None:
    file = local.key_file(world.settings.keys_folder, "staging", "user")
    file.write_text("gl-another-key-of-the-user\n")


def damage_the_port(world: World) -> None:
    cut(world.folder / "port.json")


def lose_the_port(world: World) -> None:
    (world.folder / "port.json").unlink()


DAMAGES = (
    damage_settings,
    lose_settings,
    damage_callers,
    lose_the_operators_key,
    exchange_a_key,
    damage_the_port,
    lose_the_port,
)


def asked(world: World) -> dict[str, Any]:
    """What the Pulumi program asks for."""
    return {
        "application": world.settings.application,
        "environment": world.settings.environment,
        "folder": str(world.folder),
        "keys_folder": str(world.settings.keys_folder),
        "port": 0.0,
        "refusal": [],
        "rate_limit": None,
    }


@pytest.mark.slow
def test_s22_provisioning_puts_an_environment_right(world: World) -> None:
    """It notices each damage and mends it; nobody is interrupted, and the address stays."""
    world.serve()
    known = {**asked(world), "address": world.create().address, "running": True}
    assert provider.now(str(world.folder), known) == known
    before = world.running()

    for damage in DAMAGES:
        damage(world)
        found = provider.now(str(world.folder), known)
        assert found is None or provider.differences(found, asked(world)) == (True, []), damage

        assert provider.up(asked(world)) == known, damage
        assert provider.now(str(world.folder), known) == known, damage
        eventually(world.well, f"all is well after {damage.__name__}")
        assert {**world.running(), "supervisor": 0} == {**before, "supervisor": 0}, damage
        assert world.call("GET", "/-/routes")["weights"] == {"green": 100}, damage
        world.answers()


@pytest.mark.slow
def test_s22_a_living_supervisor_writes_its_files_again(world: World) -> None:
    """It knows what they said: readers wait for a moment, and nothing is restarted."""
    world.serve()
    before = eventually(world.well, "all is well")

    for name in ("observed.json", "endpoints.json", "desired.json"):
        for damage in (cut, Path.unlink):
            damage(world.folder / name)
            eventually(partial(is_whole, world.folder / name), f"{name} is back")
            assert eventually(world.well, f"all is well after {damage} of {name}") == before
    assert local.declared(world.folder).slots == {"green": slot_spec()}
    world.answers()


def is_whole(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment's folder with its settings, and nothing running."""
    monkeypatch.setattr(supervisor, "revive", lambda folder: False)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    settings = local.EnvironmentSettings("support-bot", "staging", tmp_path / "keys")
    local._write_settings(tmp_path / "env", settings)
    return tmp_path / "env"


@pytest.fixture
def one(folder: Path) -> Iterator[Supervisor]:
    """A supervisor that looks when a test says so, and starts nothing."""
    lock = processes.hold(folder / supervisor.LOCK)
    made = Supervisor(folder, lock)
    yield made
    made._borrowed.keep(())
    os.close(lock)


def look(one: Supervisor) -> None:
    """What it does ten times a second, but for starting processes."""
    one._look_at_the_world()
    one._tell()


@pytest.mark.parametrize("name", ["observed.json", "endpoints.json", "desired.json"])
@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_s22_a_supervisor_writes_again_what_it_knows(
    folder: Path, one: Supervisor, name: str, damage: Callable[[Path], None]
) -> None:
    """Whole, as it was; without a difference nothing is written."""
    local.declare(folder, {"green": slot_spec()}, fence=7)
    look(one)
    before, inode = (folder / name).read_bytes(), (folder / name).stat().st_ino
    look(one)
    assert (folder / name).stat().st_ino == inode

    damage(folder / name)
    look(one)

    assert (folder / name).read_bytes() == before


def test_s22_a_supervisor_that_never_read_a_declaration_does_not_guess(
    folder: Path, one: Supervisor
) -> None:
    """It says what is wrong, and touches neither the file nor what runs."""
    local.declare(folder, {"green": slot_spec()}, fence=7)
    cut(folder / "desired.json")
    damaged = (folder / "desired.json").read_bytes()

    look(one)

    assert (folder / "desired.json").read_bytes() == damaged
    assert "desired.json" in json.loads((folder / "observed.json").read_bytes())["problem"]


def test_a_declaration_that_it_refuses_is_not_replaced(folder: Path, one: Supervisor) -> None:
    """JSON that is whole was written on purpose, perhaps by a later version: it is told."""
    local.declare(folder, {"green": slot_spec()}, fence=7)
    look(one)
    (folder / "desired.json").write_text('{"fence": 8}')

    look(one)

    assert (folder / "desired.json").read_text() == '{"fence": 8}'
    assert one.problem
    assert one.desired == Desired(7, {"green": slot_spec()})


@pytest.mark.parametrize("name", ["observed.json", "desired.json"])
def test_a_folder_that_is_being_removed_is_left_alone(
    folder: Path, one: Supervisor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is put back would be in the way of who removes it."""
    local.declare(folder, {"green": slot_spec()}, fence=7)
    look(one)
    monkeypatch.setattr(module, "QUIET_SECONDS", 3600.0)
    (folder / name).unlink()

    look(one)

    assert not (folder / name).exists()


def is_held(model: Path) -> bool:
    """Whether the cache would leave it alone."""
    with model.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_the_models_of_declared_slots_are_held(
    folder: Path, one: Supervisor, tmp_path: Path
) -> None:
    """Whether their servers run or not: by no process but the supervisor, until the slot goes."""
    model = tmp_path / "m.gguf"
    model.write_bytes(b"weights")
    spec = slot_spec(engine=engine_spec(model=str(model)))
    local.declare(folder, {"green": spec, "blue": spec}, fence=1)
    look(one)
    assert is_held(model)

    local.declare(folder, {"blue": spec}, fence=1)
    look(one)
    assert is_held(model)

    local.declare(folder, {}, fence=1)
    look(one)
    assert not is_held(model)


def test_a_model_that_was_replaced_is_held_anew(
    folder: Path, one: Supervisor, tmp_path: Path
) -> None:
    """A damaged one is written again under its name; also one that comes later counts."""
    model, other = tmp_path / "m.gguf", tmp_path / "other"
    spec = slot_spec(engine=engine_spec(model=str(model)))
    local.declare(folder, {"green": spec}, fence=1)
    look(one)

    for data in (b"weights", b"others"):
        other.write_bytes(data)
        other.replace(model)
        look(one)
        assert is_held(model)


@pytest.mark.parametrize("text", ['{"po', "[]", '{"port": "x"}'])
def test_a_note_of_the_port_that_cannot_be_right_goes(folder: Path, text: str) -> None:
    """Where nothing listens there is nothing to go by: the kernel gives a port."""
    (folder / listener.PORT).write_text(text)

    assert listener.mend_port(folder, [])

    assert not (folder / listener.PORT).exists()


def test_a_note_of_the_port_that_was_lost_is_read_from_who_listens(folder: Path) -> None:
    """Of the processes that are named, and of no other."""
    with listener.bind(folder) as bound:
        port = bound.getsockname()[1]
        assert not listener.mend_port(folder, [os.getpid()])
        (folder / listener.PORT).unlink()
        assert not listener.mend_port(folder, [])

        assert listener.mend_port(folder, [os.getpid()])

    assert listener.remembered_port(folder) == port


@pytest.mark.parametrize("text", ["[]", "{}", '{"host": "127.0.0.1", "port": 0}', '{"ho'])
def test_settings_that_are_none_are_bad_input(folder: Path, text: str) -> None:
    """Whether they are JSON or not: no traceback."""
    (folder / "gateway.json").write_text(text)

    with pytest.raises(BadInput, match=r"gateway\.json"):
        local.read(folder)


def test_asking_whether_callers_get_in_makes_nothing(folder: Path, tmp_path: Path) -> None:
    """Provisioning makes keys; looking does not."""
    assert local.admits(folder, tmp_path / "keys")
    assert not local.admits(folder, tmp_path / "others")
    assert not (tmp_path / "others").exists()
