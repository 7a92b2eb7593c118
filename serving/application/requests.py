"""A caller's JSON → what was asked, or a refusal that names the field. Pure.

Every field that OpenAI's API knows is honoured, ignored and said to be, or refused;
one that it does not know is refused. Nothing is taken in silence.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serving.application.errors import RequestError, invalid

HONOURED = {
    "model", "messages", "inputs", "max_tokens", "max_completion_tokens", "stop", "stream",
    "stream_options", "user", "n",
}  # fmt: skip
IGNORED = {
    "temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty",
    "repetition_penalty", "logit_bias", "reasoning_effort", "verbosity", "metadata", "store",
    "service_tier", "parallel_tool_calls", "safety_identifier", "prompt_cache_key",
}  # fmt: skip
"""The release decides these, or nothing here depends on them."""

UNSUPPORTED = {
    "tools", "tool_choice", "functions", "function_call", "response_format", "logprobs",
    "top_logprobs", "audio", "modalities", "prediction", "web_search_options",
}  # fmt: skip
"""To leave these out would change what the answer means, so they are refused."""

STOP_LIMIT = 4  # OpenAI's


@dataclass(frozen=True)
class Asked:
    """A request that has been read. ``history``: (role, text) of the turns before the query."""

    query: str
    model: str | None = None
    history: tuple[tuple[str, str], ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False
    ignored: tuple[str, ...] = ()


def unsupported(message: str, param: str) -> RequestError:
    """400 for what this application cannot do at all."""
    return invalid(message, param, "unsupported")


def _text(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"{param} must be text.", param)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise invalid(f"{param} must be valid Unicode.", param) from error
    return value


def _content(value: object, param: str) -> str:
    """Text, or a list of text parts joined."""
    if not isinstance(value, list):
        return _text(value, param)
    texts = []
    for place, part in enumerate(value):
        where = f"{param}[{place}]"
        if not isinstance(part, dict) or part.get("type") != "text":
            raise unsupported("Only text parts are supported.", where)
        texts.append(_text(part.get("text"), f"{where}.text"))
    return "".join(texts)


def _message(value: object, param: str) -> tuple[str, str]:
    if not isinstance(value, dict):
        raise invalid(f"{param} must be an object.", param)
    role = value.get("role")
    if role in ("system", "developer"):
        message = "The release owns the system prompt: leave such messages out."
        raise unsupported(message, f"{param}.role")
    if role not in ("user", "assistant"):
        raise unsupported("A message's role must be user or assistant.", f"{param}.role")
    for name in ("tool_calls", "function_call", "audio"):
        if value.get(name):
            raise unsupported(f"{name} is not supported.", f"{param}.{name}")
    return role, _content(value.get("content"), f"{param}.content")


def _conversation(value: object) -> tuple[tuple[tuple[str, str], ...], str]:
    if not isinstance(value, list) or not value:
        raise invalid("messages must be a list with the question in it.", "messages")
    turns = [_message(one, f"messages[{place}]") for place, one in enumerate(value)]
    role, query = turns.pop()
    if role != "user":
        message = "The last message must come from the user: it is the question."
        raise invalid(message, f"messages[{len(turns)}].role")
    return tuple(turns), query


def _inputs(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise invalid("inputs must be an object of texts.", "inputs")
    return {name: _text(text, f"inputs.{name}") for name, text in value.items()}


def _max_tokens(body: Mapping[str, Any]) -> int | None:
    given = [name for name in ("max_completion_tokens", "max_tokens") if name in body]
    for name in given:
        if type(body[name]) is not int or body[name] < 1:
            raise invalid(f"{name} must be a whole number of at least 1.", name)
    return min(body[name] for name in given) if given else None


def _stop(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > STOP_LIMIT:
        raise invalid(f"stop must be a text or a list of at most {STOP_LIMIT}.", "stop")
    return tuple(_text(text, "stop") for text in texts)


def _flag(value: object, param: str) -> bool:
    if not isinstance(value, bool):
        raise invalid(f"{param} must be true or false.", param)
    return value


def _include_usage(value: object) -> bool:
    if not isinstance(value, dict):
        raise invalid("stream_options must be an object.", "stream_options")
    if unknown := sorted(value.keys() - {"include_usage", "include_obfuscation"}):
        param = f"stream_options.{unknown[0]}"
        raise invalid(f"{param} is not known.", param, "unknown_parameter")
    return _flag(value.get("include_usage", False), "stream_options.include_usage")


def _refuse_unknown(body: Mapping[str, Any]) -> None:
    if body.get("n", 1) != 1:
        raise unsupported("n must be 1: one answer a request.", "n")
    for name in sorted(body.keys() & UNSUPPORTED):
        if body[name]:
            raise unsupported(f"{name} is not supported.", name)
    known = HONOURED | IGNORED | UNSUPPORTED
    for name in sorted(body.keys() - known):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise invalid(f"{name!r} is not known.{hint}", name, "unknown_parameter")


def read(document: object) -> Asked:
    """A chat completion request's JSON as values. RequestError names the field."""
    if not isinstance(document, dict):
        raise invalid("The body must be a JSON object.")
    body = {name: value for name, value in document.items() if value is not None}
    _refuse_unknown(body)
    history, query = _conversation(body.get("messages"))
    return Asked(
        query=query,
        model=_text(body["model"], "model") if "model" in body else None,
        history=history,
        inputs=_inputs(body.get("inputs", {})),
        max_tokens=_max_tokens(body),
        stop=_stop(body.get("stop", [])),
        stream=_flag(body.get("stream", False), "stream"),
        include_usage=_include_usage(body.get("stream_options", {})),
        ignored=tuple(sorted(body.keys() & IGNORED)),
    )
