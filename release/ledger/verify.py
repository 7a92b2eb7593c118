"""``greenlight verify``: recompute everything that the record claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from release import evidence
from release.errors import Problem
from release.integrity import Damaged
from release.ledger.chain import RESTORE, Chain, Records, read_chain
from release.ledger.entry import Entry, Mark, name_of


@dataclass(frozen=True)
class Report:
    """What was checked, what is wrong (then nothing of it can be trusted), what is odd."""

    head: Mark
    entries: int
    blobs: int
    statements: int
    witnesses: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    def require(self) -> None:
        """Raise Damaged with every problem, if there is one."""
        if self.problems:
            raise Damaged(*self.problems)


def verify(records: Records) -> Report:
    """Check chain, signatures, fences, witnesses, every blob, and every statement referred to.

    Never raises for what it finds: that is in ``problems``, each with its file and reason.
    """
    chain = read_chain(records)
    referred = _references(chain.entries)
    stored = records.blobs.digests()
    blob_problems: list[Problem] = []
    statements = 0
    digests = sorted({*stored, *referred})
    for digest, get in zip(digests, records.blobs.get_each(digests), strict=True):
        try:
            statements += _check_blob(records, digest, get())
        except Damaged as error:
            blob_problems.extend(_explained(error, referred.get(digest)))
    return Report(
        head=chain.head,
        entries=len(chain.entries),
        blobs=len(stored),
        statements=statements,
        witnesses=len(records.witnesses),
        problems=(*chain.problems, *blob_problems),
        notes=(*_witness_notes(chain), *_clock_notes(chain.entries)),
    )


def history(records: Records) -> tuple[Entry, ...]:
    """Every entry in order, kinds that this version does not know included.

    Damaged, with every problem, when the chain does not hold.
    """
    chain = read_chain(records)
    if chain.problems:
        raise Damaged(*chain.problems)
    return chain.entries


def _references(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Each digest with the first entry that refers to it."""
    referred: dict[str, Entry] = {}
    for entry in entries:
        for digest in entry.refs:
            referred.setdefault(digest, entry)
    return referred


def _check_blob(records: Records, digest: str, data: bytes) -> bool:
    """Whether the blob is a statement; Damaged when it is not rightly signed."""
    if not evidence.is_envelope(data):
        return False
    evidence.read(data, records.trusted, records.blobs.store.where(digest))
    return True


def _explained(error: Damaged, entry: Entry | None) -> Iterator[Problem]:
    for problem in error.problems:
        yield (
            problem
            if entry is None
            else Problem(
                expected=f"{problem.expected}, which {name_of(entry.sequence)} refers to",
                found=problem.found,
                remedy=problem.remedy or RESTORE,
                file=problem.file,
            )
        )


def _witness_notes(chain: Chain) -> Iterator[str]:
    if chain.unwitnessed:
        yield (
            "Nobody here remembers how far this ledger had come: if entries were cut off its end, "
            "only the machines and targets that have seen them can tell."
        )


def _clock_notes(entries: Sequence[Entry]) -> Iterator[str]:
    """Clocks jump and differ between machines: worth knowing, no reason to refuse."""
    for before, entry in pairwise(entries):
        if entry.time < before.time:
            behind = before.time - entry.time
            yield f"{name_of(entry.sequence)} is dated {behind:.0f} s before the entry it follows."
