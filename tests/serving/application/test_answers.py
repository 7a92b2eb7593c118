"""The engine's stream → what the caller gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serving.application.answers import assemble, event, parse_line, refused, rewrite
from serving.application.errors import RequestError

APPLICATION, LABEL = "support-bot", "support-bot@aaaaaaa"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """As llama.cpp sends it."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "created": 1,
        "model": "/path/of/model.gguf",
        "system_fingerprint": "b0-unknown",
        "object": "chat.completion.chunk",
        "choices": choices,
        **more,
    }


STREAM = [
    chunk({"role": "assistant", "content": None}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo", "reasoning_content": "hm"}, __verbose={"prompt": "secret"}),
    chunk({}, "stop"),
    chunk(None, usage=USAGE, timings={"prompt_ms": 1.0}),
]


def test_a_whole_answer() -> None:
    """In OpenAI's shape, under the application's name, with the release that answered."""
    assert assemble(STREAM, APPLICATION, LABEL) == {
        "id": "chatcmpl-1",
        "created": 1,
        "object": "chat.completion",
        "model": APPLICATION,
        "system_fingerprint": LABEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": USAGE,
    }


@pytest.mark.parametrize("end", range(len(STREAM)))
def test_s13_half_an_answer_is_none(end: int) -> None:
    """An engine that stops in the middle never looks like a short answer."""
    with pytest.raises(RequestError) as caught:
        assemble(STREAM[:end], APPLICATION, LABEL)

    assert caught.value.status == 502


def test_a_streamed_chunk_holds_openais_fields_only() -> None:
    """No timings, no path of the model, no prompt."""
    assert rewrite(STREAM[2], APPLICATION, LABEL, include_usage=False) == {
        "id": "chatcmpl-1",
        "created": 1,
        "object": "chat.completion.chunk",
        "model": APPLICATION,
        "system_fingerprint": LABEL,
        "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": None}],
    }


def test_usage_is_streamed_when_asked_for() -> None:
    """In a last chunk of its own, without choices."""
    last = rewrite(STREAM[-1], APPLICATION, LABEL, include_usage=True)

    assert last is not None
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert "timings" not in last
    assert rewrite(STREAM[-1], APPLICATION, LABEL, include_usage=False) is None


@pytest.mark.parametrize("line", [b"", b"\n", b": ping\n", b"data: [DONE]\n", b"event: x\n"])
def test_lines_without_a_chunk(line: bytes) -> None:
    """Pings, blanks and the end say nothing."""
    assert parse_line(line) is None


def test_a_chunk_survives_the_wire() -> None:
    """What is written can be read."""
    assert parse_line(event({"content": "é\n"}).split(b"\n")[0]) == {"content": "é\n"}


@pytest.mark.parametrize("line", [b"data: {", b'data: {"error": {"code": 500, "message": "x"}}'])
def test_a_failure_in_the_stream_is_raised(line: bytes) -> None:
    """It is the engine's, not the caller's."""
    with pytest.raises(RequestError) as caught:
        parse_line(line)

    assert caught.value.status == 502


ERRORS: dict[str, tuple[Any, int, str]] = {
    "too long": (
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}},
        400,
        "context_length_exceeded",
    ),
    "bad request": ({"error": {"code": 400, "message": "bad"}}, 400, "invalid_value"),
    "loading": ({"error": {"code": 503, "message": "Loading model"}}, 502, "engine_failed"),
    "no reason": ({}, 502, "engine_failed"),
    "no JSON": (None, 502, "engine_failed"),
    "text": ({"error": "x"}, 502, "engine_failed"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_the_engines_errors_are_told_apart(case: str) -> None:
    """The caller's to mend are 400, all others are not."""
    document, status, code = ERRORS[case]

    error = refused(document)

    assert (error.status, error.code) == (status, code)
    assert json.dumps(error.document())
