"""A folder short enough for Unix sockets (104 bytes); pytest's own is not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gl-", dir="/tmp") as name:
        yield Path(name)
