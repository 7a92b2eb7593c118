"""Fixtures: one emulator of each kind for all tests of a process, started when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulators import Emulator, running_azurite, running_s3


@pytest.fixture(scope="session")
def s3() -> Iterator[Emulator]:
    """S3, by moto."""
    with running_s3() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def azurite() -> Iterator[Emulator]:
    """Azure Blob Storage, by Azurite; skipped, loudly, without node and npm."""
    with running_azurite() as emulator:
        yield emulator


@pytest.fixture(params=["s3", "azurite"])
def emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """Each in turn, found by this process and all that it starts."""
    found: Emulator = request.getfixturevalue(request.param)
    for name, value in found.variables().items():
        monkeypatch.setenv(name, value)
    return found
