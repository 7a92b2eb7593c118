"""What a caller may send, field by field."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.application.errors import RequestError
from serving.application.requests import Asked, read

QUESTION = [{"role": "user", "content": "Why?"}]

ACCEPTED: dict[str, tuple[dict[str, Any], Asked]] = {
    "a question": ({}, Asked("Why?")),
    "a question in parts": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "y?"}],
                }
            ]
        },
        Asked("Why?"),
    ),
    "a conversation": (
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello", "refusal": None, "tool_calls": None},
                *QUESTION,
            ]
        },
        Asked("Why?", history=(("user", "Hi"), ("assistant", "Hello"))),
    ),
    "inputs": ({"inputs": {"context": "x"}}, Asked("Why?", inputs={"context": "x"})),
    "the older limit": ({"max_tokens": 5}, Asked("Why?", max_tokens=5)),
    "the newer limit": ({"max_completion_tokens": 5}, Asked("Why?", max_tokens=5)),
    "both limits": (
        {"max_tokens": 9, "max_completion_tokens": 5},
        Asked("Why?", max_tokens=5),
    ),
    "a stop text": ({"stop": "."}, Asked("Why?", stop=(".",))),
    "stop texts": ({"stop": [".", "!"]}, Asked("Why?", stop=(".", "!"))),
    "a stream": (
        {"stream": True, "stream_options": {"include_usage": True}},
        Asked("Why?", stream=True, include_usage=True),
    ),
    "sampling is the release's": (
        {"temperature": 1, "seed": 3, "top_p": 0.5, "logit_bias": {}},
        Asked("Why?", ignored=("logit_bias", "seed", "temperature", "top_p")),
    ),
    "null is absence": ({"tools": None, "stop": None, "max_tokens": None}, Asked("Why?")),
    "asking for nothing unsupported": (
        {"n": 1, "tools": [], "logprobs": False, "user": "u1", "model": "support-bot"},
        Asked("Why?", model="support-bot"),
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str) -> None:
    """The case's name is what is accepted."""
    body, expected = ACCEPTED[case]

    assert read({"messages": QUESTION, **body}) == expected


def said(role: str, content: Any = "x", **more: Any) -> dict[str, Any]:
    """A conversation that opens with such a message."""
    return {"messages": [{"role": role, "content": content, **more}, *QUESTION]}


REFUSED: dict[str, tuple[Any, str | None, str]] = {
    "no object": ([], None, "invalid_value"),
    "no messages": ({"messages": None}, "messages", "invalid_value"),
    "an empty conversation": ({"messages": []}, "messages", "invalid_value"),
    "a message that is none": ({"messages": ["Why?"]}, "messages[0]", "invalid_value"),
    "a system message": (said("system"), "messages[0].role", "unsupported"),
    "a developer message": (said("developer"), "messages[0].role", "unsupported"),
    "a tool's message": (said("tool"), "messages[0].role", "unsupported"),
    "a message of nobody": (said(""), "messages[0].role", "unsupported"),
    "a tool call": (
        said("assistant", tool_calls=[{"id": "1"}]),
        "messages[0].tool_calls",
        "unsupported",
    ),
    "no text": (said("assistant", None), "messages[0].content", "invalid_value"),
    "an image": (
        said("user", [{"type": "image_url"}]),
        "messages[0].content[0]",
        "unsupported",
    ),
    "half a character": (said("user", "\ud800"), "messages[0].content", "invalid_value"),
    "an answer at the end": (
        {"messages": [*QUESTION, {"role": "assistant", "content": "x"}]},
        "messages[1].role",
        "invalid_value",
    ),
    "inputs that are no object": ({"inputs": "x"}, "inputs", "invalid_value"),
    "an input that is no text": ({"inputs": {"context": 1}}, "inputs.context", "invalid_value"),
    "no tokens": ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    "half a token": ({"max_tokens": 1.5}, "max_tokens", "invalid_value"),
    "true tokens": ({"max_tokens": True}, "max_tokens", "invalid_value"),
    "five stop texts": ({"stop": list("abcde")}, "stop", "invalid_value"),
    "a stop that is no text": ({"stop": [1]}, "stop", "invalid_value"),
    "perhaps a stream": ({"stream": "yes"}, "stream", "invalid_value"),
    "stream options that are none": ({"stream_options": 1}, "stream_options", "invalid_value"),
    "an unknown stream option": (
        {"stream_options": {"x": 1}},
        "stream_options.x",
        "unknown_parameter",
    ),
    "two answers": ({"n": 2}, "n", "unsupported"),
    "tools": ({"tools": [{}]}, "tools", "unsupported"),
    "functions": ({"functions": [{}]}, "functions", "unsupported"),
    "a response format": ({"response_format": {"type": "json"}}, "response_format", "unsupported"),
    "log probabilities": ({"logprobs": True}, "logprobs", "unsupported"),
    "audio": ({"audio": {"voice": "x"}}, "audio", "unsupported"),
    "modalities": ({"modalities": ["text"]}, "modalities", "unsupported"),
    "what nobody knows": ({"temperatur": 1}, "temperatur", "unknown_parameter"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    """The case's name is what is refused; the error names the place."""
    body, param, code = REFUSED[case]
    document = {"messages": QUESTION, **body} if isinstance(body, dict) else body

    with pytest.raises(RequestError) as caught:
        read(document)

    error = caught.value
    assert (error.status, error.param, error.code) == (400, param, code)
    assert error.document()["error"]["type"] == "invalid_request_error"


def test_a_typing_error_is_helped() -> None:
    """Did you mean."""
    with pytest.raises(RequestError, match="Did you mean 'temperature'"):
        read({"messages": QUESTION, "temperatur": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["messages", "inputs", "stop", "stream", "n", "max_tokens", "user", "model"]
)


@given(st.dictionaries(FIELDS, JSON) | JSON)
def test_no_json_does_more_than_be_refused(document: Any) -> None:
    """Whatever arrives is read or refused: nothing else is raised."""
    with contextlib.suppress(RequestError):
        assert isinstance(read(document), Asked)
