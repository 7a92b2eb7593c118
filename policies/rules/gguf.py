"""Reads a GGUF header the way a border guard reads a passport: all of it, trusting none of it.

The format is ggml's (docs/gguf.md, versions 2 and 3, little-endian). Only the header is read,
never a tensor. Limits that the format leaves open are set here, each with its reason; where the
text is looser than llama.cpp's reader, the reader's rule holds, since that is who opens the
file next: tensors follow each other without holes, in the order in which they are listed, and
no array holds arrays.

Nothing may follow the last tensor either. A reader would skip it, but an archive's directory is
looked for at the end of a file, so a second file could ride in with the first.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from policies.rules.bounded import Header, Malformed
from policies.rules.chat_template import check_chat_template
from policies.rules.findings import Finding, shown
from policies.rules.gguf_types import FILE_TYPES, TENSOR_LAYOUTS
from policies.rules.licenses import same_license

MAX_HEADER_BYTES = 32 * 1024 * 1024
"""The largest vocabularies (262,144 tokens, or 446,000 merges) take 6 to 13 MB."""

MAX_PAIRS = 4096
"""Metadata pairs; real files have 20 to 100."""

MAX_TENSORS = 0x4000
"""Real files have up to a few thousand. It must stay below 0x4600: see ``_counts``."""

MAX_STRING = 1024 * 1024
"""Bytes of one string; the longest real one is a chat template or a licence text."""

MAX_KEY = 0xFFFF  # bytes; docs/gguf.md
MAX_ITEMS = 4 * 1024 * 1024
"""Items of one array; about ten times the longest list of merges."""

MAX_NAME = 64  # bytes of a tensor's name; docs/gguf.md
MAX_DIMENSIONS = 4  # docs/gguf.md
DEFAULT_ALIGNMENT = 32  # docs/gguf.md
MAX_ALIGNMENT = 64 * 1024  # the largest page that machines in use map a file by

_STRING, _ARRAY, _BOOL, _U32 = 8, 9, 7, 4
_SCALARS = {
    number: struct.Struct(f"<{code}")
    for number, code in {
        0: "B", 1: "b", 2: "H", 3: "h", _U32: "I", 5: "i", 6: "f", _BOOL: "B",
        10: "Q", 11: "q", 12: "d",
    }.items()
}  # fmt: skip
_KEY = re.compile(r"[!-~]+")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

Scalar = int | float | bytes | None  # None stands for an array, which is checked and skipped


@dataclass(frozen=True)
class ChatTemplate:
    """A template that engines execute: where it stands in the file, and which one it is."""

    key: str
    sha256: str


@dataclass(frozen=True)
class GgufSummary:
    """What a GGUF file says of itself. Texts are safe to print; None means not said."""

    version: int
    architecture: str
    name: str | None
    license: str | None
    file_type: str | None
    context_length: int | None
    tensors: int
    header_bytes: int
    chat_templates: tuple[ChatTemplate, ...]


def inspect_gguf(
    file: BinaryIO, *, name: str, declared_license: str | None = None
) -> tuple[GgufSummary | None, tuple[Finding, ...]]:
    """What ``file`` says of itself, and what is wrong with it. No summary if it cannot be read.

    ``file`` is binary, seekable and buffered, and is called ``name`` in findings. Where both
    ``declared_license`` and the file name a licence, they must agree. Raises OSError only.
    """
    try:
        summary, texts = _read(Header(file, MAX_HEADER_BYTES))
    except Malformed as error:
        return None, (_refused("001", name, error.expected, error.found, _DAMAGED),)
    templates = tuple(
        finding
        for key, text in texts.items()
        for finding in check_chat_template(text, file=name, key=key)
    )
    return summary, (*_license_findings(summary.license, declared_license, name), *templates)


_DAMAGED = "Fetch the file again and compare its digest with the publisher's"


def _read(header: Header) -> tuple[GgufSummary, dict[str, str]]:
    """The whole header as a summary, and the chat templates' texts by key."""
    version, tensors, pairs = _counts(header)
    values = _pairs(header, pairs)
    _tensors(header, tensors, _alignment(values))
    texts = {
        key: _text(values, key) or ""
        for key, value in values.items()
        if key.startswith("tokenizer.chat_template") and value is not None
    }
    return _summary(header, version, tensors, values, texts), texts


