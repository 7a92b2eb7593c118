"""The engine's stream → what the caller gets. Pure.

Only OpenAI's own fields pass: llama.cpp adds timings, and on request the whole prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from serving.application.errors import RequestError, invalid

Chunk = dict[str, Any]
KEPT = ("id", "created")
TOO_LONG = "maximum context length"
"""vLLM's words, which are OpenAI's; llama.cpp gives the error a type of its own."""

DONE = b"data: [DONE]\n\n"


def is_end(line: bytes) -> bool:
    """Whether the engine says with it that its answer is whole."""
    return line.strip() == DONE.strip()


def parse_line(line: bytes) -> Chunk | None:
    """The chunk on one line of the engine's stream; None for pings, blanks and the end.

    RequestError when the engine reports a failure in the middle of it.
    """
    text = line.strip()
    if not text.startswith(b"data:") or is_end(text):
        return None
    try:
        chunk = json.loads(text.removeprefix(b"data:"))
    except ValueError as error:
        raise RequestError(502, "The engine sent no JSON.", code="engine_failed") from error
    if "error" in chunk:
        raise refused(chunk)
    return dict(chunk)


def refused(document: Any) -> RequestError:
    """The engine's own error as ours. Its 400s are the caller's to mend, all else is not."""
    error = document.get("error") if isinstance(document, dict) else None
    error = error if isinstance(error, dict) else {}
    message, status = str(error.get("message", "no reason given")), error.get("code")
    if error.get("type") == "exceed_context_size_error" or TOO_LONG in message:
        return invalid(message, "messages", "context_length_exceeded")
    if status == 400:
        return invalid(f"The engine refused the request: {message}")
    return RequestError(502, f"The engine failed: {message}", code="engine_failed")


def _head(chunk: Chunk, application: str, label: str, kind: str) -> Chunk:
    kept = {name: chunk[name] for name in KEPT if name in chunk}
    return {**kept, "object": kind, "model": application, "system_fingerprint": label}


def _choice(choice: Chunk) -> Chunk:
    delta = {name: choice["delta"][name] for name in ("role", "content") if name in choice["delta"]}
    return {"index": choice["index"], "delta": delta, "finish_reason": choice["finish_reason"]}


def rewrite(chunk: Chunk, application: str, label: str, include_usage: bool) -> Chunk | None:
    """One chunk for the caller; None for the last one, with the usage, if nobody asked for it."""
    head = _head(chunk, application, label, "chat.completion.chunk")
    if chunk.get("choices"):
        return {**head, "choices": [_choice(choice) for choice in chunk["choices"]]}
    if include_usage and "usage" in chunk:
        return {**head, "choices": [], "usage": chunk["usage"]}
    return None


def event(document: Chunk) -> bytes:
    """A chunk on the wire."""
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def assemble(chunks: Iterable[Chunk], application: str, label: str) -> Chunk:
    """A whole answer from the chunks of one. RequestError if the engine stopped before its end."""
    head: Chunk = {}
    texts: list[str] = []
    finish: str | None = None
    usage: Chunk | None = None
    for chunk in chunks:
        head = head or _head(chunk, application, label, "chat.completion")
        usage = chunk.get("usage", usage)
        for choice in chunk.get("choices", ()):
            texts.append(choice["delta"].get("content") or "")
            finish = choice.get("finish_reason") or finish
    if finish is None or usage is None:
        raise RequestError(502, "The engine stopped in mid-answer.", code="engine_failed")
    message = {"role": "assistant", "content": "".join(texts)}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return {**head, "choices": [choice], "usage": usage}
