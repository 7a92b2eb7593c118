"""The append-only record of all that happened to an application.

``STATE/ledger/<application>/000001.json`` and on: create-only objects, each a signed envelope
that holds the digest of the one before it. What an entry refers to lies in
``STATE/evidence/sha256``; ``STATE/keys`` says who may sign, and remembers the head.
"""

from __future__ import annotations

import time

from release.blobs import folder_blobs
from release.errors import BadInput, Problem
from release.keys import TRUST_FILE, pipeline_key, trusted_keys
from release.ledger.chain import Records
from release.ledger.entry import Entry, Mark
from release.ledger.log import Ledger
from release.ledger.verify import Report, history, verify
from release.ledger.witness import FileWitness, Witness
from release.state import StateFolder
from release.stores import FolderStore
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
    "verify",
]


def local_records(
    state: StateFolder, application: str, witnesses: tuple[Witness, ...] = ()
) -> Records:
    """The records in ``state``, for reading; ``witnesses`` are those of the targets."""
    head = FileWitness(state.keys / "heads" / f"{application}.json")
    return Records(
        application=application,
        entries=FolderStore(state.ledger / application),
        blobs=folder_blobs(state.evidence / "sha256"),
        trusted=trusted_keys(state.keys),
        witnesses=(head, *witnesses),
    )


def open_ledger(
    state: StateFolder,
    application: str,
    witnesses: tuple[Witness, ...] = (),
    clock: Clock = time.time,
) -> Ledger:
    """The ledger in ``state``, for writing; at first use it is made, with its key.

    BadInput, and no new key, when there are entries and the keys that signed them are gone.
    """
    entries = FolderStore(state.ledger / application)
    if entries.names() and not (state.keys / TRUST_FILE).exists():
        raise BadInput(_keys_gone(state))
    for store in (entries, FolderStore(state.evidence / "sha256")):
        store.sweep()
    signer = pipeline_key(state.keys)
    return Ledger(local_records(state, application, witnesses), signer, clock)


def _keys_gone(state: StateFolder) -> Problem:
    return Problem(
        file=str(state.keys / TRUST_FILE),
        expected="the keys that the ledger beside it was signed with",
        found="no such file",
        remedy="Bring the folder back from a copy; nothing can be checked or added without it.",
    )
