"""Whole environments on this machine: real engine, real model, real crashes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from release.errors import GreenlightError
from serving import local, processes, supervisor
from serving.local import EnvironmentFacts, EnvironmentSettings
from serving.slots import SlotSpec
from tests.serving.local.world import World
from tests.serving.making import bundle, engine_spec, eventually, slot_spec

pytestmark = pytest.mark.slow


def test_an_environment_comes_up_answers_and_goes(world: World) -> None:
    """From nothing to an answer, and back to nothing but its keys."""
    world.serve()
    world.answers()

    local.destroy(world.folder)

    assert sorted(path.name for path in world.folder.parent.iterdir()) == ["keys"]


def test_creating_twice_changes_nothing(world: World) -> None:
    """The same processes at the same address."""
    first = world.create()

    assert first.alive
    assert world.create() == first
    assert local.read(world.folder) == first


def test_a_second_supervisor_gives_way_quietly(world: World) -> None:
    """Exit code 0, and the first is not disturbed."""
    first = world.create()

    supervisor.start(world.folder)

    assert world.create() == first


def test_the_creator_is_not_held_up(world: World) -> None:
    """Nothing keeps the output of the command open that has created an environment."""
    code = (
        "import sys; from pathlib import Path; from serving import local;"
        " local.create(Path(sys.argv[1]),"
        " local.EnvironmentSettings('support-bot', 'staging', Path(sys.argv[2])))"
    )
    line = [sys.executable, "-c", code, str(world.folder), str(world.settings.keys_folder)]

    done = subprocess.run(line, capture_output=True, check=True, timeout=120)  # waits for the pipes

    assert done.stdout == b""
    facts = local.read(world.folder)
    assert facts is not None
    assert facts.alive


def test_what_crashes_comes_back(world: World) -> None:
    """Alone: the others keep running, and the weights stand."""
    world.serve()
    for victim in ("engine k1", "green", "gateway"):
        before = world.running()

        os.kill(before[victim], signal.SIGKILL)

        def back(victim: str = victim, old: int = before[victim]) -> dict[str, int] | None:
            now = world.well()
            return now if now and now[victim] != old else None

        after = eventually(back, f"{victim} is back")
        assert {**after, victim: 0} == {**before, victim: 0}
    world.answers()
    assert world.call("GET", "/-/routes")["weights"] == {"green": 100}


def test_a_request_waits_while_the_gateway_restarts(world: World) -> None:
    """It queues at the socket that the supervisor keeps, and is not refused."""
    world.create()

    os.kill(world.running()["gateway"], signal.SIGKILL)

    assert world.call("GET", "/-/routes")["weights"] == {}


def test_s08_a_killed_supervisor_is_replaced_by_itself(world: World) -> None:
    """Nobody looks from outside; the next one takes the same processes over."""
    world.serve()
    before = world.running()

    os.kill(before["supervisor"], signal.SIGKILL)

    def written() -> bool:
        seen = json.loads((world.folder / "observed.json").read_text())
        return bool(seen["supervisor"]["pid"] != before["supervisor"])

    eventually(written, "an application has started another supervisor")
    eventually(world.well, "it knows that all is well")
    after = world.running()
    assert {**after, "supervisor": 0} == {**before, "supervisor": 0}
    assert len(processes.marked(world.folder)) == len(after)
    world.answers()


def test_s08_everything_comes_back_after_all_was_killed(world: World) -> None:
    """As after a power cut: whoever looks first brings it back, at the same address."""
    world.serve()
    address = world.create().address
    for found in processes.marked(world.folder):
        processes.send(found.identity, signal.SIGKILL)

    eventually(world.well, "it is back")
    facts = local.read(world.folder)
    assert facts is not None
    assert facts.address == address
    world.answers()


def test_releases_that_differ_in_their_prompt_share_the_engine(world: World) -> None:
    """The second slot costs an application only, and goes without touching the first."""
    world.serve("blue")
    prompt = bundle()["prompt"]
    prompt["messages"][0]["template"] = "Answer in French."
    green = slot_spec("b", bundle=bundle(prompt=prompt))

    world.declare(blue=slot_spec(), green=green)
    world.becomes("ready", "green")
    both = world.running()
    assert len([name for name in both if name.startswith("engine")]) == 1

    world.declare(blue=slot_spec())
    eventually(lambda: "green" not in world.seen()["slots"], "green has gone")
    assert world.running() == {name: pid for name, pid in both.items() if name != "green"}
    assert not list((world.folder / "run").glob("green*"))


def test_another_release_in_a_slot_replaces_the_first(world: World) -> None:
    """Not ready until the new one is; the engine stays."""
    world.serve()
    before = world.running()

    world.declare(green=slot_spec("b"))
    eventually(lambda: world.slot().get("release") == "b" * 64, "it is seen")
    world.becomes("ready")

    assert world.running()["green"] != before["green"]
    assert world.running()["engine k1"] == before["engine k1"]


def test_a_dedicated_engine_is_one_more(world: World) -> None:
    """A key of its own, a process of its own, and both go with their slot."""
    world.create()
    own = slot_spec("b", engine=engine_spec(key="k2"))
    world.declare(blue=slot_spec(), green=own)
    world.becomes("ready", "blue")
    world.becomes("ready", "green")
    assert world.seen()["engines"].keys() == {"k1", "k2"}

    world.declare()
    eventually(lambda: len(processes.marked(world.folder)) == 2, "only two are left")
    assert world.seen()["engines"] == {}


UNDECLARED = {"inputs": ["query"], "messages": [{"role": "user", "template": "{{ qery }}"}]}
WRONG: dict[str, tuple[SlotSpec, str]] = {
    "changed": (
        slot_spec("b", engine=engine_spec(key="k8", model_sha256="0" * 64)),
        "expected sha256 0000",
    ),
    "gone": (
        slot_spec("c", engine=engine_spec(key="k9", model="/nowhere/m.gguf")),
        "/nowhere/m.gguf",
    ),
    "prompt": (slot_spec("d", bundle=bundle(prompt=UNDECLARED)), "qery"),
}


def test_s06_slots_that_cannot_start_say_why(world: World) -> None:
    """They fail with their reasons; the slot beside them serves on."""
    world.serve("blue")

    world.declare(blue=slot_spec(), **{name: spec for name, (spec, _) in WRONG.items()})

    for name, (_, reason) in WRONG.items():
        assert reason in world.becomes("failed", name)["reason"]
    assert world.slot("blue")["state"] == "ready"
    world.answers()


def test_s06_a_prompt_too_long_for_the_model_says_so(world: World) -> None:
    """The one-token proof is a real prompt: it finds what no file check can."""
    prompt = bundle()["prompt"]
    prompt["messages"][0]["template"] = "word " * 2000
    world.create()

    world.declare(green=slot_spec(bundle=bundle(prompt=prompt)))

    def reason() -> bool:
        return "exceeds the available context size" in world.slot().get("reason", "")

    eventually(reason, "the reason is told")
    assert world.slot()["state"] == "starting"


def test_s22_a_half_written_declaration_changes_nothing(world: World) -> None:
    """Where its supervisor died with it: what serves goes on, and the next one does not guess."""
    world.serve()
    before = world.running()
    whole = (world.folder / "desired.json").read_bytes()

    os.kill(before["supervisor"], signal.SIGSTOP)
    (world.folder / "desired.json").write_bytes(whole[: len(whole) // 2])
    os.kill(before["supervisor"], signal.SIGKILL)
    eventually(lambda: "desired.json" in world.seen()["problem"], "a new one tells the problem")
    world.answers()

    (world.folder / "desired.json").write_bytes(whole)
    eventually(lambda: world.well() and not world.seen()["problem"], "it is whole again")
    assert {**world.running(), "supervisor": 0} == {**before, "supervisor": 0}


def test_s22_a_half_written_observation_is_written_again(world: World) -> None:
    """By the next supervisor, which needs it for nothing."""
    world.serve()
    before = world.running()
    os.kill(before["supervisor"], signal.SIGSTOP)
    (world.folder / "observed.json").write_text('{"supervisor": {"pid"')
    os.kill(before["supervisor"], signal.SIGKILL)

    eventually(world.well, "it is told again")
    assert {**world.running(), "supervisor": 0} == {**before, "supervisor": 0}


def test_a_taken_port_is_named_and_nothing_is_left(world: World) -> None:
    """Neither a process nor a folder."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GreenlightError, match=f"Port {port} is taken: process {os.getpid()}"):
            world.create(port=port)

    assert processes.marked(world.folder) == []
    assert not world.folder.exists()


