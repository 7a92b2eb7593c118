"""The shared ledger over a line on which anything can happen to a request: no entry is lost, none
is written twice, and whoever cannot know says so.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from release import object_store
from release.lease import acquire
from release.ledger import Entry, Ledger, history, verify
from release.ledger.entry import Draft
from release.ledger.leases import LeaseHeld
from release.object_store import StoreAway
from tests.emulators import Emulator
from tests.emulators.line import ACCIDENTS, Line, line
from tests.release.making import holder
from tests.release.places import Place, remote, reopened

pytestmark = pytest.mark.slow

UNKNOWN = ("unanswered", "refused after all")  # accidents after which it was written


@pytest.fixture
def bad(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """A line to each emulator, on which tries follow one another without a pause."""
    monkeypatch.setattr(object_store, "PAUSES", (0.001, 0.001))
    monkeypatch.setattr(object_store, "PATIENCE", 60.0)
    with line(emulator.port) as made:
        for name, value in emulator.variables(made.port).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def impatient(bad: Line, monkeypatch: pytest.MonkeyPatch) -> Line:
    """As ``bad``, for those who give up soon."""
    monkeypatch.setattr(object_store, "PATIENCE", 0.2)
    return bad


def somewhere(emulator: Emulator) -> Place:
    """An empty place on the emulator, over the line."""
    return remote(emulator.url(str(uuid.uuid4())))


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_s23_whatever_happens_to_a_put_its_entry_is_there_once_and_whole(
    accident: str, emulator: Emulator, bad: Line
) -> None:
    shared = somewhere(emulator).records()
    book = reopened(shared)
    book.append("before")

    bad.meets(["", "", accident])  # the head is read, then what follows it
    entry = book.append("after")

    assert entry.sequence == 2
    assert [one.kind for one in history(shared)] == ["before", "after"]
    assert verify(shared).problems == ()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(accidents=st.lists(st.sampled_from(["", "", "", *ACCIDENTS]), max_size=24))
def test_s09_two_writers_on_a_bad_line_lose_no_entry_and_double_none(
    accidents: list[str], emulator: Emulator, bad: Line
) -> None:
    bad.meets([])
    shared = somewhere(emulator).records()
    one, other = reopened(shared), reopened(shared)

    bad.meets(accidents)
    for number in range(3):
        one.append("one", data={"number": number})
        other.append("other", data={"number": number}, refs=[other.blobs.put(b"report")])

    bad.meets([])
    written = [(entry.kind, entry.data["number"]) for entry in history(shared)]
    assert written == [(kind, number) for number in range(3) for kind in ("one", "other")]
    verify(shared).require()


@pytest.mark.parametrize("accident", UNKNOWN)
def test_a_rivals_entry_is_not_taken_for_the_own_one_after_a_lost_answer(
    accident: str, emulator: Emulator, bad: Line
) -> None:
    """Its own put is refused after an unanswered one, and what is there is somebody else's."""
    shared = somewhere(emulator).records()
    mine, rival = reopened(shared), reopened(shared)

    class Slow(Ledger):
        def _create(self, draft: Draft) -> Entry:
            if not rival.entries:
                rival.append("rival")
                bad.meets([accident])  # which only ever finds the name taken
            return super()._create(draft)

    entry = Slow(shared, mine.signer, mine.clock).append("mine")

    assert entry.sequence == 2
    assert [one.kind for one in history(shared)] == ["rival", "mine"]


def test_a_store_that_is_away_is_named_and_the_next_run_goes_on(
    emulator: Emulator, impatient: Line
) -> None:
    place = somewhere(emulator)
    book = reopened(place.records())
    book.append("before")

    impatient.cut = True
    with pytest.raises(StoreAway, match=r"could not be read within 0 s: no answer\. "):
        book.append("cut")
    with pytest.raises(StoreAway, match="no answer") as error:
        reopened(book.records)
    impatient.cut = False

    assert error.value.exit_code == 1
    assert place.entries.where("") in str(error.value)
    assert book.append("after").sequence == 2
    assert verify(book.records).problems == ()


def test_who_cannot_know_whether_it_was_written_says_so_and_the_next_run_finds_it(
    emulator: Emulator, impatient: Line
) -> None:
    shared = somewhere(emulator).records()
    book = reopened(shared)

    impatient.meets(["", "unanswered", *["lost"] * 10_000])
    with pytest.raises(StoreAway, match=r"It may be there all the same\. Run the same command"):
        acquire(book, "production", "ship", holder=holder(host="elsewhere"))
    impatient.meets([])

    assert [entry.kind for entry in history(shared)] == ["lease"]
    with pytest.raises(LeaseHeld, match="ship"):
        acquire(reopened(shared), "production", "ship")
    assert acquire(reopened(shared), "production", "rollback", takeover=True).fence == 2


def test_a_put_that_arrives_after_its_writer_gave_up_cannot_pass_the_next_one(
    emulator: Emulator, impatient: Line
) -> None:
    """However late it is: its number is taken, so its lease never was."""
    shared = somewhere(emulator).records()
    late, quick = reopened(shared), reopened(shared)

    impatient.meets(["", "late", *["lost"] * 10_000])
    with pytest.raises(StoreAway):
        acquire(late, "production", "ship", holder=holder())
    held_back = list(impatient.held_back())
    impatient.meets([])
    lease = acquire(quick, "production", "promote", holder=holder("promote", "b"))
    impatient.send(held_back)

    assert [entry.holder for entry in history(shared)] == [lease.holder.id]
    assert held_back


def test_a_store_that_hangs_is_given_up_in_time(
    emulator: Emulator, impatient: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "ANSWER", -0.9)  # with the second of the limit: 0.1 s
    place = somewhere(emulator)

    with impatient.hanging(), pytest.raises(StoreAway, match="no answer"):
        place.entries.create("000001.json", b"one")
