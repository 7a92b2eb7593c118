"""Files of others: always at their newest, never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from release.errors import BadInput
from release.files import write_json
from serving.gateway.watched import Watched, load


class Thing(BaseModel):
    number: int


def test_a_replaced_file_is_read_at_the_next_use(folder: Path) -> None:
    path = folder / "thing.json"
    watched = Watched(path, Thing)
    seen = []
    for number in (1, 2, 3):
        write_json(path, {"number": number})
        seen.append(watched.get())

    assert seen == [Thing(number=1), Thing(number=2), Thing(number=3)]


def test_an_unchanged_file_is_read_once(folder: Path) -> None:
    write_json(folder / "thing.json", {"number": 1})
    watched = Watched(folder / "thing.json", Thing)

    assert watched.get() is watched.get()


def test_an_absent_file_has_no_content_until_it_appears(folder: Path) -> None:
    watched = Watched(folder / "thing.json", Thing)

    assert watched.get() is None
    assert "thing.json: expected a file that can be read" in watched.problem

    write_json(folder / "thing.json", {"number": 1})
    assert watched.get() == Thing(number=1)
    assert watched.problem == ""


@pytest.mark.parametrize("data", [b"", b'{"number": ', b'{"number": "many"}', b"[]", b"\xff"])
def test_a_damaged_file_has_no_content_rather_than_its_old_one(folder: Path, data: bytes) -> None:
    path = folder / "thing.json"
    write_json(path, {"number": 1})
    watched = Watched(path, Thing)
    assert watched.get() == Thing(number=1)

    path.write_bytes(data)

    assert watched.get() is None
    assert "thing.json" in watched.problem


def test_a_file_that_must_be_there_is_asked_for_by_name(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"thing\.json: expected a file that can be read"):
        load(folder / "thing.json", Thing)
