"""A tiny application, complete and valid, that tests write out and then break in one place."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.policies.making import PAIRS, gguf, pair

SPEC = """\
apiVersion: greenlight/v1
name: tiny-bot
model:
  name: Tiny
  source: file:model.gguf
  license: Apache-2.0
  card: card.md
engine:
  name: llama.cpp
prompt:
  inputs: [query, context]
  messages:
    - role: system
      content: Answer from the context.
    - role: user
      file: prompts/question.j2
evaluation:
  data: cases.jsonl
  latency_cases: 5
  gates:
    - metric: f1
      min: 0.5
    - metric: latency_p95_seconds
      max: 10
environments:
  staging: {}
  production: {}
"""

TEMPLATE = "{{ context }}\nQuestion: {{ query }}"

CARD = """\
# Tiny
## Model
Eight numbers, made by the tests.
## License
Apache-2.0
## Intended use
Tests.
## Limitations
It knows nothing.
## Evaluation
None.
"""

TOKEN_TYPES = pair("tokenizer.ggml.token_type", 9, struct.pack("<IQii", 5, 2, 1, 3))
"""The second of two tokens, b, is a control token."""

MODEL = gguf((*PAIRS, TOKEN_TYPES))

ROWS: tuple[Mapping[str, Any], ...] = (
    {"query": "What colour is the lamp?", "context": "It is green.", "ground_truth": "green"},
    {"query": "How many buttons?", "context": "It has three buttons.", "ground_truth": "three"},
    {"query": "Where is the socket?", "context": "At the back.", "ground_truth": "at the back"},
    {"query": "How heavy is it?", "context": "It weighs a kilogram.", "ground_truth": "a kilogram"},
    {
        "query": "What does it cost?",
        "context": "It is green.",
        "ground_truth": "I don't know",
        "tags": ["unanswerable"],
    },
)


def jsonl(rows: tuple[Mapping[str, Any], ...] = ROWS) -> str:
    """``rows`` as the text of an evaluation file."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(folder: Path) -> Path:
    """The application in ``folder``, which is made; its path."""
    (folder / "prompts").mkdir(parents=True)
    (folder / "llm.yaml").write_text(SPEC)
    (folder / "prompts/question.j2").write_text(TEMPLATE)
    (folder / "card.md").write_text(CARD)
    (folder / "cases.jsonl").write_text(jsonl())
    (folder / "model.gguf").write_bytes(MODEL)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    """Replace ``old``, which is there, by ``new`` in the file at ``path``."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def quoted(text: str) -> str:
    """``text`` as a double-quoted scalar: JSON's is YAML's."""
    return json.dumps(text)