def test_a_new_port_moves_the_gateway_alone(world: World) -> None:
    """Engine and application are not touched."""
    world.serve()
    before = world.running()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    facts = local.update(world.folder, replace(world.settings, port=port))

    assert facts.address == f"http://127.0.0.1:{port}"
    eventually(world.well, "all is well")
    world.answers()
    after = world.running()
    assert {name: after[name] for name in ("green", "engine k1")} == {
        name: before[name] for name in ("green", "engine k1")
    }


def test_it_is_destroyed_without_its_supervisor(world: World) -> None:
    """Also when its records are gone: the mark finds every process, and none is revived."""
    world.serve()
    left = processes.marked(world.folder)
    assert len(left) == 4
    os.kill(world.running()["supervisor"], signal.SIGKILL)
    (world.folder / "observed.json").unlink()

    local.destroy(world.folder)

    assert not any(processes.alive(one.identity) for one in left)
    assert not world.folder.exists()


@pytest.mark.parametrize("again", [local.create, local.update])
def test_an_interrupted_destroy_is_finished_by_the_next_run(
    world: World, again: Callable[[Path, EnvironmentSettings], EnvironmentFacts]
) -> None:
    """The mark that it was under way is found, and nothing old is kept."""
    world.create()
    world.declare(green=slot_spec())
    (world.folder / "stopping").touch()
    eventually(lambda: not processes.marked(world.folder), "the supervisor stops everything")

    assert again(world.folder, world.settings).alive
    assert local.declared(world.folder).slots == {}


def test_a_folder_removed_by_hand_takes_its_processes_with_it(world: World) -> None:
    """Nothing serves on from a folder that is gone."""
    world.serve()

    subprocess.run(["rm", "-rf", str(world.folder)], check=True)

    eventually(lambda: not processes.marked(world.folder), "all have ended")
