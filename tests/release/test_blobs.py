"""Blobs: what comes back under a digest is what went in, or an error that names the file."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release.blobs import Blobs, folder_blobs
from release.errors import BadInput
from release.integrity import Damaged, sha256
from release.stores import FolderStore, NotStored
from tests.release.making import MemoryStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence" / "sha256"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_come_back_under_their_digest(data: bytes) -> None:
    blobs = Blobs(MemoryStore())

    digest = blobs.put(data)

    assert digest == sha256(data)
    assert blobs.get(digest) == data


def test_a_blob_is_a_file_named_by_its_digest(folder: Path) -> None:
    digest = folder_blobs(folder).put(b"report")

    assert (folder / digest).read_bytes() == b"report"
    assert folder_blobs(folder).digests() == (digest,)


def test_putting_the_same_bytes_again_changes_nothing(folder: Path) -> None:
    blobs = folder_blobs(folder)
    before = (folder / blobs.put(b"report")).stat()

    digest = blobs.put(b"report")

    assert (folder / digest).stat().st_ino == before.st_ino


def test_a_changed_blob_is_refused_with_file_and_both_digests(folder: Path) -> None:
    blobs = folder_blobs(folder)
    digest = blobs.put(b"report")
    (folder / digest).write_bytes(b"retort")

    with pytest.raises(Damaged) as error:
        blobs.get(digest)

    assert error.value.exit_code == 3
    assert f"{folder / digest}: expected bytes with SHA-256 {digest}" in str(error.value)
    assert f"found SHA-256 {sha256(b'retort')}" in str(error.value)


def test_a_damaged_blob_is_not_taken_for_the_one_that_is_put(folder: Path) -> None:
    blobs = folder_blobs(folder)
    (folder / blobs.put(b"report")).write_bytes(b"")

    with pytest.raises(Damaged, match="Bring it back from a copy"):
        blobs.put(b"report")


def test_a_missing_blob_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(Damaged, match=f"{'0' * 64}: expected .*found no such file"):
        folder_blobs(folder).get("0" * 64)


@pytest.mark.parametrize("name", ["../keys/pipeline.key", "A" * 64, "0" * 63, ""])
def test_what_is_no_digest_is_not_looked_up(folder: Path, name: str) -> None:
    with pytest.raises(Damaged, match="64 hexadecimal digits"):
        folder_blobs(folder).get(name)


def test_a_blob_over_the_limit_is_refused_before_it_is_written(folder: Path) -> None:
    with pytest.raises(BadInput, match="at most 4 bytes, found 5 bytes"):
        Blobs(FolderStore(folder, limit=4)).put(b"12345")

    assert not folder.exists()


def test_a_file_that_grew_over_the_limit_is_not_read_whole(folder: Path) -> None:
    blobs = Blobs(FolderStore(folder, limit=4))
    digest = blobs.put(b"1234")
    (folder / digest).write_bytes(b"12345")

    with pytest.raises(Damaged, match="at most 4 bytes, found more"):
        blobs.get(digest)


def test_a_folder_in_place_of_a_blob_is_refused_as_unreadable(folder: Path) -> None:
    (folder / ("0" * 64)).mkdir(parents=True)

    with pytest.raises(Damaged, match="expected a readable file"):
        folder_blobs(folder).get("0" * 64)


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_refuses_half_way_leaves_nothing_behind(folder: Path) -> None:
    blobs = folder_blobs(folder)

    with disk_full_after(1000), pytest.raises(NotStored, match="could not be written"):
        blobs.put(b"x" * 2000)

    assert list(folder.iterdir()) == []


def test_old_temporary_files_are_swept_and_young_ones_left(folder: Path) -> None:
    store = FolderStore(folder)
    store.create("kept", b"")
    (folder / ".old.tmp").touch()
    (folder / ".young.tmp").touch()
    os.utime(folder / ".old.tmp", (time.time() - 7200,) * 2)

    assert store.sweep() == 1
    assert sorted(path.name for path in folder.iterdir()) == [".young.tmp", "kept"]
    assert store.names() == ("kept",)
