"""The ledger: appended to by whoever is entitled, refused by everybody once it was touched."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release import dsse
from release.errors import BadInput, Waiting
from release.files import write_json
from release.integrity import Damaged, canonical, sha256
from release.keys import KEY_FILE, TRUST_FILE, generate
from release.ledger import FileWitness, Ledger, Mark, history, local_records, open_ledger, verify
from release.ledger.entry import (
    GENESIS,
    NOTHING,
    PAYLOAD_TYPE,
    Draft,
    encode,
    name_of,
    sequence_of,
)
from release.state import StateFolder
from release.stores import NotStored
from release.timestamps import epoch, rfc3339
from tests.release.making import (
    NOON,
    HandClock,
    MemoryStore,
    MemoryWitness,
    ledger,
    pipeline,
    records,
    trusted,
)


def test_an_entry_is_what_was_appended_at_the_time_of_the_clock() -> None:
    book = ledger(clock=HandClock(NOON))
    digest = book.blobs.put(b"report")

    entry = book.append("built", data={"release": "1" * 64}, refs=[digest])

    assert (entry.sequence, entry.previous, entry.time) == (1, NOTHING, NOON)
    assert (entry.kind, entry.environment, entry.fence, entry.holder) == ("built", None, None, None)
    assert (entry.data, entry.refs) == ({"release": "1" * 64}, (digest,))


def test_each_entry_holds_the_digest_of_the_one_before() -> None:
    book = ledger()

    first, second = book.append("one"), book.append("two")

    assert second.previous == first.digest
    assert book.head == second.mark


def test_an_entry_on_disk_is_a_signed_envelope_around_canonical_json(tmp_path: Path) -> None:
    open_ledger(StateFolder(tmp_path), "support-bot", clock=HandClock()).append("built")

    data = (tmp_path / ".greenlight/ledger/support-bot/000001.json").read_bytes()

    envelope = dsse.decode(data, "")
    assert envelope.payload_type == "application/vnd.greenlight.ledger-entry+json"
    assert envelope.payload == canonical(
        {
            "version": 1,
            "application": "support-bot",
            "sequence": 1,
            "previous": "0" * 64,
            "time": "2026-01-01T12:00:00.000000Z",
            "kind": "built",
            "environment": None,
            "fence": None,
            "holder": None,
            "data": {},
            "refs": [],
        }
    )


def test_history_has_every_entry_in_order_and_kinds_from_the_future_too() -> None:
    book = ledger()
    book.append("built")
    book.append("teleported", "production", {"where": ["a", {"b": 1.5}]})

    assert history(book.records) == book.entries
    assert [entry.kind for entry in book.entries] == ["built", "teleported"]


def test_a_second_writer_goes_on_where_the_first_one_is() -> None:
    shared = records()
    one, other = ledger(shared), ledger(shared)
    one.append("one")

    assert other.append("two").sequence == 2
    assert one.append("three").sequence == 3
    assert verify(shared).problems == ()


class Rival(MemoryStore):
    """A store in which another writer is always a moment faster, ``times`` times."""

    times = 2
    rival: Ledger | None = None

    def create(self, name: str, data: bytes) -> None:
        if self.rival is not None and self.times > 0:
            self.times -= 1
            rival, self.rival = self.rival, None
            rival.append("rival")
            self.rival = rival
        super().create(name, data)


def test_a_lost_race_is_tried_again_behind_the_winner() -> None:
    store = Rival(label="ledger")
    shared = records(entries=store)
    book, store.rival = ledger(shared), ledger(shared)

    entry = book.append("mine")

    assert [found.kind for found in history(shared)] == ["rival", "rival", "mine"]
    assert entry.sequence == 3


def test_what_is_appended_is_decided_anew_after_a_lost_race() -> None:
    store = Rival(label="ledger")
    shared = records(entries=store)
    book, store.rival = ledger(shared), ledger(shared)

    entry = book.transact(lambda entries: Draft("count", data={"before": len(entries)}))

    assert entry.data == {"before": 2}


def test_a_race_that_is_never_won_ends_with_a_reason() -> None:
    class Full(MemoryStore):
        def create(self, name: str, data: bytes) -> None:
            raise FileExistsError(name)

    with pytest.raises(Waiting, match="written by others without a pause"):
        ledger(records(entries=Full())).append("built")


def test_a_reference_to_a_blob_that_is_not_there_is_refused_before_anything_is_written() -> None:
    book = ledger()

    with pytest.raises(Damaged, match="no such file"):
        book.append("built", refs=["0" * 64])

    assert book.records.entries.names() == ()


UNREADABLE: dict[str, dict[str, Any]] = {
    "a kind with capitals": {"kind": "Built"},
    "an empty kind": {"kind": ""},
    "an environment that is a path": {"kind": "built", "environment": "../x"},
    "a value that is no JSON": {"kind": "built", "data": {"score": float("inf")}},
    "a lease that nobody asked for": {"kind": "lease", "environment": "production"},
}


@pytest.mark.parametrize("arguments", UNREADABLE.values(), ids=UNREADABLE)
def test_what_could_not_be_read_back_is_never_written(arguments: dict[str, Any]) -> None:
    book = ledger()

    with pytest.raises(ValueError, match=r"kind|environment|JSON|lease"):
        book.append(**arguments)

    assert book.records.entries.names() == ()


def test_an_entry_over_the_limit_is_refused_and_says_how_large_it_may_be(tmp_path: Path) -> None:
    book = open_ledger(StateFolder(tmp_path), "support-bot")

    with pytest.raises(BadInput, match="at most 1048576 bytes"):
        book.append("built", data={"text": "x" * 2_000_000})

    assert verify(book.records).problems == ()


def test_a_key_that_nobody_trusts_cannot_open_the_ledger() -> None:
    with pytest.raises(BadInput, match=r"trusted\.json: expected the pipeline's key"):
        Ledger(records(), generate(), HandClock())


def test_a_ledger_whose_keys_are_gone_is_refused_and_no_new_key_is_made(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    open_ledger(state, "support-bot").append("built")
    for name in (KEY_FILE, TRUST_FILE):
        (state.keys / name).unlink()

    with pytest.raises(BadInput, match="Bring the folder back from a copy"):
        open_ledger(state, "support-bot")

    assert not (state.keys / KEY_FILE).exists()


def test_two_applications_in_one_folder_have_a_ledger_each(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    for application in ("one", "other"):
        open_ledger(state, application).append("built")

    assert len(open_ledger(state, "one").entries) == 1
    assert verify(local_records(state, "other")).problems == ()


def test_an_entry_of_another_application_is_refused() -> None:
    theirs = ledger(records("other"))
    theirs.append("built")
    ours = records(entries=theirs.records.entries, witnesses=theirs.records.witnesses)

    with pytest.raises(Damaged, match="application: expected support-bot, found other"):
        ledger(ours)


# What a crash leaves behind


class Forgetful(MemoryWitness):
    """A witness whose process is killed before it is told of entry ``number``."""

    number = -1

    def note(self, mark: Mark) -> None:
        if mark.sequence == self.number:
            raise KeyboardInterrupt
        super().note(mark)


@pytest.mark.parametrize("number", [1, 2])
def test_s22_a_crash_between_entry_and_witness_is_no_loss(number: int) -> None:
    witness = Forgetful()
    shared = records(witnesses=(witness,))
    book = ledger(shared)
    for sequence in range(1, number):
        book.append(f"before-{sequence}")
    witness.number = number
    with pytest.raises(KeyboardInterrupt):
        book.append("cut")
    witness.number = -1

    assert verify(shared).problems == ()
    assert ledger(shared).append("after").sequence == number + 1
    assert witness.mark == history(shared)[-1].mark


def test_a_witness_that_cannot_write_says_that_the_entry_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotStored, match="The ledger itself has entry 1"):
        FileWitness(tmp_path / "file" / "seen.json").note(Mark(1, "1" * 64))


def test_a_witness_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    report = verify(records(witnesses=(FileWitness(tmp_path),)))

    assert [problem.file for problem in report.problems] == [str(tmp_path)]


# What an intruder does: nothing may be written on top of it


def test_a_shortened_ledger_is_refused_before_anything_is_written() -> None:
    book = ledger()
    book.append("one")
    book.append("two")
    store = book.records.entries
    assert isinstance(store, MemoryStore)
    del store.objects["000002.json"]

    with pytest.raises(Damaged, match="entries up to 2, which memory/head has seen"):
        ledger(book.records)
    with pytest.raises(Damaged, match=r"ledger/000002\.json: .* found no such file"):
        book.append("three")

    assert store.names() == ("000001.json",)


def test_a_ledger_that_was_emptied_is_refused() -> None:
    book = ledger()
    book.append("one")

    with pytest.raises(Damaged, match="the last one is 0"):
        ledger(replace(book.records, entries=MemoryStore()))


def test_a_ledger_rewritten_with_the_right_key_is_refused() -> None:
    """The key alone is not enough: whoever remembers the head remembers its digest."""
    book = ledger()
    book.append("one")
    forged = MemoryStore(label="ledger")
    data = encode(Draft("other"), "support-bot", GENESIS, NOON, pipeline())
    forged.create("000001.json", data)

    with pytest.raises(Damaged, match="The ledger was rewritten"):
        ledger(replace(book.records, entries=forged))
    book.records.entries.objects["000001.json"] = data  # type: ignore[attr-defined]
    with pytest.raises(Damaged, match=r"000001\.json: expected SHA-256"):
        book.append("two")


def test_a_ledger_that_nobody_remembers_is_refused() -> None:
    book = ledger()
    book.append("one")

    with pytest.raises(Damaged, match=r"a witness that remembers .* beside a ledger"):
        ledger(replace(book.records, witnesses=(MemoryWitness(), MemoryWitness())))


def test_one_witness_that_remembers_is_enough_and_a_new_one_learns() -> None:
    book, new = ledger(), MemoryWitness()
    book.append("one")

    entry = ledger(replace(book.records, witnesses=(*book.records.witnesses, new))).append("two")

    assert new.mark == entry.mark


def test_a_target_that_remembers_more_than_the_keys_folder_is_believed() -> None:
    book, target = ledger(), MemoryWitness(where="environments/production/seen.json")
    shared = replace(book.records, witnesses=(MemoryWitness(GENESIS), target))
    target.mark = Mark(7, "1" * 64)

    with pytest.raises(Damaged, match=r"production/seen\.json has seen, found the last one is 0"):
        ledger(shared)


def test_an_entry_that_was_written_under_a_stale_fence_is_found() -> None:
    shared = records()
    head = GENESIS
    for draft in (
        Draft("lease", "production", fence=1),
        Draft("lease", "production", fence=2),
        Draft("step", "production", fence=1),
        Draft("lease", "staging", fence=2),
    ):
        data = encode(draft, "support-bot", head, NOON, pipeline())
        shared.entries.create(name_of(head.sequence + 1), data)
        head = Mark(head.sequence + 1, sha256(data))
    shared.witnesses[0].note(head)

    problems = [str(problem) for problem in verify(shared).problems]

    assert [re.findall(r"(\d{6}).*found (\d)", text) for text in problems] == [
        [("000003", "1")],
        [("000004", "2")],
    ]


def test_a_clock_that_went_back_is_noted_and_not_refused() -> None:
    clock = HandClock()
    book = ledger(clock=clock)
    book.append("one")
    clock.now -= 60
    book.append("two")

    report = verify(book.records)

    assert report.problems == ()
    assert report.notes == ("000002.json is dated 60 s before the entry it follows.",)


def test_an_entry_of_a_version_from_the_future_is_refused_with_the_remedy() -> None:
    shared = records()
    data = dsse.seal(PAYLOAD_TYPE, canonical({"version": 2, "sequence": 1}), pipeline())
    shared.entries.create("000001.json", data)
    shared.witnesses[0].note(GENESIS)

    with pytest.raises(Damaged, match=r"found something else \(version 2\).*newer Greenlight"):
        ledger(shared)


def test_a_message_about_a_thousand_problems_stays_readable() -> None:
    book = ledger()
    for number in range(30):
        book.append(f"step-{number}")
    strangers = replace(trusted(), keys=trusted().keys[1:])

    with pytest.raises(Damaged) as error:
        history(replace(book.records, trusted=strangers))

    assert len(error.value.problems) == 30
    assert len(str(error.value).splitlines()) == 22
    assert "and 10 more" in str(error.value)


# Names, times and marks


@settings(deadline=None)
@given(st.integers(1, 10**9))
def test_an_entrys_name_says_its_sequence(sequence: int) -> None:
    assert sequence_of(name_of(sequence)) == sequence


@pytest.mark.parametrize(
    "name", ["000000.json", "1.json", "0000001.json", "000001.json~", ".000001.json.x", "x"]
)
def test_no_other_name_is_an_entrys(name: str) -> None:
    assert sequence_of(name) is None


@settings(deadline=None)
@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_survives_being_written(microseconds: int) -> None:
    seconds = microseconds / 1e6

    assert rfc3339(epoch(rfc3339(seconds))) == rfc3339(seconds)
    assert abs(epoch(rfc3339(seconds)) - seconds) < 1e-6


def test_a_witness_never_goes_back(tmp_path: Path) -> None:
    witness = FileWitness(tmp_path / "heads" / "support-bot.json")
    assert witness.seen() is None

    witness.note(Mark(2, "2" * 64))
    witness.note(Mark(1, "1" * 64))

    assert witness.seen() == Mark(2, "2" * 64)


def test_a_witness_refuses_another_entry_under_a_number_it_knows(tmp_path: Path) -> None:
    witness = FileWitness(tmp_path / "seen.json")
    witness.note(Mark(2, "2" * 64))

    with pytest.raises(Damaged, match="rewritten"):
        witness.note(Mark(2, "1" * 64))


@pytest.mark.parametrize("document", [{}, [], {"sequence": 1, "sha256": "x"}, {"sequence": "1"}])
def test_a_witness_that_was_tampered_with_is_refused_by_name(
    tmp_path: Path, document: object
) -> None:
    write_json(tmp_path / "seen.json", document)
    book = ledger()
    book.append("one")
    shared = replace(
        book.records, witnesses=(*book.records.witnesses, FileWitness(tmp_path / "seen.json"))
    )

    with pytest.raises(Damaged, match=r"seen\.json: expected the sequence and sha256"):
        ledger(shared)


def test_a_witness_that_is_no_json_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text(json.dumps({})[:1])

    report = verify(records(witnesses=(FileWitness(tmp_path / "seen.json"),)))

    assert "seen.json" in str(report.problems)
