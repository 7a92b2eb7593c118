"""Small model files, honest and hostile, made in memory."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from typing import Any

from hypothesis import settings

untimed = settings(deadline=None)  # how long an example takes says nothing on a busy machine

TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m.content }}{% endfor %}"


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def pair(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def said(key: str, value: str) -> bytes:
    return pair(key, 8, text(value))


def tensor(name: str, shape: tuple[int, ...], offset: int, kind: int = 0) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", kind, offset)


PAIRS = (
    said("general.architecture", "llama"),
    said("general.name", "Tiny"),
    said("general.license", "apache-2.0"),
    pair("general.file_type", 4, struct.pack("<I", 3)),
    pair("llama.context_length", 4, struct.pack("<I", 2048)),
    pair("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")),
    pair("tokenizer.ggml.add_bos_token", 7, b"\x01"),
    said("tokenizer.chat_template", TEMPLATE),
)
TENSORS = (tensor("token_embd.weight", (4, 2), 0), tensor("output.weight", (32, 1), 32, kind=8))
DATA = bytes(32 + 34)  # eight 32-bit values fill 32 bytes, a block of Q8_0 takes 34


def gguf(
    pairs: tuple[bytes, ...] = PAIRS,
    tensors: tuple[bytes, ...] = TENSORS,
    data: bytes = DATA,
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    """A GGUF file; ``counts`` are the numbers of tensors and pairs that it claims to have."""
    claimed = counts or (len(tensors), len(pairs))
    header = magic + struct.pack("<IQQ", version, *claimed) + b"".join(pairs + tensors)
    return header + bytes(-len(header) % alignment) + data


ENTRY = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}
SECOND = {"dtype": "U8", "shape": [], "data_offsets": [8, 9]}


def safetensors(header: Any = None, data: bytes = bytes(9), *, length: int | None = None) -> bytes:
    """A safetensors file; ``header`` is its JSON as a value or as bytes."""
    value = (
        {"__metadata__": {"format": "pt"}, "a": ENTRY, "b": SECOND} if header is None else header
    )
    encoded = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(encoded) if length is None else length) + encoded + data


class Acts:
    """An object whose pickle calls a function on loading; what they all come down to."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("this must never be printed",)


def pickled(protocol: int = 4) -> bytes:
    return pickle.dumps(Acts(), protocol)


def zipped(**members: bytes) -> bytes:
    """A zip of ``members``; two underscores in a name stand for a slash, one before an ending."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return target.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def numpy_header(descr: str) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8)


class CountingFile(io.BytesIO):
    """Counts what is read of it, and remembers how far into it the reading went."""

    read_bytes = 0
    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.read_bytes += len(data)
        self.furthest = max(self.furthest, self.tell())
        return data
