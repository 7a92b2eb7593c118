"""An environment for each test, destroyed at its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import local, processes
from serving.local import EnvironmentSettings
from tests.serving.local.world import World


@pytest.fixture
def world(short: Path) -> Iterator[World]:
    """Destroyed at the end, whatever happened."""
    one = World(short / "env", EnvironmentSettings("support-bot", "staging", short / "keys"))
    yield one
    local.destroy(one.folder)
    assert processes.marked(one.folder) == []
