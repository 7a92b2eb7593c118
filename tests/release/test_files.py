"""Files that are whole or absent, whatever moment the power goes."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from release import files
from release.errors import BadInput
from release.files import create_only, locked, read_json, write_atomic, write_json


class PowerCutError(Exception):
    """Stands for the moment at which the power goes."""


def cut(*_: Any, **__: Any) -> None:
    raise PowerCutError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, b"old, and longer than the new")
    write_atomic(path, b"new")

    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["state.json"]


@pytest.mark.parametrize("moment", ["fchmod", "fsync"])
def test_S23_a_write_that_is_cut_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """And nothing lies about beside it."""
    path = tmp_path / "state.json"
    write_atomic(path, b"old")
    monkeypatch.setattr(os, moment, cut)

    with pytest.raises(PowerCutError):
        write_atomic(path, b"new")

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["state.json"]


def test_S23_a_cut_after_the_rename_leaves_the_new_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, b"old")
    monkeypatch.setattr(files, "sync_folder", cut)

    with pytest.raises(PowerCutError):
        write_atomic(path, b"new")

    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["state.json"]


def test_S23_a_rename_that_fails_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    write_atomic(path, b"old")
    monkeypatch.setattr(Path, "replace", cut)

    with pytest.raises(PowerCutError):
        write_atomic(path, b"new")

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["state.json"]


def test_data_and_name_are_both_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file before it gets its name, the folder after."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        mode = os.fstat(descriptor).st_mode
        synced.append("folder" if stat.S_ISDIR(mode) else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(tmp_path / "a", b"a")
    create_only(tmp_path / "b", b"b")

    assert synced == ["file", "folder", "file", "folder"]


def test_what_is_written_is_for_its_owner_alone_unless_told(tmp_path: Path) -> None:
    write_atomic(tmp_path / "key", b"secret")
    write_json(tmp_path / "public", {}, 0o644)

    assert [stat.S_IMODE((tmp_path / one).stat().st_mode) for one in ("key", "public")] == [
        0o600,
        0o644,
    ]


def test_a_second_creation_changes_nothing(tmp_path: Path) -> None:
    """Create-only is the compare-and-swap of everything above it."""
    path = tmp_path / "000001.json"
    create_only(path, b"first")

    with pytest.raises(FileExistsError):
        create_only(path, b"second")

    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["000001.json"]


def test_of_many_that_create_at_once_one_wins(tmp_path: Path) -> None:
    path, won = tmp_path / "000001.json", []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        try:
            create_only(path, b"%d" % number * 1000)
            won.append(number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(won) == 1
    assert path.read_bytes() == b"%d" % won[0] * 1000


@settings(max_examples=30)  # each one waits for the disk
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_json_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)

    assert read_json(path) == value


@pytest.mark.parametrize(
    "data",
    [b"", b'{"a": ', b"\xff", b"[" * 100_000, b"\0" * 100],
    ids=["empty", "torn", "not UTF-8", "deep", "zeros"],
)
def test_a_damaged_state_file_is_named(tmp_path: Path, data: bytes) -> None:
    """Never a traceback: the file, and that it was damaged from outside."""
    path = tmp_path / "state.json"
    path.write_bytes(data)

    with pytest.raises(BadInput) as caught:
        read_json(path)

    (problem,) = caught.value.problems
    assert problem.file == str(path)
    assert "damaged" in problem.remedy


def test_an_absent_file_is_absent(tmp_path: Path) -> None:
    """Callers tell absent from damaged."""
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "state.json")


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    """Held by another descriptor, it is waited for."""
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with locked(tmp_path / "lock"):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock"):
        thread.start()
        waiting.wait()
        thread.join(0.05)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_a_lock_is_let_go_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(PowerCutError), locked(tmp_path / "lock"):
        raise PowerCutError
    with locked(tmp_path / "lock"):
        pass


def test_a_folder_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    """Whoever removed it meant it."""
    with pytest.raises(FileNotFoundError):
        files.write_atomic(tmp_path / "gone/state.json", b"x")
