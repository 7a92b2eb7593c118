"""A fresh machine for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launcher.sandbox import Sandbox, closed_address, kill


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Sandbox]:
    """An empty machine with Python; no download site answers unless a test starts one."""
    with closed_address() as nowhere:
        sandbox = Sandbox(tmp_path)
        sandbox.settings["GREENLIGHT_PULUMI_URL"] = nowhere
        yield sandbox
        for process in sandbox.started:
            kill(process)
