"""Reading a whole ledger and finding everything that is wrong with it.

Nothing here writes. The same reading stands before every append and behind ``verify``, so
that what verify would refuse is never built upon.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from release.blobs import Blobs
from release.errors import BadInput, Problem
from release.integrity import Damaged, sha256
from release.keys import TrustedKeys
from release.ledger.entry import GENESIS, NOTHING, Entry, Mark, decode, name_of, sequence_of
from release.ledger.leases import LEASE
from release.ledger.witness import Witness, rewritten
from release.stores import Store

RESTORE = "Bring it back from a copy."
JOIN = (
    "Copy the folder .greenlight/keys from a machine that ships this application, by a way that "
    "you trust; to read, trusted.json alone is enough."
)


@dataclass(frozen=True)
class Records:
    """All that one application's ledger stands on. ``shared``: others write it from elsewhere."""

    application: str
    entries: Store
    blobs: Blobs
    trusted: TrustedKeys
    witnesses: tuple[Witness, ...]
    shared: bool = False


@dataclass(frozen=True)
class Chain:
    """A ledger as it was found: every entry that can be read, and every problem.

    ``unwitnessed`` says that nobody remembers how far it had come. It is among the problems of a
    ledger of this machine. A shared one may be read here for the first time; who writes it has
    to refuse that, because what was cut off its end may be what forbids the next step.
    """

    entries: tuple[Entry, ...]
    digests: dict[int, str]
    problems: tuple[Problem, ...]
    unwitnessed: Problem | None = None

    @property
    def head(self) -> Mark:
        """The last object's mark, whatever state it is in."""
        last = max(self.digests, default=0)
        return Mark(last, self.digests[last]) if last else GENESIS


def read_chain(records: Records) -> Chain:
    """The whole ledger against its own hashes, its signatures and its witnesses.

    Witnesses are asked first: what others append meanwhile must not look like a loss.
    """
    marks, unreadable = _marks(records.witnesses)
    chain = _read_entries(records)
    unwitnessed = _unwitnessed(records) if chain.digests and not marks else None
    found = [*unreadable, *_mark_problems(records, marks, chain)]
    if unwitnessed and not records.shared:
        found.append(unwitnessed)
    return Chain(chain.entries, chain.digests, (*chain.problems, *found), unwitnessed)


def check_entry(records: Records, data: bytes, sequence: int, after: Mark | None) -> Entry:
    """The entry in ``data``; Damaged unless it is sound, has the number ``sequence`` and
    follows ``after`` (None: unknown)."""
    where = records.entries.where(name_of(sequence))
    entry = decode(data, records.trusted, where)
    expected: list[tuple[str, object, object]] = [
        ("application", records.application, entry.application),
        ("sequence", sequence, entry.sequence),
    ]
    if after is not None:
        expected.append(("previous", after.sha256, entry.previous))
    wrong = [
        Problem(str(wanted), str(found), RESTORE, file=where, path=field)
        for field, wanted, found in expected
        if wanted != found
    ]
    if wrong:
        raise Damaged(*wrong)
    return entry


def fence_problems(entries: Sequence[Entry], where: Store) -> Iterator[Problem]:
    """Each entry that was written under a lease which was not its environment's latest."""
    latest: dict[str | None, int] = {}
    for entry in entries:
        if entry.kind == LEASE:
            latest[entry.environment] = entry.sequence
        wanted = latest.get(entry.environment)
        if entry.fence != wanted and (entry.kind == LEASE or entry.fence is not None):
            yield Problem(
                file=where.where(name_of(entry.sequence)),
                path="fence",
                expected=f"the fence of the latest lease of {entry.environment}, {wanted}",
                found=str(entry.fence),
                remedy="Its writer no longer held the lease. " + RESTORE,
            )


def _read_entries(records: Records) -> Chain:
    """Every entry in turn; each problem is reported once, where it is."""
    sequences = sorted(filter(None, map(sequence_of, records.entries.names())))
    entries: list[Entry] = []
    digests: dict[int, str] = {0: NOTHING}
    problems = list(_gaps(records.entries, sequences))
    reads = records.entries.read_each(map(name_of, sequences))
    for sequence, read in zip(sequences, reads, strict=True):
        before = digests.get(sequence - 1)
        after = None if before is None else Mark(sequence - 1, before)
        try:
            data = read()
            digests[sequence] = sha256(data)
            entries.append(check_entry(records, data, sequence, after))
        except Damaged as error:
            problems.extend(error.problems)
    del digests[0]
    return Chain(tuple(entries), digests, (*problems, *fence_problems(entries, records.entries)))


def _gaps(store: Store, sequences: Sequence[int]) -> Iterator[Problem]:
    for before, sequence in zip((0, *sequences), sequences, strict=False):
        if sequence != before + 1:
            missing = f"entries {before + 1} to {sequence - 1}"
            yield Problem(
                file=store.where(name_of(before + 1)),
                expected=f"{missing}, since {name_of(sequence)} is there",
                found="no such file",
                remedy=RESTORE,
            )


def _marks(
    witnesses: tuple[Witness, ...],
) -> tuple[tuple[tuple[Witness, Mark], ...], tuple[Problem, ...]]:
    """What each witness remembers, and what is wrong with those that cannot say."""
    marks: list[tuple[Witness, Mark]] = []
    problems: list[Problem] = []
    for witness in witnesses:
        try:
            mark = witness.seen()
        except (BadInput, Damaged) as error:
            problems.extend(error.problems)
            continue
        if mark is not None:
            marks.append((witness, mark))
    return tuple(marks), tuple(problems)


def _mark_problems(
    records: Records, marks: tuple[tuple[Witness, Mark], ...], chain: Chain
) -> Iterator[Problem]:
    """Each witness that the ledger contradicts."""
    for witness, mark in marks:
        found = NOTHING if mark.sequence == 0 else chain.digests.get(mark.sequence)
        if mark.sequence > chain.head.sequence:
            yield _shortened(records, witness, mark, chain.head)
        elif found is not None and found != mark.sha256:
            yield rewritten(witness.where, mark, found)


def _shortened(records: Records, witness: Witness, mark: Mark, head: Mark) -> Problem:
    return Problem(
        file=records.entries.where(name_of(head.sequence + 1)),
        expected=f"entries up to {mark.sequence}, which {witness.where} has seen",
        found=f"the last one is {head.sequence}",
        remedy="The ledger was shortened. " + RESTORE,
    )


def _unwitnessed(records: Records) -> Problem:
    return Problem(
        file=", ".join(witness.where for witness in records.witnesses),
        expected="a witness that remembers how far the ledger had come",
        found="none, beside a ledger that is not empty",
        remedy="Without one a shortened ledger looks like a whole one. "
        + (JOIN if records.shared else RESTORE),
    )
