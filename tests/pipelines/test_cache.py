"""The cache of model files: by content, within a limit, whole whatever kills a copy."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import cache as module
from pipelines.cache import ModelCache, cache_folder, cache_limit
from release.errors import BadInput, GreenlightError
from release.integrity import sha256
from serving.processes import borrow

NOBODY: frozenset[str] = frozenset()


def model(folder: Path, name: str, size: int = 10) -> tuple[Path, str]:
    """A file of ``size`` bytes that no other name has, and its digest."""
    path = folder / name
    path.write_bytes((name * size).encode()[:size])
    return path, sha256(path.read_bytes())


def used_at(cache: ModelCache, digest: str, when: float) -> None:
    os.utime(cache.path(digest), (when, when))


@pytest.fixture
def cache(tmp_path: Path) -> ModelCache:
    return ModelCache(tmp_path / "cache", 30)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    seen: list[Path] = []
    real = module.hash_file

    def hash_file(path: Path) -> str:
        seen.append(path)
        return real(path)

    monkeypatch.setattr(module, "hash_file", hash_file)
    return seen


def kept(cache: ModelCache) -> list[str]:
    return sorted(path.name for path in cache.path("x").parent.iterdir())


def test_a_model_is_kept_under_its_digest(cache: ModelCache, tmp_path: Path) -> None:
    """A slot opens the copy: the source may be upgraded or go away."""
    source, digest = model(tmp_path, "a")

    path = cache.keep(source, digest, NOBODY)
    source.unlink()

    assert path == cache.path(digest)
    assert sha256(path.read_bytes()) == digest


def test_a_model_that_is_there_is_not_copied_again(
    cache: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, digest = model(tmp_path, "a")
    cache.keep(source, digest, NOBODY)
    monkeypatch.setattr(shutil, "copyfile", None)

    assert cache.keep(source, digest, NOBODY) == cache.path(digest)


def test_a_model_is_hashed_once_however_often_it_is_shipped(
    cache: ModelCache, tmp_path: Path, hashed: list[Path]
) -> None:
    """A ship that has nothing to do must not read gigabytes."""
    source, digest = model(tmp_path, "a")
    for _ in range(2):
        cache.keep(source, cache.digest_of(source), NOBODY)
    hashed.clear()

    for _ in range(3):
        cache.keep(source, cache.digest_of(source), NOBODY)

    assert hashed == []
    assert cache.digest_of(source) == digest


TIME = 1_700_000_000_000_000_000


def rewrite(path: Path) -> None:
    path.write_bytes(b"b" * 10)


def rewrite_and_set_the_time_back(path: Path) -> None:
    rewrite(path)
    os.utime(path, ns=(TIME, TIME))


def put_another_in_its_place(path: Path) -> None:
    rewrite_and_set_the_time_back(path.with_name("new"))
    path.with_name("new").replace(path)


def lengthen(path: Path) -> None:
    path.write_bytes(b"longer than before")


CHANGES = [rewrite, rewrite_and_set_the_time_back, put_another_in_its_place, lengthen]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_was_changed_is_hashed_again(
    cache: ModelCache, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """Whatever the change left as it was."""
    source, _ = model(tmp_path, "a")
    os.utime(source, ns=(TIME, TIME))
    cache.digest_of(source)
    time.sleep(0.02)  # a file system's clock may tick only every 10 ms

    change(source)

    assert cache.digest_of(source) == sha256(source.read_bytes())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"PATH": 1}', '{"PATH": ["MARK"]}', '{"PATH": ["MARK", "x"]}']
)
def test_a_memory_that_was_damaged_is_made_anew(
    cache: ModelCache, tmp_path: Path, text: str
) -> None:
    source, digest = model(tmp_path, "a")
    cache.folder.mkdir()
    mark = module._mark(source)
    (cache.folder / "hashes.json").write_text(
        text.replace("PATH", str(source)).replace("MARK", mark)
    )

    assert cache.digest_of(source) == digest


def test_the_one_that_was_used_the_longest_ago_makes_room(
    cache: ModelCache, tmp_path: Path
) -> None:
    """Used, not made: shipping a release again counts."""
    sources = [model(tmp_path, name) for name in "abc"]
    for number, (source, digest) in enumerate(sources):
        cache.keep(source, digest, NOBODY)
        used_at(cache, digest, 1000 + number)
    (first, one), (_, two), (_, three) = sources
    cache.keep(first, one, NOBODY)

    fourth, four = model(tmp_path, "d")
    cache.keep(fourth, four, NOBODY)

    assert kept(cache) == sorted([one, three, four])
    assert not cache.path(two).exists()


def test_no_more_goes_than_has_to(cache: ModelCache, tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        source, digest = model(tmp_path, name)
        cache.keep(source, digest, NOBODY)
        used_at(cache, digest, 1000 + number)

    large, digest = model(tmp_path, "d", 20)
    cache.keep(large, digest, NOBODY)

    assert kept(cache) == sorted([digest, sha256(b"c" * 10)])


def test_what_a_slot_uses_is_never_dropped(cache: ModelCache, tmp_path: Path) -> None:
    """However old it is."""
    sources = [model(tmp_path, name) for name in "abc"]
    for number, (source, digest) in enumerate(sources):
        cache.keep(source, digest, NOBODY)
        used_at(cache, digest, 1000 + number)
    oldest = sources[0][1]

    source, digest = model(tmp_path, "d")
    cache.keep(source, digest, frozenset({oldest}))

    assert cache.path(oldest).exists()
    assert not cache.path(sources[1][1]).exists()


def test_what_an_environment_holds_is_never_dropped(cache: ModelCache, tmp_path: Path) -> None:
    """Whoever's it is: applications share the cache, and each knows its own slots alone."""
    held, digest = model(tmp_path, "held", 20)
    cache.keep(held, digest, NOBODY)
    used_at(cache, digest, 1)
    other, others = model(tmp_path, "other", 20)

    borrowed = borrow(cache.path(digest))
    with pytest.raises(GreenlightError, match="limit"):
        cache.keep(other, others, NOBODY)
    borrowed.close()
    cache.keep(other, others, NOBODY)

    assert kept(cache) == [others]


