"""Verify: whatever was changed, wherever, is refused, and the file is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.evidence import Kind, attest
from release.integrity import Damaged
from release.keys import pipeline_key
from release.lease import acquire, release
from release.ledger import FileWitness, Mark, history, local_records, open_ledger, verify
from release.ledger.entry import decode
from release.ledger.verify import Report
from release.state import StateFolder
from tests.release.making import HandClock, holder, ledger, pipeline, statement

FIXTURES = Path(__file__).parent / "fixtures"
APPLICATION = "support-bot"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> StateFolder:
    """A whole small record: leases, evidence, reports, in files."""
    state = StateFolder(tmp_path_factory.mktemp("app"))
    book = open_ledger(state, APPLICATION, clock=HandClock())
    lease = acquire(book, "production", "ship", holder=holder())
    blobs = book.blobs
    report, proof = (
        blobs.put(b'{"token_f1": 0.71}'),
        blobs.put(attest(statement(), pipeline_key(state.keys))),
    )
    book.append("evaluated", "production", {"verdict": "pass"}, [proof, report], lease)
    book.append("exposed", "production", {"weights": {"blue": 100}}, lease=lease)
    release(book, lease)
    return state


def found(state: StateFolder) -> Report:
    return verify(local_records(state, APPLICATION))


def kept(state: StateFolder) -> list[Path]:
    """Every file of ledger and evidence."""
    folders = (state.ledger, state.evidence)
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


@contextmanager
def holding(path: Path, data: bytes | None) -> Iterator[None]:
    """``path`` with other bytes, or gone, for a moment."""
    before = path.read_bytes()
    try:
        path.unlink() if data is None else path.write_bytes(data)
        yield
    finally:
        path.write_bytes(before)


def test_an_untouched_record_is_accepted_and_counted(state: StateFolder) -> None:
    report = found(state)

    report.require()
    assert (report.entries, report.blobs, report.statements, report.witnesses) == (4, 2, 1, 1)
    assert report.head == open_ledger(state, APPLICATION).head
    assert report.notes == ()


def test_a_record_that_does_not_exist_yet_has_nothing_wrong_with_it(tmp_path: Path) -> None:
    report = found(StateFolder(tmp_path))

    assert (report.entries, report.head.sequence, report.problems) == (0, 0, ())
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_refused_by_name(
    state: StateFolder, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(kept(state)))
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))

    with holding(path, bytes(content)):
        report = found(state)

    assert str(path) in str(report.problems)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_added_or_cut_off_byte_is_refused_by_name(
    state: StateFolder, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(kept(state)))
    content = path.read_bytes()
    position = data.draw(st.integers(0, len(content)))
    more = data.draw(st.sampled_from([b"\n", b" ", b"\0", b"}", None]))
    changed = content[:position] + more + content[position:] if more else content[:position]
    if changed == content:
        return

    with holding(path, changed):
        report = found(state)

    assert str(path) in str(report.problems)


def test_any_missing_file_is_refused_by_name(state: StateFolder) -> None:
    for path in kept(state):
        with holding(path, None):
            report = found(state)

            assert str(path) in str(report.problems)
            with pytest.raises(Damaged, match=path.name):
                report.require()


def test_two_entries_that_changed_places_are_refused(state: StateFolder) -> None:
    third, fourth = (state.ledger / APPLICATION / f"00000{n}.json" for n in (3, 4))
    content = third.read_bytes(), fourth.read_bytes()

    with holding(third, content[1]), holding(fourth, content[0]):
        report = found(state)

    assert {problem.path for problem in report.problems} >= {"sequence", "previous"}


def test_a_missing_witness_is_refused(state: StateFolder) -> None:
    with holding(state.keys / "heads" / f"{APPLICATION}.json", None):
        report = found(state)

    assert "beside a ledger that is not empty" in str(report.problems)


def test_the_last_entry_is_safe_even_where_a_crash_kept_it_from_its_witness(
    state: StateFolder,
) -> None:
    """Then its digest is remembered nowhere, and its signature and spelling alone hold it."""
    head = state.keys / "heads" / f"{APPLICATION}.json"
    before_last = history(local_records(state, APPLICATION))[-2].mark
    last = state.ledger / APPLICATION / "000004.json"
    content = last.read_bytes()

    with holding(head, b"{}"):
        head.unlink()
        FileWitness(head).note(before_last)
        assert found(state).problems == ()
        trusted = local_records(state, APPLICATION).trusted
        for position in range(len(content)):
            changed = bytearray(content)
            changed[position] ^= 1
            with pytest.raises(Damaged):
                decode(bytes(changed), trusted, str(last))


def test_evidence_that_the_wrong_key_signed_is_refused_though_it_is_intact() -> None:
    book = ledger()
    approval = book.blobs.put(attest(statement(Kind.APPROVAL), pipeline()))
    book.append("approved", "production", refs=[approval])

    (problem,) = verify(book.records).problems

    assert problem.file == f"evidence/{approval}"
    assert "trusted as approver" in str(problem)
    assert "which 000001.json refers to" in str(problem)


def test_expired_evidence_stays_a_sound_record() -> None:
    clock = HandClock()
    book = ledger(clock=clock)
    book.append("evaluated", refs=[book.blobs.put(attest(statement(), pipeline()))])
    clock.now += 10 * 365 * 86400

    assert verify(book.records).problems == ()


def test_what_is_no_entry_is_left_alone(state: StateFolder) -> None:
    folder = state.ledger / APPLICATION
    strays = [folder / ".000005.json.x7a", folder / "000004.json~", folder / "notes.txt"]
    for stray in strays:
        stray.write_text("x")
    try:
        assert found(state).problems == ()
    finally:
        for stray in strays:
            stray.unlink()


def test_a_gap_is_reported_once_and_every_other_entry_still_checked(state: StateFolder) -> None:
    folder = state.ledger / APPLICATION

    with holding(folder / "000002.json", None), holding(folder / "000004.json", b"x"):
        report = found(state)

    files = [Path(problem.file).name for problem in report.problems]
    assert files.count("000002.json") == 1
    assert "000004.json" in files
    assert report.entries == 2


def test_verify_writes_nothing(state: StateFolder) -> None:
    before = {path: path.stat().st_mtime_ns for path in state.root.rglob("*")}

    found(state)
    history(local_records(state, APPLICATION))

    assert {path: path.stat().st_mtime_ns for path in state.root.rglob("*")} == before


# Older versions


@pytest.fixture
def version_1(tmp_path: Path) -> StateFolder:
    """The committed ledger of version 1, as an application's own state."""
    state = StateFolder(tmp_path)
    shutil.copytree(FIXTURES / "ledger-v1", state.root)
    (state.keys / "trusted.json").chmod(0o600)
    return state


def test_a_ledger_of_version_1_still_verifies(version_1: StateFolder) -> None:
    report = found(version_1)

    report.require()
    assert (report.entries, report.blobs, report.statements) == (11, 4, 2)
    assert report.head == Mark(
        11, "8ea311f05874b78a5b22cb74b5bc1e446c15721e9b01a35c17faa2f4bb88f949"
    )


def test_a_ledger_of_version_1_still_says_what_it_said(version_1: StateFolder) -> None:
    entries = history(local_records(version_1, APPLICATION))

    assert [(entry.kind, entry.environment, entry.fence) for entry in entries] == [
        ("built", None, None),
        ("lease", "staging", 2),
        ("evaluated", "staging", 2),
        ("lease-renewed", "staging", 2),
        ("lease-released", "staging", 2),
        ("approved", "production", None),
        ("lease", "production", 7),
        ("exposed", "production", 7),
        ("lease", "production", 9),
        ("exposed", "production", 9),
        ("lease-released", "production", 9),
    ]
    assert {entry.version for entry in entries} == {1}
    assert entries[9].data["weights"] == {"blue": 100, "green": 0}
