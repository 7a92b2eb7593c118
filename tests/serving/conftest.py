"""Fixtures of the serving tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: a Unix socket's holds about 104 bytes, pytest's are longer."""
    folder = Path(tempfile.mkdtemp(prefix="gl-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
