"""Fixtures of tests on targets in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.run import Run
from pipelines.ship import ship
from tests.pipelines.memory import QUIET, Scissors, World, knowing, serving
from tests.pipelines.standin import StandIn


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with serving() as server:
        yield server


@pytest.fixture
def world(app: Path, model: StandIn) -> Iterator[World]:
    """Nobody may ask a target for what it has to refuse."""
    model.reply = knowing
    made = World(app, model)
    yield made
    assert [one.wrong for one in made.targets.values()] == [[], []]


@pytest.fixture
def shipped(world: World) -> World:
    """A world in which a release is live."""
    ship(world.open(), QUIET)
    return world


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, world: World) -> Scissors:
    """Every record in the ledger is an act as well."""
    real = Run.append

    def append(run: Run, kind: str, *arguments: Any, **named: Any) -> None:
        with world.scissors.act(kind):
            real(run, kind, *arguments, **named)

    monkeypatch.setattr(Run, "append", append)
    return world.scissors
