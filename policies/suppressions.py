"""Findings that somebody answers for: a rule, a resource, a reason, and the day it ends.

``policies/suppressions.yaml`` lives in the repository, so that whoever lets something pass does it
in a pull request. Nothing is let pass for ever, and nothing for longer than a year at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from policies.rules.findings import Finding
from release.documents import Document, Key, dotted, read_document
from release.errors import BadInput, Problem

FILE = Path(__file__).parent / "suppressions.yaml"
LONGEST = timedelta(days=366)
IDLE = "GL-SUPPRESSION-002"
"""The finding that an entry lets nothing pass."""
KEYS = ("rule", "resource", "reason", "until")
RULE = re.compile(r"(?:GL-[A-Z]+(?:-[A-Z]+)*-\d{3}|CKV2?_[A-Z0-9]+_\d+)")


@dataclass(frozen=True)
class Suppression:
    """One entry. ``resource`` is a pattern over names or URNs: ``*`` stands for any text.

    ``until`` is the last day on which it holds.
    """

    rule: str
    resource: str
    reason: str
    until: date
    file: str
    line: int

    @property
    def of_stacks(self) -> bool:
        """Whether judging every stack shows if it is needed; manifests are never all there."""
        return not self.rule.startswith(("CKV_K8S_", "CKV2_K8S_"))

    def covers(self, finding: Finding) -> bool:
        """Whether it speaks of ``finding``; a pattern without ``::`` speaks of names."""
        names = (finding.resource, finding.resource.rpartition("::")[2])
        return finding.rule == self.rule and any(fnmatchcase(n, self.resource) for n in names)


@dataclass(frozen=True)
class Sorted:
    """Findings after suppression: what is left, and what was let pass, by which entry."""

    findings: tuple[Finding, ...]
    suppressed: tuple[tuple[Finding, Suppression], ...]


def read_suppressions(file: Path, today: date) -> tuple[Suppression, ...]:
    """The entries of ``file``, expired ones too; none when it is not there.

    BadInput says line and remedy of every entry with an unknown or missing key, a rule that is no
    id, a reason that says nothing, or a day that is none or is over a year away.
    """
    if not file.exists():
        return ()
    document = read_document(file)
    entries = document.value.get("suppressions")
    if set(document.value) != {"suppressions"} or not isinstance(entries, list):
        raise BadInput(_problem(document, (), "one key, `suppressions`, with a list", ""))
    problems = [p for i, entry in enumerate(entries) for p in _wrong(document, i, entry, today)]
    if problems:
        raise BadInput(*problems)
    return tuple(_entry(document, index, entry) for index, entry in enumerate(entries))


def suppress(findings: Iterable[Finding], entries: Sequence[Suppression], today: date) -> Sorted:
    """``findings`` without those that an entry covers, and with what is wrong with the entries.

    An entry whose day is over covers nothing, and is said; one that covers nothing although it
    could is said as a warning, for its resource or its fault is gone.
    """
    found = tuple(findings)
    valid = [entry for entry in entries if entry.until >= today]
    covered = [(one, next((e for e in valid if e.covers(one)), None)) for one in found]
    used = {id(entry) for _, entry in covered if entry}
    expired = [_expired(entry) for entry in entries if entry.until < today]
    idle = [_idle(entry) for entry in valid if entry.of_stacks and id(entry) not in used]
    return Sorted(
        findings=(*(one for one, entry in covered if entry is None), *expired, *idle),
        suppressed=tuple((one, entry) for one, entry in covered if entry),
    )


def suppressed_today(
    findings: Iterable[Finding], *, whole: bool, today: date | None = None
) -> Sorted:
    """``findings`` by the repository's own entries. ``whole``: every stack was judged; else an
    entry that covers nothing is not said, for it may be needed for what was not looked at.
    """
    now = today or date.today()  # noqa: DTZ011 - an entry ends with a day of whoever reads it
    found = suppress(findings, read_suppressions(FILE, now), now)
    return replace(found, findings=tuple(f for f in found.findings if whole or f.rule != IDLE))


def _entry(document: Document, index: int, entry: dict[str, Any]) -> Suppression:
    file, line = document.place(("suppressions", index))
    until = date.fromisoformat(entry["until"])
    return Suppression(entry["rule"], entry["resource"], entry["reason"].strip(), until, file, line)


def _wrong(document: Document, index: int, entry: Any, today: date) -> list[Problem]:
    at: tuple[Key, ...] = ("suppressions", index)
    if not isinstance(entry, dict):
        return [_problem(document, at, f"the keys {', '.join(KEYS)}", "something else")]
    unknown = [
        _problem(document, (*at, k), f"one of {', '.join(KEYS)}", k) for k in entry if k not in KEYS
    ]
    missing = [_problem(document, at, k, "none") for k in KEYS if not _said(entry.get(k))]
    return [*unknown, *missing] or _wrong_values(document, at, entry, today)


def _wrong_values(
    document: Document, at: tuple[Key, ...], entry: dict[str, Any], today: date
) -> list[Problem]:
    problems = []
    if not RULE.fullmatch(entry["rule"]):
        problems.append(_problem(document, (*at, "rule"), "a rule's id", entry["rule"]))
    if len(entry["reason"].split()) < 3:
        problems.append(_problem(document, (*at, "reason"), "a reason in words", entry["reason"]))
    until = _day(entry["until"])
    if until is None or until > today + LONGEST:
        expected = f"a day such as {today + timedelta(days=90)}, at most a year away"
        problems.append(_problem(document, (*at, "until"), expected, entry["until"]))
    return problems


def _said(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None


def _problem(document: Document, path: tuple[Key, ...], expected: str, found: str) -> Problem:
    file, line = document.place(path)
    remedy = "A suppression needs a rule, a resource, a reason and the day it ends."
    return Problem(expected, found, remedy, file=file, line=line, path=dotted(path))


def _expired(entry: Suppression) -> Finding:
    return Finding(
        rule="GL-SUPPRESSION-001",
        file=entry.file,
        line=entry.line,
        expected=f"a day that is still to come for {entry.rule}",
        found=f"{entry.until}",
        remedy="Mend what it was for and remove it, or have it prolonged in a pull request.",
        resource=entry.resource,
    )


def _idle(entry: Suppression) -> Finding:
    return Finding(
        rule=IDLE,
        file=entry.file,
        line=entry.line,
        expected=f"a finding of {entry.rule} that it speaks of",
        found="none",
        remedy="Remove it: what it was for is gone.",
        severity="warn",
        resource=entry.resource,
    )
