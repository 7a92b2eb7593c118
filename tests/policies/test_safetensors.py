"""Safetensors headers: what is read of an honest one, what is refused."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.findings import Finding
from policies.rules.safetensors import (
    MAX_HEADER_BYTES,
    SafetensorsSummary,
    inspect_safetensors,
)
from tests.policies.making import ENTRY, SECOND, CountingFile, safetensors, untimed


def inspect(data: bytes) -> tuple[SafetensorsSummary | None, tuple[Finding, ...]]:
    return inspect_safetensors(io.BytesIO(data), name="model.safetensors")


def test_an_honest_header_is_summed_up_without_findings() -> None:
    summary, findings = inspect(safetensors())

    assert findings == ()
    assert summary == SafetensorsSummary(
        tensors=2,
        values=5,
        dtypes=("F16", "U8"),
        metadata=(("format", "pt"),),
        header_bytes=len(safetensors()) - 9,
    )


ACCEPTED = {
    "tensors listed in another order": safetensors({"b": SECOND, "a": ENTRY}),
    "a header padded with spaces": safetensors(
        json.dumps({"a": ENTRY}).encode() + b"   ", bytes(8)
    ),
    "an empty tensor": safetensors({"a": {**ENTRY, "shape": [0, 7], "data_offsets": [0, 0]}}, b""),
    "values of half a byte": safetensors(
        {"a": {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}}, bytes(2)
    ),
    "no tensors": safetensors({}, b""),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_format_allows_passes(data: bytes) -> None:
    assert inspect(data)[1] == ()


MALFORMED = {
    "empty": (b"", "the number of header bytes"),
    "a header longer than the cap": (
        safetensors(length=MAX_HEADER_BYTES + 1),
        f"at most {MAX_HEADER_BYTES} header bytes",
    ),
    "a header longer than the file": (safetensors(length=5000), "the JSON header up to byte"),
    "a list": (safetensors([1], b""), "begins with {"),
    "a space first": (safetensors(b' {"a": 1}', b""), "begins with {"),
    "not JSON": (safetensors(b"{'a'}", b""), "a header of JSON"),
    "not UTF-8": (safetensors(b'{"\xff": 1}', b""), "UTF-8"),
    "brackets too deep": (safetensors(b'{"a": ' + b"[" * 200_000, b""), "a header of JSON"),
    "a number too large": (safetensors(b'{"a": ' + b"9" * 5000 + b"}", b""), "a header of JSON"),
    "not a number": (safetensors(b'{"a": NaN}', b""), "JSON numbers"),
    "a tensor twice": (safetensors(b'{"a": 1, "a": 2}', b""), "each name once"),
    "an entry twice": (
        safetensors(b'{"a": {"dtype": "U8", "dtype": "I8"}}', b""),
        "each name once",
    ),
    "metadata that is no text": (safetensors({"__metadata__": {"a": 1}}, b""), "__metadata__"),
    "metadata that is a list": (safetensors({"__metadata__": []}, b""), "__metadata__"),
    "a tensor that is a number": (safetensors({"a": 1}, b""), "dtype, shape and data_offsets"),
    "an entry too many": (safetensors({"a": {**ENTRY, "code": ""}}), "dtype, shape"),
    "an unknown dtype": (safetensors({"a": {**ENTRY, "dtype": "O"}}), "a known dtype"),
    "a dtype that is a list": (safetensors({"a": {**ENTRY, "dtype": []}}), "a known dtype"),
    "a negative dimension": (safetensors({"a": {**ENTRY, "shape": [-2, -2]}}), "whole numbers"),
    "a dimension that is true": (
        safetensors({"a": {**ENTRY, "shape": [True, 4]}}),
        "whole numbers",
    ),
    "a dimension in floating point": (
        safetensors({"a": {**ENTRY, "shape": [4.0]}}),
        "whole numbers",
    ),
    "a shape that is a number": (safetensors({"a": {**ENTRY, "shape": 4}}), "a list of at most"),
    "too many dimensions": (safetensors({"a": {**ENTRY, "shape": [1] * 65}}), "at most 64 numbers"),
    "a size that overflows 64 bits": (
        safetensors({"a": {**ENTRY, "shape": [2**62, 2**62]}}),
        "bits of data",
    ),
    "one offset": (safetensors({"a": {**ENTRY, "data_offsets": [0]}}), "a begin and an end"),
    "offsets that run backwards": (
        safetensors({"a": {**ENTRY, "data_offsets": [8, 0]}}),
        "a begin and an end",
    ),
    "an odd number of half bytes": (
        safetensors({"a": {"dtype": "F4", "shape": [3], "data_offsets": [0, 1]}}, bytes(1)),
        "12 bits of data",
    ),
    "a hole before the first tensor": (safetensors({"b": SECOND}), "a tensor that begins at 0"),
    "tensors that overlap": (safetensors({"a": ENTRY, "b": ENTRY}), "a tensor that begins at 8"),
    "a tensor that is cut off": (safetensors(data=bytes(8)), "9 bytes of tensors"),
    "bytes after the last tensor": (safetensors(data=bytes(10)), "9 bytes of tensors"),
}


@pytest.mark.parametrize(("data", "expected"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_refused_with_the_reason(data: bytes, expected: str) -> None:
    summary, (finding,) = inspect(data)

    assert summary is None
    assert (finding.rule, finding.severity) == ("GL-SAFETENSORS-001", "refuse")
    assert expected in str(finding)
    assert str(finding).isprintable()


def test_no_byte_of_a_tensor_is_read() -> None:
    file = CountingFile(safetensors())

    summary, _ = inspect_safetensors(file, name="model.safetensors")

    assert summary is not None
    assert file.furthest == summary.header_bytes


def test_a_header_beyond_the_cap_is_not_read() -> None:
    file = CountingFile(safetensors(b"{" + b" " * MAX_HEADER_BYTES + b"}", b""))

    inspect_safetensors(file, name="model.safetensors")

    assert file.read_bytes == 8


@untimed
@given(st.integers(0, len(safetensors()) - 1))
def test_a_file_that_is_cut_anywhere_ends_in_a_finding(length: int) -> None:
    summary, findings = inspect(safetensors()[:length])

    assert (summary, len(findings)) == (None, 1)


@untimed
@given(st.lists(st.tuples(st.integers(0, len(safetensors()) - 1), st.integers(0, 255)), max_size=6))
def test_a_file_with_any_bytes_changed_does_no_harm(changes: list[tuple[int, int]]) -> None:
    data = bytearray(safetensors())
    for place, value in changes:
        data[place] = value

    summary, findings = inspect(bytes(data))

    assert (summary is None) == (len(findings) == 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@untimed
@given(st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), JSON), JSON)
def test_any_json_in_an_entry_does_no_harm(entry: dict[str, object], metadata: object) -> None:
    summary, findings = inspect(safetensors({"a": entry, "__metadata__": metadata}))

    assert (summary is None) == (len(findings) == 1)
