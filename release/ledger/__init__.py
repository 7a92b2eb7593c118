"""The append-only record of all that happened to an application.

``STATE/ledger/<application>/000001.json`` and on: create-only objects, each a signed envelope
that holds the digest of the one before it. What an entry refers to lies in
``STATE/evidence/sha256``; ``STATE/keys`` says who may sign, and remembers the head.

A shared ledger has the same two folders below a URL (release/locations.py), entries and
evidence, so that one can be copied to the other. Keys stay on the machine in both cases.
"""

from __future__ import annotations

import time

from release.blobs import MAX_BYTES, Blobs
from release.errors import BadInput, Problem
from release.keys import TRUST_FILE, pipeline_key, trusted_keys
from release.ledger.chain import JOIN, Records
from release.ledger.entry import Entry, Mark
from release.ledger.log import Ledger
from release.ledger.verify import Report, history, verify
from release.ledger.witness import FileWitness, Witness
from release.locations import Location
from release.object_store import ObjectStore
from release.state import StateFolder
from release.stores import FolderStore, Store
from release.timestamps import Clock

__all__ = [
    "Entry",
    "FileWitness",
    "Ledger",
    "Mark",
    "Records",
    "Report",
    "Witness",
    "history",
    "local_records",
    "open_ledger",
    "records_at",
    "verify",
]


def local_records(
    state: StateFolder, application: str, witnesses: tuple[Witness, ...] = ()
) -> Records:
    """The records in ``state``, for reading; ``witnesses`` are those of the targets."""
    return records_at(None, state, application, witnesses)


def records_at(
    location: Location | None,
    state: StateFolder,
    application: str,
    witnesses: tuple[Witness, ...] = (),
) -> Records:
    """The records at ``location`` (None: in ``state``), believed by the keys in ``state``.

    BadInput for a shared ledger that is not empty where nothing says whose signatures count.
    """
    entries, evidence = _stores(location, state, application)
    if location is not None:
        _require_keys(state, entries, JOIN)
    return Records(
        application=application,
        entries=entries,
        blobs=Blobs(evidence),
        trusted=trusted_keys(state.keys),
        witnesses=(FileWitness(state.keys / "heads" / f"{application}.json"), *witnesses),
        shared=location is not None,
    )


def open_ledger(
    state: StateFolder,
    application: str,
    witnesses: tuple[Witness, ...] = (),
    clock: Clock = time.time,
    location: Location | None = None,
) -> Ledger:
    """The ledger at ``location`` (None: in ``state``), for writing; at first use it is made,
    with its key.

    BadInput, and no new key, when there are entries and the keys that signed them are not here.
    """
    stores = _stores(location, state, application)
    _require_keys(state, stores[0], JOIN if location else "Bring the folder back from a copy.")
    for store in stores:
        if isinstance(store, FolderStore):
            store.sweep()
    signer = pipeline_key(state.keys)
    return Ledger(records_at(location, state, application, witnesses), signer, clock)


def _stores(location: Location | None, state: StateFolder, application: str) -> tuple[Store, Store]:
    """Entries and evidence, in the same two folders here and there."""
    if location is None:
        return (
            FolderStore(state.ledger / application),
            FolderStore(state.evidence / "sha256", MAX_BYTES),
        )
    return (
        ObjectStore(location, f"ledger/{application}"),
        ObjectStore(location, "evidence/sha256", MAX_BYTES),
    )


def _require_keys(state: StateFolder, entries: Store, remedy: str) -> None:
    """Entries without the keys to check them by are no new ledger."""
    trust_file = state.keys / TRUST_FILE
    if not trust_file.exists() and entries.names():
        found, more = "no such file", "Nothing can be checked or added without it."
        expected = f"the keys that {entries.where('')} was signed with"
        raise BadInput(Problem(expected, found, f"{more} {remedy}", file=str(trust_file)))
