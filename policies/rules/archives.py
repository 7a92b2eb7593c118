"""Recognises archives and lists what they name, without unpacking a byte.

No archive is ever accepted as a model, so nothing here has to be right about what is inside;
the names only make the refusal tell more. A zip is found by its directory at the end of the
file, as readers find it, so one behind another file's beginning is found too.
"""

from __future__ import annotations

import os
import re
import struct
from typing import BinaryIO

MAX_NAMES = 1000
"""Members that are looked at; a PyTorch file names its pickle among the first."""

MAX_DIRECTORY = 1024 * 1024  # bytes of a zip's directory that are read
_TAIL = 22 + 0xFFFF  # bytes: the end record and the longest comment behind it

_END = re.compile(rb"PK\x05\x06")
_END_RECORD = struct.Struct("<4s4H2LH")  # APPNOTE.TXT 4.3.16
_ENTRY = struct.Struct("<4s24xHHH12x")  # APPNOTE.TXT 4.3.12, up to the name's length and on
_STREAMS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
    b"PK\x03\x04": "zip",
}


def packed_stream(head: bytes) -> str | None:
    """The name of the packing that begins with ``head``, or None."""
    return next((name for magic, name in _STREAMS.items() if head.startswith(magic)), None)


def zip_names(file: BinaryIO) -> tuple[str, ...] | None:
    """Names in the zip directory at the end of ``file``, or None if there is no such directory.

    Reads at most the last 64 KiB and MAX_DIRECTORY bytes.
    """
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    for match in reversed(list(_END.finditer(tail))):
        at = match.start()
        record = tail[at : at + _END_RECORD.size]
        if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
            return ()  # the directory has 64-bit numbers, and is not worth another parser
        if len(record) == _END_RECORD.size:
            names = _directory(file, start + at, _END_RECORD.unpack(record)[5])
            if names is not None:
                return names
    return None


def _directory(file: BinaryIO, end: int, length: int) -> tuple[str, ...] | None:
    """Names of the directory of ``length`` bytes before ``end``, or None if none is there."""
    if length == 0:
        return ()
    if length > end:
        return None
    file.seek(end - length)
    data = file.read(min(length, MAX_DIRECTORY))
    return _entry_names(data) if data.startswith(b"PK\x01\x02") else None


def _entry_names(data: bytes) -> tuple[str, ...]:
    names: list[str] = []
    at = 0
    while len(names) < MAX_NAMES and data.startswith(b"PK\x01\x02", at):
        if at + 46 > len(data):
            break
        _, name, extra, comment = _ENTRY.unpack_from(data, at)
        names.append(data[at + 46 : at + 46 + name].decode("utf-8", "replace"))
        at += 46 + name + extra + comment
    return tuple(names)


def tar_names(file: BinaryIO) -> tuple[str, ...] | None:
    """Names of the members of a tar, or None if ``file`` is none. Reads 512 bytes a member."""
    names: list[str] = []
    at = 0
    while len(names) < MAX_NAMES:
        file.seek(at)
        block = file.read(512)
        if block[257:262] != b"ustar":
            break
        names.append(block[:100].split(b"\0", 1)[0].decode("utf-8", "replace"))
        digits = block[124:136].strip(b"\0 ")
        if not re.fullmatch(rb"[0-7]{1,12}", digits):
            break
        at += 512 + -(-int(digits, 8) // 512) * 512
    return tuple(names) or None
