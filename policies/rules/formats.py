"""Which kind of file this is, by its content, and whether that kind may be opened at all.

Two kinds are let through, because their headers can be checked and they hold no program. All
others are refused, the unknown ones as well: a list of what is dangerous is never complete.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO, Literal

from policies.rules import archives, pickles
from policies.rules.findings import Finding, shown

Kind = Literal["gguf", "safetensors", "pickle", "archive", "unknown"]

ALLOWED: tuple[Kind, ...] = ("gguf", "safetensors")

_SUFFIXES: dict[str, Kind] = {
    ".gguf": "gguf",
    ".safetensors": "safetensors",
    **dict.fromkeys(pickles.SUFFIXES, "pickle"),
    **dict.fromkeys((".zip", ".npz", ".keras", ".mar", ".nemo", ".tar", ".gz", ".7z"), "archive"),
}
_KNOWN = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras keeps layers in it that are code)",
    b"\x93NUMPY": "a NumPy array",
    b"\x7fELF": "a Linux program",
    b"MZ": "a Windows program",
    b"#!": "a script",
}


@dataclass(frozen=True)
class Format:
    """A kind of file, and what to call this one in a sentence."""

    kind: Kind
    description: str


def identify(file: BinaryIO) -> Format:
    """What the content of ``file`` is. Reads a few kilobytes at each end; unpacks nothing."""
    file.seek(0)
    head = file.read(pickles.HEAD_BYTES)
    if head.startswith(b"GGUF"):
        return Format("gguf", "a GGUF file")
    if _is_safetensors(head):
        return Format("safetensors", "a safetensors file")
    if packed := _archive(file, head):
        return packed
    if pickle := pickles.pickle_kind(head):
        return Format("pickle", pickle)
    known = (name for magic, name in _KNOWN.items() if head.startswith(magic))
    return Format("unknown", next(known, "an unknown format" if head else "an empty file"))


def check_format(
    file: BinaryIO, *, name: str, allowed: Collection[Kind] = ALLOWED
) -> tuple[Finding, ...]:
    """Refuse ``file``, called ``name``, unless it is of an allowed kind and of no other."""
    found = identify(file)
    claimed = _SUFFIXES.get(PurePath(name).suffix.lower(), found.kind)
    kind = claimed if found.kind == "unknown" and claimed == "pickle" else found.kind
    if kind not in allowed:
        return (_not_allowed(kind, found.description, name, allowed),)
    if claimed != kind:
        return (_misnamed(found, name),)
    if archives.zip_names(file) is not None:
        return (_second_file(found, name),)
    return ()


def _is_safetensors(head: bytes) -> bool:
    """Whether a length and then a JSON object begin the file; the length is checked later."""
    return head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32


def _archive(file: BinaryIO, head: bytes) -> Format | None:
    names, packing = archives.zip_names(file), "zip"
    if names is None:
        names, packing = archives.tar_names(file), "tar"
    if names is None:
        stream = archives.packed_stream(head)
        return Format("archive", f"a {stream} archive") if stream else None
    if pickle := next(filter(pickles.names_pickle, names), None):
        return Format("pickle", f"a {packing} archive that names the pickle '{shown(pickle)}'")
    return Format("archive", f"a {packing} archive of {len(names)} members")


def _not_allowed(kind: Kind, description: str, name: str, allowed: Collection[Kind]) -> Finding:
    number = {"pickle": "002", "archive": "003"}.get(kind, "001")
    why = {
        "pickle": "a pickle runs code when it is loaded",
        "archive": "an archive is never unpacked here",
    }.get(kind, "what is unknown is not opened")
    remedy = f"Convert the model to {' or '.join(sorted(allowed))}: {why}"
    return _refused(
        number, name, f"a file of kind {' or '.join(sorted(allowed))}", description, remedy
    )


def _misnamed(found: Format, name: str) -> Finding:
    suffix = PurePath(name).suffix
    return _refused(
        "004",
        name,
        f"content that its suffix {shown(suffix)} names",
        found.description,
        f"Name it .{found.kind}: some loaders go by the suffix, and would take it for another",
    )


def _second_file(found: Format, name: str) -> Finding:
    return _refused(
        "005",
        name,
        f"{found.description} and nothing else",
        "a zip archive's directory at its end",
        "Fetch the file from its publisher: two files in one have no honest use",
    )


def _refused(number: str, file: str, expected: str, found: str, remedy: str) -> Finding:
    return Finding(
        rule=f"GL-FORMAT-{number}", file=file, expected=expected, found=found, remedy=remedy
    )
