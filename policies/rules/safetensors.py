"""Reads a safetensors header without reading a tensor.

The format (README of huggingface/safetensors, "Format"): eight bytes that give the length of a
JSON object, the object, the tensors' bytes. The bytes have to be covered whole, without holes,
overlaps or a remainder, which is also what keeps a second file from hiding in this one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, BinaryIO

from policies.rules.bounded import Header, Malformed
from policies.rules.findings import Finding, shown

MAX_HEADER_BYTES = 4 * 1024 * 1024
"""The format allows 100 MB, of which Python's JSON reader could make gigabytes. A tensor takes
about 130 bytes here, so this is room for 30,000 of them; large models come in shards of some
hundreds."""

MAX_DIMENSIONS = 64  # what NumPy, the widest of the usual readers, can hold

_BITS = {
    **dict.fromkeys(("BOOL", "U8", "I8"), 8),
    **dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
"""Bits of one value; safetensors 0.8.0, ``Dtype::bitsize``."""


@dataclass(frozen=True)
class SafetensorsSummary:
    """What a safetensors file says of itself. Texts are safe to print."""

    tensors: int
    values: int
    dtypes: tuple[str, ...]
    metadata: tuple[tuple[str, str], ...]
    header_bytes: int


@dataclass(frozen=True)
class _Tensor:
    begin: int
    end: int
    dtype: str
    values: int


def inspect_safetensors(
    file: BinaryIO, *, name: str
) -> tuple[SafetensorsSummary | None, tuple[Finding, ...]]:
    """What ``file`` says of itself, and what is wrong with it. No summary if it cannot be read.

    ``file`` is binary, seekable and buffered, and is called ``name`` in findings. Raises
    OSError only.
    """
    try:
        return _read(Header(file, 8 + MAX_HEADER_BYTES)), ()
    except Malformed as error:
        finding = Finding(
            rule="GL-SAFETENSORS-001",
            file=name,
            expected=error.expected,
            found=error.found,
            remedy="Fetch the file again and compare its digest with the publisher's",
        )
        return None, (finding,)


def _read(header: Header) -> SafetensorsSummary:
    length = header.count("header bytes", MAX_HEADER_BYTES)
    document = _object(header.take(length, "the JSON header"))
    metadata = _metadata(document.pop("__metadata__", {}))
    tensors = [_tensor(name, value) for name, value in document.items()]
    _check_cover(tensors, header.size - header.position)
    return SafetensorsSummary(
        tensors=len(tensors),
        values=sum(tensor.values for tensor in tensors),
        dtypes=tuple(sorted({tensor.dtype for tensor in tensors})),
        metadata=metadata,
        header_bytes=header.position,
    )


def _object(data: bytes) -> dict[str, Any]:
    """The header's JSON object; nothing that two readers could read differently."""
    if not data.startswith(b"{"):
        raise Malformed("a header that begins with {", repr(data[:1]))
    try:
        document = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise Malformed("a header in UTF-8", f"another byte at {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise Malformed("a header of JSON", shown(str(error))) from None
    return dict(document)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Malformed("each name once in the header", "one of them twice")
    return result


def _no_constant(name: str) -> None:
    raise Malformed("JSON numbers", name)


def _metadata(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise Malformed("__metadata__ as texts by name", "another type")
    return tuple((shown(key), shown(text, 200)) for key, text in value.items())


def _tensor(name: str, value: Any) -> _Tensor:
    what = f"tensor '{shown(name)}'"
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise Malformed(f"dtype, shape and data_offsets of {what}", "other entries")
    if not isinstance(value["dtype"], str) or value["dtype"] not in _BITS:
        raise Malformed(f"a known dtype of {what}", f"'{shown(str(value['dtype']))}'")
    shape = _whole_numbers(value["shape"], f"the shape of {what}", MAX_DIMENSIONS)
    offsets = _whole_numbers(value["data_offsets"], f"the offsets of {what}", 2)
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise Malformed(f"a begin and an end as offsets of {what}", str(offsets))
    values = 1
    for length in shape:
        values *= length
    bits = values * _BITS[value["dtype"]]
    if bits != (offsets[1] - offsets[0]) * 8:
        raise Malformed(f"{bits} bits of data for {what}", f"{offsets[1] - offsets[0]} bytes")
    return _Tensor(offsets[0], offsets[1], value["dtype"], values)


def _whole_numbers(value: Any, what: str, limit: int) -> list[int]:
    """``value`` as at most ``limit`` numbers that any reader can hold."""
    if not isinstance(value, list) or len(value) > limit:
        raise Malformed(f"a list of at most {limit} numbers as {what}", "something else")
    if not all(type(item) is int and 0 <= item < 2**63 for item in value):
        raise Malformed(f"whole numbers from 0 to 2^63 - 1 as {what}", "something else")
    return value


def _check_cover(tensors: list[_Tensor], size: int) -> None:
    """Refuse holes, overlaps and anything after the last tensor."""
    end = 0
    for begin, until in sorted((tensor.begin, tensor.end) for tensor in tensors):
        if begin != end:
            raise Malformed(f"a tensor that begins at {end}, where the last ended", str(begin))
        end = until
    if end != size:
        raise Malformed(f"{end} bytes of tensors", f"{size} bytes after the header")
