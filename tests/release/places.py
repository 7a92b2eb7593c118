"""Everywhere that a ledger can be, behind one fixture: the same tests for each."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

import obstore
import pytest

from release.blobs import MAX_BYTES, Blobs
from release.keys import trusted_keys
from release.ledger import Ledger, Records
from release.locations import parse_location
from release.object_store import ObjectStore
from release.state import StateFolder
from release.stores import FolderStore, Store
from tests.release.making import (
    HandClock,
    MemoryStore,
    MemoryWitness,
    pipeline,
    records,
)

PLACES = (
    "memory",
    "folder",
    pytest.param("s3", marks=pytest.mark.slow),
    pytest.param("azurite", marks=pytest.mark.slow),
)


@dataclass(frozen=True)
class Place:
    """Two stores, side by side."""

    entries: Store
    evidence: Store

    def records(self, application: str = "support-bot") -> Records:
        """The records there, believed by the tests' keys, with a witness of their own."""
        witnesses = (MemoryWitness(),)
        blobs = Blobs(self.evidence)
        return records(application, entries=self.entries, blobs=blobs, witnesses=witnesses)

    def damage(self, name: str, data: bytes | None) -> None:
        """As somebody who may write there: ``name`` with other bytes, or gone."""
        match self.entries:
            case MemoryStore(objects=objects):
                objects.pop(name)
                objects.update({name: data} if data is not None else {})
            case FolderStore(folder=folder):
                (folder / name).unlink()
                if data is not None:
                    (folder / name).write_bytes(data)
            case ObjectStore(folder=folder) as store:
                obstore.delete(store._client, f"{folder}/{name}")
                if data is not None:
                    obstore.put(store._client, f"{folder}/{name}", data)


def remote(url: str) -> Place:
    """A place on object storage."""
    at = parse_location(url)
    return Place(
        ObjectStore(at, "ledger/support-bot"),
        ObjectStore(at, "evidence/sha256", MAX_BYTES),
    )


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty one."""
    if request.param == "memory":
        return Place(MemoryStore(label="ledger"), MemoryStore(label="evidence"))
    if request.param == "folder":
        return Place(FolderStore(tmp_path / "ledger"), FolderStore(tmp_path / "evidence"))
    emulator = request.getfixturevalue(request.param)
    for name, value in emulator.variables().items():
        monkeypatch.setenv(name, value)
    return remote(emulator.url(f"{uuid.uuid4()}/deeper"))


def reopened(of: Records, clock: HandClock | None = None) -> Ledger:
    """The ledger as another process opens it."""
    return Ledger(of, pipeline(), clock or HandClock())


def share_keys(one: StateFolder, other: StateFolder) -> None:
    """What a second machine is given: whom to believe, and no key to sign with."""
    assert trusted_keys(one.keys).keys
    other.keys.mkdir(parents=True)
    (other.keys / "trusted.json").write_bytes((one.keys / "trusted.json").read_bytes())
    (other.keys / "trusted.json").chmod(0o600)