def _counts(header: Header) -> tuple[int, int, int]:
    """The format's version and the numbers of tensors and metadata pairs.

    With MAX_TENSORS below 0x4600 no accepted file is also a pickle. To a pickle reader the
    leading ``G`` swallows eight bytes, and the next opcode is the count's second byte: the
    ones that could swallow what follows, and so reach an attacker's text, start at 0x46.
    """
    if (magic := header.take(4, "the magic number")) != b"GGUF":
        raise Malformed("a file that begins with GGUF", repr(magic))
    if (version := header.u32("the version")) not in (2, 3):
        raise Malformed("GGUF version 2 or 3, little-endian", f"version {version}")
    tensors = header.count("tensors", MAX_TENSORS)
    return version, tensors, header.count("metadata pairs", MAX_PAIRS)


def _pairs(header: Header, count: int) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    for _ in range(count):
        key = _ascii(_string(header, "a metadata key", MAX_KEY))
        if key in values:
            raise Malformed("each metadata key once", f"{shown(key)} twice")
        values[key] = _value(header, shown(key))
    return values


def _value(header: Header, key: str) -> Scalar:
    kind = header.u32(f"the type of {key}")
    if kind == _STRING:
        return _string(header, f"the value of {key}", MAX_STRING)
    if kind == _ARRAY:
        _skip_array(header, key)
        return None
    layout = _scalar(kind, key)
    data = header.take(layout.size, f"the value of {key}")
    _check_booleans(kind, data, key)
    value: int | float = layout.unpack(data)[0]
    return value


def _skip_array(header: Header, key: str) -> None:
    """Check that an array is whole, and leave its items behind."""
    kind = header.u32(f"the item type of {key}")
    items = header.count(f"items in {key}", MAX_ITEMS)
    if kind == _STRING:
        what = f"an item of {key}"
        for _ in range(items):
            _string(header, what, MAX_STRING)
    else:
        data = header.take(items * _scalar(kind, key).size, f"the items of {key}")
        _check_booleans(kind, data, key)


def _scalar(kind: int, key: str) -> struct.Struct:
    if kind not in _SCALARS:
        raise Malformed(f"a known value type of {key}", f"type {kind}")
    return _SCALARS[kind]


def _check_booleans(kind: int, data: bytes, key: str) -> None:
    if kind == _BOOL and data.translate(None, b"\x00\x01"):
        raise Malformed(f"booleans of 0 or 1 in {key}", "another number")


def _string(header: Header, what: str, limit: int) -> bytes:
    length = header.u64(f"the length of {what}")
    if length > limit:
        raise Malformed(f"{what} of at most {limit} bytes", f"{length} bytes")
    return header.take(length, what)


def _ascii(key: bytes) -> str:
    text = key.decode("latin-1")
    if not _KEY.fullmatch(text):
        raise Malformed("metadata keys of printable ASCII", f"'{shown(text)}'")
    return text


def _alignment(values: Mapping[str, Scalar]) -> int:
    alignment = _whole(values, "general.alignment")
    if alignment is None:
        return DEFAULT_ALIGNMENT
    if not 8 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        expected = f"general.alignment as a power of two from 8 to {MAX_ALIGNMENT}"
        raise Malformed(expected, str(alignment))
    return alignment


def _tensors(header: Header, count: int, alignment: int) -> None:
    """Check every tensor's description, and that together they fill the rest of the file."""
    names: set[bytes] = set()
    end = filled = 0  # bytes from the start of the tensor data, without and with padding
    for _ in range(count):
        name = _string(header, "a tensor's name", MAX_NAME)
        if name in names:
            raise Malformed("each tensor once", f"'{shown(name.decode('latin-1'))}' twice")
        names.add(name)
        size = _tensor_size(header, f"tensor '{shown(name.decode('latin-1'))}'")
        if (offset := header.u64("a tensor's offset")) != filled:
            raise Malformed(f"each tensor right after the one before, at {filled}", str(offset))
        end, filled = filled + size, _padded(filled + size, alignment)
    _check_end(header, end, filled, alignment)


