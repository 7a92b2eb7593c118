"""Which files may be opened at all: by content, whatever they are called."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.archives import MAX_DIRECTORY, MAX_NAMES
from policies.rules.findings import Finding
from policies.rules.formats import check_format, identify
from policies.rules.gguf import inspect_gguf
from policies.rules.model_file import check_model_file
from policies.rules.safetensors import SafetensorsSummary
from tests.policies.making import (
    DATA,
    CountingFile,
    gguf,
    numpy_header,
    pickled,
    safetensors,
    tarred,
    tensor,
    untimed,
    zipped,
)

ZIP = zipped(notes_txt=b"hello")
TORCH = zipped(archive__data_pkl=pickled(2), archive__data__0=b"\0" * 64)


def check(data: bytes, name: str = "model") -> tuple[Finding, ...]:
    return check_format(io.BytesIO(data), name=name)


KINDS = {
    "GGUF": (gguf(), "gguf"),
    "safetensors": (safetensors(), "safetensors"),
    **{f"a pickle of protocol {number}": (pickled(number), "pickle") for number in range(6)},
    "a pickle of a plain list": (pickle.dumps([1, "a"], 0), "pickle"),
    "a PyTorch file": (TORCH, "pickle"),
    "a PyTorch file behind something": (b"\0" * 100 + TORCH, "pickle"),
    "a tar with a pickle": (tarred("sub/model.PKL", pickled()), "pickle"),
    "NumPy objects": (numpy_header("'|O'"), "pickle"),
    "NumPy records with an object": (numpy_header("[('a', '<f4'), ('b', 'O')]"), "pickle"),
    "NumPy numbers": (numpy_header("'<f4'"), "unknown"),
    "a zip": (ZIP, "archive"),
    "an empty zip": (zipped(), "archive"),
    "a zip that is cut off": (ZIP[:40], "archive"),
    "a tar": (tarred("notes.txt", b"hello"), "archive"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "archive"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(20), "archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "unknown"),
    "a program": (b"\x7fELF" + bytes(100), "unknown"),
    "a script": (b"#!/bin/sh\nid\n", "unknown"),
    "JSON": (b'{"a": 1}', "unknown"),
    "prose": (b"Calling all models: this is only text.\n", "unknown"),
    "nothing": (b"", "unknown"),
}


@pytest.mark.parametrize(("data", "kind"), KINDS.values(), ids=KINDS)
def test_a_file_is_identified_by_its_content(data: bytes, kind: str) -> None:
    assert identify(io.BytesIO(data)).kind == kind


@pytest.mark.parametrize(("data", "kind"), KINDS.values(), ids=KINDS)
def test_only_the_kinds_that_are_listed_pass(data: bytes, kind: str) -> None:
    rules = {"pickle": "GL-FORMAT-002", "archive": "GL-FORMAT-003", "unknown": "GL-FORMAT-001"}

    assert [finding.rule for finding in check(data)] == ([rules[kind]] if kind in rules else [])


MISNAMED = [
    ("model.safetensors", gguf()),
    ("model.gguf", safetensors()),
    ("pytorch_model.bin", gguf()),
    ("weights.PT", safetensors()),
    ("model.zip", gguf()),
]


@pytest.mark.parametrize(("name", "data"), MISNAMED)
def test_a_good_file_under_another_kinds_name_is_refused(name: str, data: bytes) -> None:
    (finding,) = check(data, name)

    assert finding.rule == "GL-FORMAT-004"


@pytest.mark.parametrize("name", ["model.gguf", "3f2a91c", "SmolLM2.Q4_1", "MODEL.GGUF"])
def test_a_name_that_claims_nothing_else_is_fine(name: str) -> None:
    assert check(gguf(), name) == ()


def test_an_unknown_file_with_a_pickles_name_is_called_one() -> None:
    (finding,) = check(b"\0\1\2", "model.ckpt")

    assert finding.rule == "GL-FORMAT-002"


RIDERS = {
    "a pickle as model.gguf": ("model.gguf", pickled()),
    "a pickle without a mark as model.safetensors": ("model.safetensors", pickled(0)),
    "a PyTorch file as model.gguf": ("model.gguf", TORCH),
    "a PyTorch file behind a GGUF header": ("model.gguf", gguf() + TORCH),
    "a PyTorch file in the last tensor": (
        "model.gguf",
        gguf(tensors=(tensor("a", (len(TORCH),), 0, kind=24),), data=TORCH),
    ),
    "a PyTorch file in a safetensors tensor": (
        "model.safetensors",
        safetensors(
            {"a": {"dtype": "U8", "shape": [len(TORCH)], "data_offsets": [0, len(TORCH)]}}, TORCH
        ),
    ),
    "a zip behind a safetensors file": ("model.safetensors", safetensors() + ZIP),
    "a pickle in a tar": ("model.tar", tarred("data.pkl", pickled())),
    "an archive bomb": ("model.zip", zipped(a=b"\0" * 1_000_000)),
    "a zip that flags its members as encrypted": (
        "model.pt",
        TORCH.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
    ),
    "a zip whose first member is broken": (
        "model.pt",
        TORCH.replace(b"PK\x03\x04", b"PK\x09\x09", 1),
    ),
    "NumPy objects": ("array.npy", numpy_header("'|O'")),
    "NumPy objects in a zip": ("arrays.npz", zipped(a_npy=numpy_header("'|O'"))),
    "Keras layers": ("model.keras", zipped(config_json=b"{}")),
}


@pytest.mark.parametrize(("name", "data"), RIDERS.values(), ids=RIDERS)
def test_s24_a_pickle_or_a_hostile_archive_that_rides_in_with_a_model_is_refused_unopened(
    name: str, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    report = check_model_file(io.BytesIO(data), name=name)

    assert report.summary is None
    assert {finding.severity for finding in report.findings} == {"refuse"}
    assert all(str(finding).isprintable() for finding in report.findings)
    assert capsys.readouterr().out == ""


def test_s24_a_gguf_header_that_is_also_a_pickle_is_refused() -> None:
    """To a pickle reader G is a number and V a line of text, and what follows is the attacker's."""
    tensors = ord("V") << 8
    both = b"GGUF" + struct.pack("<IQQ", 3, tensors, 1) + b"\ncbuiltins\nprint\n(tR."
    pickle.loads(both)

    summary, (finding,) = inspect_gguf(io.BytesIO(both), name="model.gguf")

    assert summary is None
    assert f"found {tensors}" in str(finding)


