"""Which texts a model takes for control tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from release.errors import BadInput
from release.markers import markers
from tests.serving.making import gguf, real_model

NORMAL, UNKNOWN, CONTROL, USER, BYTE = 1, 2, 3, 4, 6


def test_the_models_own_markers(tmp_path: Path) -> None:
    """Control and unknown tokens, and what its chat template writes around messages."""
    file = tmp_path / "m.gguf"
    tokens = {"a": NORMAL, "<unk>": UNKNOWN, "<|end|>": CONTROL, "<table>": USER, "\n": CONTROL}
    file.write_bytes(gguf(tokens, "[INST] {{ messages[0]['content'] }} [/INST]<|turn|>"))

    assert markers(file) == {"<unk>", "<|end|>", "[INST]", "[/INST]", "<|turn|>"}


def test_a_real_models_markers() -> None:
    """SmolLM2 has 17 control tokens."""
    found = markers(real_model())

    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= found
    assert len(found) == 17


WHOLE = gguf({"a": NORMAL, "<s>": CONTROL})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GGUF",
        b"PK\x03\x04" + WHOLE[4:],
        WHOLE[:4] + b"\x09" + WHOLE[5:],
        WHOLE[:-1],
        WHOLE[:100],
        gguf({}).replace(b"tokenizer.ggml.tokens", b"tokenizer.ggml.tokenz"),
        WHOLE.replace(b"\x07\0\0\0\0\0\0\0made up", b"\xff" * 8 + b"made up"),
    ],
)
def test_a_file_that_does_not_say_is_refused(tmp_path: Path, data: bytes) -> None:
    """Without the list nothing can be taken apart: unknown means refuse."""
    file = tmp_path / "m.gguf"
    file.write_bytes(data)
    assert data != WHOLE

    with pytest.raises(BadInput, match=r"m\.gguf"):
        markers(file)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_no_byte_makes_it_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    """Whatever the file holds: markers, or BadInput."""
    file = tmp_path_factory.mktemp("m") / "m.gguf"
    file.write_bytes(WHOLE[:at] + bytes([byte]) + WHOLE[at + 1 :])

    try:
        markers(file)
    except BadInput:
        return
