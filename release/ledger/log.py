"""Appending: read the head, decide, create the next object; when somebody was first, again.

What is appended is decided anew on every try, against what the winner has just written. So
a writer whose lease was taken meanwhile finds out before its second try, not after it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from release.blobs import Blobs
from release.errors import BadInput, Problem, Waiting
from release.integrity import Damaged, sha256
from release.keys import WRITERS, Signer
from release.ledger.chain import RESTORE, Records, check_entry, read_chain
from release.ledger.entry import GENESIS, Draft, Entry, Mark, decode, encode, name_of
from release.ledger.leases import LEASE, Lease, require
from release.timestamps import Clock

ATTEMPTS = 1000
"""Lost races before giving up. Somebody wins each one, so this is a bug or a flood."""


class Ledger:
    """One application's ledger, open for appending. Safe between threads and processes.

    Opening reads all of it and raises Damaged, before anything is written, when it was
    shortened or changed; BadInput when ``signer`` is not trusted to write.
    """

    def __init__(self, records: Records, signer: Signer, clock: Clock) -> None:
        self.records = records
        self.clock = clock
        self.signer = signer
        self._lock = threading.RLock()
        _require_trusted(records, signer)
        chain = read_chain(records)
        problems = chain.problems or (chain.unwitnessed and (chain.unwitnessed,))
        if problems:
            raise Damaged(*problems)
        self._entries = list(chain.entries)

    @property
    def application(self) -> str:
        """Whose ledger this is."""
        return self.records.application

    @property
    def blobs(self) -> Blobs:
        """Where what entries refer to is put first."""
        return self.records.blobs

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What this process has read so far; ``refresh`` reads on."""
        return tuple(self._entries)

    @property
    def head(self) -> Mark:
        """The last entry that this process has read."""
        return self._entries[-1].mark if self._entries else GENESIS

    def refresh(self) -> tuple[Entry, ...]:
        """All entries, those that others have appended meanwhile included."""
        with self._lock:
            self._require_head()
            while True:
                sequence = self.head.sequence + 1
                try:
                    data = self.records.entries.read(name_of(sequence))
                except FileNotFoundError:
                    return self.entries
                self._entries.append(check_entry(self.records, data, sequence, self.head))

    def append(
        self,
        kind: str,
        environment: str | None = None,
        data: Mapping[str, Any] | None = None,
        refs: Sequence[str] = (),
        lease: Lease | None = None,
    ) -> Entry:
        """Record ``data`` (JSON; no secrets) and references to blobs, under ``lease`` if given.

        Raises LeaseLost when the lease is no longer this holder's; Damaged when a reference is
        not among the blobs; ValueError when the lease is for another environment.
        """
        if kind == LEASE:
            raise ValueError("a lease is taken by release.lease.acquire")
        if lease is not None and lease.environment != environment:
            raise ValueError(f"a lease of {lease.environment} for an entry of {environment}")
        absent = self.records.blobs.absent(refs)
        if absent:
            raise Damaged(*absent)
        draft = Draft(kind, environment, data or {}, tuple(refs))
        if lease is not None:
            draft = replace(draft, fence=lease.fence, holder=lease.holder.id)

        def decide(entries: Sequence[Entry]) -> Draft:
            if lease is not None:
                require(entries, lease, self.clock())
            return draft

        return self.transact(decide)

    def transact(self, decide: Callable[[Sequence[Entry]], Draft]) -> Entry:
        """Append what ``decide`` makes of all entries so far; it raises in order to refuse.

        It is asked again after each lost race. A lease gets its own sequence as its fence.
        """
        with self._lock:
            for _ in range(ATTEMPTS):
                draft = decide(self.refresh())
                try:
                    return self._create(draft)
                except FileExistsError:
                    continue
        raise Waiting(
            f"The ledger of {self.application} is written by others without a pause: "
            f"{ATTEMPTS} tries lost. Nothing was recorded; run again."
        )

    def _create(self, draft: Draft) -> Entry:
        """The entry after the head, then told to the witnesses; FileExistsError when too late."""
        head = self.head
        if draft.kind == LEASE:
            draft = replace(draft, fence=head.sequence + 1)
        data = encode(draft, self.application, head, self.clock(), self.signer)
        if head == GENESIS:  # before the first entry: a crash after it must leave a witness
            self._tell(GENESIS)
        name = name_of(head.sequence + 1)
        entry = decode(data, self.records.trusted, self.records.entries.where(name))
        self.records.entries.create(name, data)
        self._entries.append(entry)
        self._tell(entry.mark)
        return entry

    def _tell(self, mark: Mark) -> None:
        for witness in self.records.witnesses:
            witness.note(mark)

    def _require_head(self) -> None:
        """The last entry that was read must still be there, and be the same."""
        if not self._entries:
            return
        name = name_of(self.head.sequence)
        try:
            found = sha256(self.records.entries.read(name))
        except FileNotFoundError:
            found = "no such file"
        if found != self.head.sha256:
            where = self.records.entries.where(name)
            raise Damaged(Problem(f"SHA-256 {self.head.sha256}", found, RESTORE, file=where))


def _require_trusted(records: Records, signer: Signer) -> None:
    if not any(records.trusted.trusts(signer.keyid, role) for role in WRITERS):
        raise BadInput(
            Problem(
                file=records.trusted.where,
                expected=f"the pipeline's key, or a watcher's: {signer.keyid} "
                f"with the role {' or '.join(WRITERS)}",
                found="another key or role",
                remedy="Nobody would believe what it signs. Trust it, or use the trusted key.",
            )
        )