def test_a_good_file_is_read_in_one_call() -> None:
    report = check_model_file(io.BytesIO(safetensors()), name="model.safetensors")

    assert report.findings == ()
    assert isinstance(report.summary, SafetensorsSummary)
    assert report.format.kind == "safetensors"


def test_a_pickle_in_an_archive_is_named() -> None:
    (finding,) = check(TORCH, "model.pt")

    assert "'archive/data.pkl'" in finding.found


def test_a_zip_with_64_bit_numbers_is_still_a_zip() -> None:
    locator = b"PK\x06\x07" + bytes(16)
    end = b"PK\x05\x06" + b"\xff" * 16 + b"\0\0"

    assert identify(io.BytesIO(bytes(100) + locator + end)).kind == "archive"


def test_of_an_archive_only_a_bounded_directory_is_read() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(MAX_NAMES + 20_000):
            archive.writestr(f"{number:0100}", b"")
    file = CountingFile(target.getvalue())

    found = identify(file)

    assert found.description == f"a zip archive of {MAX_NAMES} members"
    assert file.read_bytes < MAX_DIRECTORY + 200_000


def test_of_a_tar_only_a_bounded_number_of_headers_is_read() -> None:
    file = CountingFile(tarred("a", b"")[:512] * (MAX_NAMES * 3))

    assert identify(file).kind == "archive"
    assert file.read_bytes < 512 * MAX_NAMES + 200_000


HEADS = st.sampled_from(
    [
        b"",
        b"GGUF",
        b"\x80\x04",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"PK\x06\x07",
        b"\x93NUMPY",
        b"(",
        b"S'",
    ]
)


@untimed
@given(HEADS, st.binary(max_size=300), HEADS, st.binary(max_size=30))
def test_no_bytes_make_the_check_fail_and_none_unknown_pass(
    head: bytes, middle: bytes, end: bytes, tail: bytes
) -> None:
    data = head + middle + end + tail
    kind = identify(io.BytesIO(data)).kind

    assert kind in ("gguf", "safetensors") or check(data)
    assert check_model_file(io.BytesIO(data), name="m").summary is None


@untimed
@given(st.integers(0, len(TORCH) - 1), st.integers(0, 255))
def test_no_changed_byte_lets_an_archive_pass(place: int, value: int) -> None:
    data = bytearray(TORCH)
    data[place] = value

    assert check_model_file(io.BytesIO(bytes(data)), name="model").findings


def test_the_files_used_here_are_what_they_claim() -> None:
    assert zipfile.is_zipfile(io.BytesIO(gguf(data=DATA) + TORCH))