def test_a_full_cache_says_how_to_go_on(cache: ModelCache, tmp_path: Path) -> None:
    """What is in use stays, and the error names the setting."""
    used = [model(tmp_path, name) for name in "abc"]
    for source, digest in used:
        cache.keep(source, digest, NOBODY)
    source, digest = model(tmp_path, "d")

    with pytest.raises(GreenlightError, match="GREENLIGHT_CACHE_BYTES"):
        cache.keep(source, digest, frozenset(digest for _, digest in used))

    assert kept(cache) == sorted(digest for _, digest in used)


def test_what_a_killed_copy_left_is_swept(cache: ModelCache, tmp_path: Path) -> None:
    folder = cache.path("x").parent
    folder.mkdir(parents=True)
    (folder / ".part-killed").write_bytes(b"half a model")
    source, digest = model(tmp_path, "a")

    cache.keep(source, digest, NOBODY)

    assert kept(cache) == [digest]


def test_a_copy_that_is_cut_leaves_nothing(
    cache: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, digest = model(tmp_path, "a")

    def copyfile(_: Path, to: str) -> None:
        Path(to).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(OSError, match="No space"):
        cache.keep(source, digest, NOBODY)

    assert kept(cache) == []


def test_a_source_that_changes_while_it_is_copied_is_refused(
    cache: ModelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under this digest there would be another file."""
    source, digest = model(tmp_path, "a")

    def copyfile(_: Path, to: str) -> None:
        Path(to).write_bytes(b"changed")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(GreenlightError, match=r"changed while it was read; run again"):
        cache.keep(source, digest, NOBODY)

    assert kept(cache) == []


@pytest.mark.parametrize("data", [b"", b"half", b"x" * 10])
def test_a_kept_file_that_was_damaged_is_replaced(
    cache: ModelCache, tmp_path: Path, data: bytes
) -> None:
    """Half-written or changed: a copy is trusted only when its content is its name."""
    source, digest = model(tmp_path, "a")
    cache.keep(source, digest, NOBODY)
    cache.path(digest).write_bytes(data)

    cache.keep(source, digest, NOBODY)

    assert cache.path(digest).read_bytes() == source.read_bytes()


def test_a_damaged_file_takes_no_room_from_the_one_that_replaces_it(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache", 10)
    source, digest = model(tmp_path, "a")
    cache.keep(source, digest, NOBODY)
    cache.path(digest).write_bytes(b"x" * 10)

    cache.keep(source, digest, NOBODY)

    assert cache.path(digest).read_bytes() == source.read_bytes()


def test_two_that_keep_at_once_both_find_their_model(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path / "cache", 1000)
    sources = [model(tmp_path, name) for name in "abab"]
    failed: list[BaseException] = []
    start = threading.Barrier(len(sources))

    def keep(source: Path, digest: str) -> None:
        try:
            start.wait()
            cache.keep(source, cache.digest_of(source), NOBODY)
        except BaseException as error:  # so that the test sees it
            failed.append(error)

    threads = [threading.Thread(target=keep, args=one) for one in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert kept(cache) == sorted({digest for _, digest in sources})


def test_the_cache_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "greenlight"

    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/greenlight"


def test_the_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREENLIGHT_CACHE_BYTES", "1000")
    assert cache_limit() == 1000

    monkeypatch.delenv("GREENLIGHT_CACHE_BYTES")
    assert cache_limit() == module.DEFAULT_LIMIT


@pytest.mark.parametrize("text", ["", "-1", "1e9", "50 GB", "lots"])
def test_a_limit_that_is_no_number_is_bad_input(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GREENLIGHT_CACHE_BYTES", text)

    with pytest.raises(BadInput, match="GREENLIGHT_CACHE_BYTES: expected a number of bytes"):
        cache_limit()
