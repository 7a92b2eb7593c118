"""Evaluation data: what a row may say, and that a bad one is never left out in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import dataset
from pipelines.dataset import Dataset, read_dataset
from release.errors import BadInput, Problem
from tests.tiny import ROWS, jsonl


def read(folder: Path, data: str | bytes) -> Dataset:
    path = folder / "cases.jsonl"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return read_dataset(path)


def problems(folder: Path, data: str | bytes) -> tuple[Problem, ...]:
    with pytest.raises(BadInput) as caught:
        read(folder, data)
    return caught.value.problems


def test_a_row_is_a_case(tmp_path: Path) -> None:
    """Its id, when it has none, is its line; its tags say whether it can be answered."""
    cases = read(tmp_path, jsonl()).cases

    assert [case.id for case in cases] == [f"line-{number}" for number in range(1, 6)]
    assert [case.answerable for case in cases] == [True, True, True, True, False]
    assert (cases[0].query, cases[0].context) == ("What colour is the lamp?", "It is green.")


def test_context_tags_and_id_may_be_left_out(tmp_path: Path) -> None:
    (case,) = read(tmp_path, '{"query": "q", "ground_truth": "t"}').cases

    assert (case.context, case.tags, case.id) == ("", (), "line-1")


GOOD = '{"query": "q", "ground_truth": "t"}'

BAD: list[tuple[str, str | bytes, str, str]] = [
    ("no JSON", "green?", "", "one JSON object a line"),
    ("half a row", '{"query": "q", "ground_tr', "", "one JSON object a line"),
    ("two rows on a line", GOOD + GOOD, "", "one JSON object a line"),
    ("a list", "[1, 2]", "", "a JSON object"),
    ("a text", '"query"', "", "a JSON object"),
    ("null", "null", "", "a JSON object"),
    ("no query", '{"ground_truth": "t"}', "query", "text that is not empty"),
    ("an empty query", '{"query": " ", "ground_truth": "t"}', "query", "text that is not empty"),
    ("no truth", '{"query": "q"}', "ground_truth", "text that is not empty"),
    ("a null truth", '{"query": "q", "ground_truth": null}', "ground_truth", "text that is not"),
    ("a number", '{"query": "q", "ground_truth": 12}', "ground_truth", "text that is not empty"),
    ("not a number", '{"query": NaN, "ground_truth": "t"}', "query", "text that is not empty"),
    ("context", '{"query": "q", "ground_truth": "t", "context": ["c"]}', "context", "text"),
    ("tags", '{"query": "q", "ground_truth": "t", "tags": "easy"}', "tags", "a list of texts"),
    ("a tag", '{"query": "q", "ground_truth": "t", "tags": [1]}', "tags", "a list of texts"),
    ("id", '{"query": "q", "ground_truth": "t", "id": 7}', "id", "text"),
    ("unknown key", '{"query": "q", "ground_truth": "t", "answer": "a"}', "answer", "only the"),
    ("a key twice", '{"query": "q", "query": "r", "ground_truth": "t"}', "", "one JSON object"),
    ("half a character", '{"query": "\\ud800", "ground_truth": "t"}', "", "whole characters"),
    ("deep", '{"query": ' + "[" * 100_000, "", "one JSON object a line"),
]


@pytest.mark.parametrize(
    ("row", "path", "expected"), [pytest.param(*case, id=name) for name, *case in BAD]
)
def test_a_bad_row_is_told_with_its_line(
    tmp_path: Path, row: str, path: str, expected: str
) -> None:
    """File, line, key, expectation, finding and remedy; the good rows around it do not help."""
    (problem,) = problems(tmp_path, f"{GOOD}\n\n{row}\n{GOOD}\n")

    assert (problem.file, problem.line) == (str(tmp_path / "cases.jsonl"), 3)
    assert problem.path == path
    assert problem.expected.startswith(expected)
    assert problem.found
    assert problem.remedy


def test_every_bad_row_is_told_up_to_twenty(tmp_path: Path) -> None:
    assert [one.line for one in problems(tmp_path, "x\n" + GOOD + "\nx\n")] == [1, 3]
    assert len(problems(tmp_path, "x\n" * 500)) == 20


def test_an_id_that_is_given_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    """An answer is kept by id: two cases with one id would share it."""
    row = '{"query": "q", "ground_truth": "t", "id": "a"}\n'

    (problem,) = problems(tmp_path, GOOD + "\n" + row + row)

    assert (problem.line, problem.path) == (3, "id")
    assert "line 2" in problem.found


def test_an_id_may_not_be_the_one_that_another_row_gets(tmp_path: Path) -> None:
    data = '{"query": "q", "ground_truth": "t", "id": "line-2"}\n' + GOOD

    assert [one.line for one in problems(tmp_path, data)] == [2]


@pytest.mark.parametrize("data", ["", "\n\n", "  \n\t\n", "\ufeff"])
def test_a_set_without_a_case_is_no_set(tmp_path: Path, data: str) -> None:
    """Nothing measured is never a pass."""
    (problem,) = problems(tmp_path, data)

    assert (problem.found, problem.line) == ("0", 1)
    assert problem.expected.startswith("1 to ")


def test_a_set_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "MAX_CASES", 2)

    assert len(read(tmp_path, (GOOD + "\n") * 2).cases) == 2
    assert problems(tmp_path, (GOOD + "\n") * 3)[0].found == "3"


def test_a_file_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "MAX_BYTES", 10)

    assert problems(tmp_path, GOOD)[0].expected == "at most 10 bytes"


def test_a_row_may_be_long(tmp_path: Path) -> None:
    """A context can be a whole manual."""
    row = json.dumps({"query": "q", "ground_truth": "t", "context": "word " * 400_000})

    assert len(read(tmp_path, row).cases[0].context) == 2_000_000


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD.encode() + b"\n\xff")

    assert (problem.line, problem.expected) == (2, "UTF-8 text")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cases\.jsonl.*a readable file"):
        read_dataset(tmp_path / "cases.jsonl")


SAME: list[tuple[str, str]] = [
    ("line ends of another system", jsonl().replace("\n", "\r\n")),
    ("a byte order mark", "\ufeff" + jsonl()),
    ("no last line end", jsonl().rstrip()),
    ("spaces around", jsonl().replace("{", " { ").replace("\n", "\t\n")),
    ("keys in another order", jsonl(tuple(dict(sorted(row.items())) for row in ROWS))),
    ("letters written out", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)),
]


@pytest.mark.parametrize("data", [data for _, data in SAME], ids=[name for name, _ in SAME])
def test_how_a_row_is_written_changes_nothing(tmp_path: Path, data: str) -> None:
    """Evidence is bound to what is asked, not to an editor's habits."""
    expected = read(tmp_path, jsonl())

    assert read(tmp_path, data) == expected


def test_the_digest_of_this_set_is_this_one(tmp_path: Path) -> None:
    """Evidence names sets by digest: another canonical form would orphan it."""
    expected = "063331b35dacd9f63698e05459f6858c84b76219b5f88bc75c45d2643b8ebd56"

    assert read(tmp_path, jsonl()).digest == expected


texts = st.text(min_size=1).filter(str.strip)
rows = st.lists(
    st.fixed_dictionaries(
        {"query": texts, "ground_truth": texts},
        optional={"context": st.text(), "tags": st.lists(st.text(), max_size=2)},
    ),
    min_size=1,
    max_size=4,
)


@given(rows, st.data())
def test_whatever_is_asked_changes_the_digest(
    tmp_path_factory: pytest.TempPathFactory, given_rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    number = data.draw(st.integers(0, len(given_rows) - 1))
    key = data.draw(st.sampled_from(["query", "ground_truth", "context"]))
    other = {**given_rows[number], key: given_rows[number].get(key, "") + "!"}
    changed = [*given_rows[:number], other, *given_rows[number + 1 :]]
    before = read(folder, jsonl(tuple(given_rows)))

    assert read(folder, jsonl(tuple(changed))).digest != before.digest
    assert read(folder, before.content).digest == before.digest
