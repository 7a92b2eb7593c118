"""A store, and the ledger on it, behave alike in memory, in a folder, on S3 and on Azure Blob."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from release.blobs import Blobs
from release.errors import BadInput
from release.evidence import attest
from release.integrity import Damaged, sha256
from release.lease import acquire, release
from release.ledger import Entry, Ledger, Mark, history, verify
from release.ledger.entry import GENESIS, Draft, encode, name_of
from release.ledger.leases import LeaseHeld, LeaseLost
from release.object_store import ObjectStore
from release.stores import FolderStore, Store
from tests.release.making import NOON, MemoryStore, holder, pipeline, statement
from tests.release.places import Place, place, reopened

__all__ = ["place"]
PRODUCTION = "production"


# The store


def test_what_was_created_is_read_back_and_listed(place: Place) -> None:
    store = place.entries
    store.create("000002.json", b"two")
    store.create("000001.json", b"")

    assert (store.read("000001.json"), store.read("000002.json")) == (b"", b"two")
    assert sorted(store.names()) == ["000001.json", "000002.json"]


def test_a_name_is_created_once_whatever_it_holds(place: Place) -> None:
    place.entries.create("000001.json", b"one")

    for data in (b"one", b"other"):
        with pytest.raises(FileExistsError):
            place.entries.create("000001.json", data)

    assert place.entries.read("000001.json") == b"one"


def test_a_name_that_is_not_there_is_not_found(place: Place) -> None:
    assert place.entries.names() == ()
    with pytest.raises(FileNotFoundError):
        place.entries.read("000001.json")


def test_many_are_read_in_the_order_that_was_asked_for(place: Place) -> None:
    wanted = [f"{number:06d}.json" for number in range(1, 41)]
    for name in wanted:
        place.entries.create(name, name.encode())

    reads = place.entries.read_each([*reversed(wanted), "000099.json"])

    assert [next(reads)() for _ in wanted] == [name.encode() for name in reversed(wanted)]
    with pytest.raises(FileNotFoundError):
        next(reads)()


def test_an_object_over_the_limit_is_refused_both_ways(place: Place) -> None:
    store = place.entries
    if isinstance(store, MemoryStore):
        pytest.skip("a dictionary has no limit")
    assert isinstance(store, FolderStore | ObjectStore)
    store.create("000001.json", b"12345")
    small = replace(store, limit=4)

    with pytest.raises(BadInput, match=r"000002\.json: expected at most 4 bytes"):
        small.create("000002.json", b"12345")
    with pytest.raises(Damaged, match=r"000001\.json: expected at most 4 bytes"):
        small.read("000001.json")
    assert store.names() == ("000001.json",)


def test_s09_of_many_that_create_one_name_at_once_one_wins(place: Place) -> None:
    writers, gate = 6, threading.Barrier(6)

    def create(number: int) -> bool:
        gate.wait()
        try:
            place.entries.create("000001.json", str(number).encode())
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(writers) as pool:
        won = list(pool.map(create, range(writers)))

    assert won.count(True) == 1
    assert place.entries.read("000001.json") == str(won.index(True)).encode()


# The ledger


def test_entries_and_evidence_of_one_are_read_by_another(place: Place) -> None:
    one = reopened(place.records())
    report, proof = one.blobs.put(b"report"), one.blobs.put(attest(statement(), pipeline()))
    lease = acquire(one, PRODUCTION, "ship", holder=holder())
    one.append("evaluated", PRODUCTION, {"verdict": "pass"}, [report, proof], lease)
    release(one, lease)

    other = one.records
    found = verify(other)

    found.require()
    assert (found.entries, found.blobs, found.statements) == (3, 2, 1)
    assert [entry.kind for entry in history(other)] == ["lease", "evaluated", "lease-released"]
    assert Blobs(place.evidence).get(report) == b"report"


def test_two_writers_make_one_chain(place: Place) -> None:
    shared = place.records()
    one, other = reopened(shared), reopened(shared)

    for number in range(3):
        one.append("one", data={"number": number})
        other.append("other", data={"number": number})

    assert [entry.kind for entry in history(shared)] == ["one", "other"] * 3
    assert verify(shared).problems == ()


class Between(Ledger):
    """A ledger in which something happens between the reading and the writing, once."""

    happens: Callable[[], object] | None = None

    def _create(self, draft: Draft) -> Entry:
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()
        return super()._create(draft)


def test_s09_a_lost_race_is_tried_again_behind_the_winner(place: Place) -> None:
    shared = place.records()
    fast = reopened(shared)
    slow = Between(shared, fast.signer, fast.clock)
    slow.happens = lambda: fast.append("fast")

    entry = slow.append("slow")

    assert (entry.sequence, entry.previous) == (2, fast.head.sha256)


def test_s09_of_two_that_find_the_lease_free_one_takes_it_and_the_other_reads_who(
    place: Place,
) -> None:
    shared = place.records()
    fast = reopened(shared)
    slow = Between(shared, fast.signer, fast.clock)
    slow.happens = lambda: acquire(fast, PRODUCTION, "promote", holder=holder("promote", "b"))

    with pytest.raises(LeaseHeld, match=r"held by promote \(process 4242 on build-1\)"):
        acquire(slow, PRODUCTION, "ship", holder=holder())

    assert [entry.kind for entry in history(shared)] == ["lease"]


def test_s09_a_writer_whose_lease_was_taken_over_writes_nothing_more(place: Place) -> None:
    shared = place.records()
    rollback = reopened(shared)
    ship = Between(shared, rollback.signer, rollback.clock)
    lease = acquire(ship, PRODUCTION, "ship", holder=holder())
    ship.happens = lambda: acquire(rollback, PRODUCTION, "rollback", takeover=True)

    with pytest.raises(LeaseLost, match="took lease 2"):
        ship.append("exposed", PRODUCTION, lease=lease)

    assert [entry.kind for entry in history(shared)] == ["lease", "lease"]


def test_an_entry_that_was_changed_is_refused_by_name(place: Place) -> None:
    book = reopened(place.records())
    book.append("one")
    book.append("two")
    place.damage("000001.json", place.entries.read("000001.json").replace(b"e", b"f", 1))

    with pytest.raises(Damaged, match=r"000001\.json"):
        history(book.records)
    with pytest.raises(Damaged, match=r"000001\.json"):
        reopened(book.records)


def test_a_ledger_that_was_shortened_is_refused(place: Place) -> None:
    book = reopened(place.records())
    book.append("one")
    book.append("two")
    place.damage("000002.json", None)

    with pytest.raises(Damaged, match=r"entries up to 2, which memory/head has seen"):
        reopened(book.records)
    with pytest.raises(Damaged, match=r"000002\.json: .* found no such file"):
        book.append("three")


def test_a_ledger_that_was_rewritten_with_the_right_key_is_refused(place: Place) -> None:
    book = reopened(place.records())
    book.append("one")
    place.damage("000001.json", encode(Draft("x"), "support-bot", GENESIS, NOON, pipeline()))

    with pytest.raises(Damaged, match="The ledger was rewritten"):
        reopened(book.records)


def test_evidence_that_is_gone_or_changed_is_found(place: Place) -> None:
    book = reopened(place.records())
    digest = book.blobs.put(b"report")
    book.append("evaluated", refs=[digest])
    Place(place.evidence, place.entries).damage(digest, b"other")

    assert f"{digest}: expected bytes with SHA-256 {digest}" in str(
        verify(book.records).problems[0]
    )
    with pytest.raises(Damaged, match="changed after it was written"):
        book.append("again", refs=[digest])


def test_a_ledger_is_read_by_number_and_not_in_the_order_of_a_listing(place: Place) -> None:
    """1000000.json is listed before 999999.json."""
    head, store = Mark(999_998, "0" * 64), place.entries
    for kind in ("one", "two"):
        data = encode(Draft(kind), "support-bot", head, NOON, pipeline())
        head = Mark(head.sequence + 1, sha256(data))
        store.create(name_of(head.sequence), data)

    chain = verify(place.records())

    assert chain.head == head
    assert chain.entries == 2


def test_a_store_shows_where_an_object_is(place: Place) -> None:
    store: Store = place.entries

    assert store.where("000001.json").endswith("/000001.json")
