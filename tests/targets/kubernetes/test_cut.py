"""Killed between any two writes and called again, a step ends as if nothing had happened."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.slots import Slots
from pipelines.targets.kubernetes.target import KubernetesTarget
from pipelines.targets.kubernetes.writer import Watching
from release.bundle import Release
from release.state import StateFolder
from tests.manifests.making import release, settings
from tests.targets.kubernetes.memory import MemoryApi

NOBODY = "http://127.0.0.1:1"
ONE, TWO = release(), release("Be kind.")
THREE, FOUR = release("Be short.", threads=4), release("Be brief.", threads=8)
"""Each with a model server of its own."""

Step = Callable[[KubernetesTarget], Any]

STEPS: dict[str, Step] = {
    "provision": lambda target: target.provision(1),
    "deploy": lambda target: target.deploy("blue", ONE, 1),
    "expose": lambda target: target.expose({"blue": 100}, 2),
    "watch": lambda target: target.watch(True, 2),
    "deploy beside it": lambda target: target.deploy("green", TWO, 3),
    "deploy in its place": lambda target: target.deploy("green", THREE, 3),
    "deploy with another server": lambda target: target.deploy("green", FOUR, 3),
    "split": lambda target: target.expose({"blue": 30, "green": 70}, 3),
    "move": lambda target: target.expose({"green": 100}, 4),
    "retire": lambda target: target.retire("blue", 1.0, 5),
    "stop watching": lambda target: target.watch(False, 6),
    "destroy": lambda target: target.destroy(7),
}
"""In their order; most are under a fence that is new to every object."""


class Cut(BaseException):
    """What a kill looks like to the code that is killed."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for: no controller is here. Slots are as ready as they are there."""
    monkeypatch.setattr(Ground, "await_accepted", lambda _: None)
    monkeypatch.setattr(Slots, "_await_ready", lambda *_: None)
    monkeypatch.setattr("pipelines.targets.kubernetes.facts.is_current", lambda _: True)
    monkeypatch.setattr("pipelines.targets.kubernetes.facts.available", lambda _: 1)


def target(api: MemoryApi, folder: Path) -> KubernetesTarget:
    """As another process opens it."""
    ground = Ground("assist", "production", settings(prometheus=NOBODY), 30, api)
    return KubernetesTarget(ground, StateFolder(folder), _markers, _watching)


def _markers(_: Release) -> None:
    return None


def _watching(_: Any) -> Watching:
    meta = {"name": "assist-watcher-keys", "namespace": "assist-production"}
    return Watching((), {"kind": "Secret", "metadata": meta}, (("Secret", meta["name"]),))


def plain(api: MemoryApi) -> dict[Any, Any]:
    """Everything that is there, without how often it was written."""
    found = copy.deepcopy(api.objects)
    for one in found.values():
        del one["metadata"]["resourceVersion"]
        if not one["metadata"].get("annotations"):
            one["metadata"].pop("annotations", None)
    return found


def after(steps: list[str], folder: Path) -> MemoryApi:
    """What is there when ``steps`` were taken, undisturbed."""
    api = MemoryApi()
    for name in steps:
        STEPS[name](target(api, folder))
    return api


@pytest.mark.parametrize("step", STEPS)
def test_s22_a_step_that_is_cut_at_any_write_and_called_again_is_done(
    step: str, tmp_path: Path
) -> None:
    """By another process, which knows nothing of the first. Before the write, and after it."""
    before = [*STEPS][: [*STEPS].index(step)]
    wanted = plain(after([*before, step], tmp_path))

    for number in range(1_000):
        api, left = after(before, tmp_path), number

        def count(*_: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Cut

        api.before = count
        try:
            STEPS[step](target(api, tmp_path))
        except Cut:
            api.before = lambda *_: None
            STEPS[step](target(api, tmp_path))
            assert plain(api) == wanted, f"cut at write {number}"
        else:
            assert number > 0
            assert plain(api) == wanted
            return
    pytest.fail("it never ends")