def _tensor_size(header: Header, tensor: str) -> int:
    """Bytes that the next tensor description asks for; Python's numbers do not overflow."""
    if (count := header.u32(f"the dimensions of {tensor}")) > MAX_DIMENSIONS:
        raise Malformed(f"at most {MAX_DIMENSIONS} dimensions in {tensor}", str(count))
    shape = [header.u64(f"a dimension of {tensor}") for _ in range(count)]
    if not all(0 < length < 2**63 for length in shape):
        raise Malformed(f"dimensions from 1 to 2^63 - 1 in {tensor}", str(shape))
    kind = header.u32(f"the type of {tensor}")
    if kind not in TENSOR_LAYOUTS:
        raise Malformed(f"a known type for {tensor}", f"type {kind}")
    block, block_bytes = TENSOR_LAYOUTS[kind]
    if (shape[0] if shape else 1) % block:
        raise Malformed(f"rows of whole blocks of {block} in {tensor}", f"a row of {shape[:1]}")
    return math.prod(shape) // block * block_bytes


def _check_end(header: Header, end: int, filled: int, alignment: int) -> None:
    start = _padded(header.position, alignment)
    # A file without tensors may end with its header, before any padding.
    least = start + end if end else header.position
    if not least <= header.size <= start + filled:
        expected = f"a file that ends with its last tensor, at byte {least} to {start + filled}"
        raise Malformed(expected, f"a file of {header.size} bytes")


def _padded(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment


def _summary(
    header: Header, version: int, tensors: int, values: Mapping[str, Scalar], texts: dict[str, str]
) -> GgufSummary:
    architecture = _text(values, "general.architecture") or ""
    if not _ARCHITECTURE.fullmatch(architecture):
        raise Malformed("general.architecture, a short lower-case name", f"'{shown(architecture)}'")
    file_type = _whole(values, "general.file_type")
    return GgufSummary(
        version=version,
        architecture=architecture,
        name=_printable(values, "general.name"),
        license=_printable(values, "general.license"),
        file_type=None if file_type is None else FILE_TYPES.get(file_type, f"type {file_type}"),
        context_length=_whole(values, f"{architecture}.context_length"),
        tensors=tensors,
        header_bytes=header.position,
        chat_templates=tuple(
            ChatTemplate(shown(key), hashlib.sha256(text.encode()).hexdigest())
            for key, text in texts.items()
        ),
    )


def _text(values: Mapping[str, Scalar], key: str) -> str | None:
    if key not in values:
        return None
    value = values[key]
    if not isinstance(value, bytes):
        raise Malformed(f"text for {shown(key)}", "another type")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"UTF-8 for {shown(key)}", f"byte {value[error.start]:#04x}") from None


def _printable(values: Mapping[str, Scalar], key: str) -> str | None:
    text = _text(values, key)
    return None if text is None else shown(text, 200)


def _whole(values: Mapping[str, Scalar], key: str) -> int | None:
    if key not in values:
        return None
    value = values[key]
    if not isinstance(value, int) or value < 0:
        raise Malformed(f"a whole number for {shown(key)}", "another type or a negative number")
    return value


def _license_findings(stated: str | None, declared: str | None, name: str) -> tuple[Finding, ...]:
    if not stated or not declared or same_license(stated, declared):
        return ()
    expected = f"the declared licence {shown(declared)} in general.license"
    remedy = "Correct the declaration, or ask the publisher which of the two holds"
    return (_refused("002", name, expected, shown(stated), remedy),)


def _refused(number: str, file: str, expected: str, found: str, remedy: str) -> Finding:
    return Finding(
        rule=f"GL-GGUF-{number}", file=file, expected=expected, found=found, remedy=remedy
    )
