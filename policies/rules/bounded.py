"""Reading a header that somebody else wrote, forward only and never past a bound.

Every length in such a header is a claim. It is held against the bytes that are there and
against a budget before anything is read or allocated for it.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


class Malformed(Exception):
    """The bytes are not what their format asks for. A rule turns it into a finding."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = expected
        self.found = found


class Header:
    """The first ``limit`` bytes of ``file``, taken in order.

    ``file`` is seekable, binary and buffered: its ``read(n)`` gives n bytes unless the file
    ends. Methods raise Malformed for what the bytes say, OSError for what the disk does.
    """

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = limit
        self.size = file.seek(0, os.SEEK_END)
        self.position = file.seek(0)

    def take(self, count: int, what: str) -> bytes:
        """The next ``count`` bytes, which are ``what``."""
        end = self.position + count
        if end > self.size:
            raise Malformed(f"{what} up to byte {end}", f"a file of {self.size} bytes")
        if end > self._limit:
            raise Malformed(f"a header of at most {self._limit} bytes", f"{what} up to byte {end}")
        data = self._file.read(count)
        if len(data) != count:
            raise Malformed(f"{what} up to byte {end}", "a file that shrank while it was read")
        self.position = end
        return data

    def u32(self, what: str) -> int:
        """The next unsigned 32-bit number, little-endian."""
        return int(_U32.unpack(self.take(4, what))[0])

    def u64(self, what: str) -> int:
        """The next unsigned 64-bit number, little-endian."""
        return int(_U64.unpack(self.take(8, what))[0])

    def count(self, what: str, limit: int) -> int:
        """The next unsigned 64-bit number, which says how many of ``what`` there are."""
        count = self.u64(f"the number of {what}")
        if count > limit:
            raise Malformed(f"at most {limit} {what}", str(count))
        return count
