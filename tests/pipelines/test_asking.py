"""One case, one request, one answer, or a reason why not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from pipelines import asking
from pipelines.asking import (
    ATTEMPTS,
    NoAnswerError,
    UnansweredError,
    ask,
    ask_once,
    open_session,
    parse_answer,
    request_body,
)
from pipelines.dataset import Case
from pipelines.gates import Answer
from pipelines.targets.base import Endpoint
from tests.pipelines.standin import KEY, Reply, StandIn, completion, standing_in

CASE = Case("lamp", "What colour?", "It is green.", "green", ("colour",), 3)
ENDPOINT = Endpoint("http://127.0.0.1:1", {"Authorization": KEY}, "tiny-bot")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSE", 0.0)


def answered(
    reply: Reply | None = None, *, timeout: float = 5.0, once: bool = False, seconds: float = 0.0
) -> tuple[Answer | NoAnswerError, StandIn]:
    """What asking gives, and the stand-in that was asked."""

    async def run() -> tuple[Answer | NoAnswerError, StandIn]:
        async with standing_in() as server, open_session(1, timeout) as session:
            server.reply = reply or server.reply
            server.seconds = seconds
            try:
                one = ask_once if once else ask
                found: Answer | NoAnswerError = await one(
                    session, server.endpoint("green"), CASE, ("query", "context")
                )
            except NoAnswerError as error:
                found = error
            return found, server

    return asyncio.run(run())


def test_a_case_is_asked_as_a_caller_would_ask_it() -> None:
    """The question as a message, the other inputs beside it, the key in a header."""
    found, server = answered()

    assert isinstance(found, Answer)
    assert (found.case, found.text, found.completion_tokens) == ("lamp", "green", 3)
    assert found.seconds > 0
    assert server.headers[0]["Authorization"] == KEY
    assert server.bodies == [
        {
            "model": "tiny-bot",
            "messages": [{"role": "user", "content": "What colour?"}],
            "inputs": {"context": "It is green."},
        }
    ]


def test_a_prompt_without_inputs_is_sent_none() -> None:
    assert "inputs" not in request_body(CASE, ENDPOINT, ("query",))


@pytest.mark.parametrize("name", ["ground_truth", "tags", "id", "line", "answerable", "tone"])
def test_no_input_brings_the_truth_to_the_model(name: str) -> None:
    """Whatever a prompt calls its inputs: the data has a question and a context for it."""
    assert request_body(CASE, ENDPOINT, ("query", name))["inputs"] == {name: ""}


def failing(times: int) -> Reply:
    def reply(side: str, question: str, before: int) -> web.Response:
        return web.Response(status=503) if before < times else completion()

    return reply


@pytest.mark.parametrize("times", range(ATTEMPTS))
def test_an_answer_may_take_a_few_attempts(times: int) -> None:
    """A crash of one process is no verdict on a release."""
    found, server = answered(failing(times))

    assert isinstance(found, Answer)
    assert len(server.asked) == times + 1


def test_after_the_last_attempt_there_is_no_answer() -> None:
    found, server = answered(failing(ATTEMPTS))

    assert str(found) == "HTTP status 503: Service Unavailable"
    assert len(server.asked) == ATTEMPTS


def test_where_the_clock_counts_there_is_one_attempt() -> None:
    found, server = answered(failing(1), once=True)

    assert isinstance(found, NoAnswerError)
    assert len(server.asked) == 1


def says(**changes: Any) -> Callable[[str, str, int], web.Response]:
    return lambda side, question, before: completion(**changes)


def raw(body: bytes, status: int = 200) -> Callable[[str, str, int], web.Response]:
    return lambda side, question, before: web.Response(
        body=body, status=status, content_type="application/json"
    )


ERROR = json.dumps({"error": {"message": "the slot is draining " + "x" * 500}}).encode()

REPLIES: dict[str, tuple[Reply, str]] = {
    "not JSON": (raw(b"<html>"), "the answer is not JSON"),
    "nothing": (raw(b""), "the answer is not JSON"),
    "half of it": (raw(b'{"choices": ['), "the answer is not JSON"),
    "not UTF-8": (raw(b'{"choices": "\xff"}'), "the answer is not JSON"),
    "too deep": (raw(b"[" * 100_000), "the answer is not JSON"),
    "a list": (raw(b"[]"), "no chat completion"),
    "null": (raw(b"null"), "no chat completion"),
    "no choices": (says(choices=[]), "no chat completion"),
    "no message": (says(choices=[{"text": "green"}]), "no chat completion"),
    "no content": (says(choices=[{"message": {}}]), "no chat completion"),
    "null content": (says(choices=[{"message": {"content": None}}]), "another type"),
    "no usage": (says(usage=None), "no chat completion"),
    "no tokens": (says(usage={}), "no chat completion"),
    "zero tokens": (says(usage={"completion_tokens": 0}), "no token"),
    "minus one token": (says(usage={"completion_tokens": -1}), "no token"),
    "half a token": (says(usage={"completion_tokens": 1.5}), "another type"),
    "a truth for tokens": (says(usage={"completion_tokens": True}), "another type"),
    "an error in OpenAI's shape": (raw(ERROR, 429), "HTTP status 429: the slot is draining"),
    "an error in another shape": (raw(b"oops", 500), "HTTP status 500: Internal Server Error"),
    "an error that is deep": (raw(b"[" * 100_000, 500), "HTTP status 500"),
}


@pytest.mark.parametrize(
    ("status", "unanswered"), [(429, False), (404, False), (500, True), (503, True)]
)
def test_s01_an_error_of_whoever_is_before_a_slot_is_told_from_one_that_the_slot_has_counted(
    status: int, unanswered: bool
) -> None:
    """A slot that nobody gets through to knows nothing of its errors."""
    found, _ = answered(raw(ERROR, status), once=True)

    assert isinstance(found, NoAnswerError)
    assert isinstance(found, UnansweredError) is unanswered


@pytest.mark.parametrize(("reply", "words"), REPLIES.values(), ids=REPLIES.keys())
def test_what_is_no_answer_in_the_declared_schema_is_none(reply: Reply, words: str) -> None:
    """S14: nothing is guessed from half an answer, and the reason fits on a line."""
    found, _ = answered(reply, once=True)

    assert isinstance(found, NoAnswerError)
    assert words in str(found)
    assert len(str(found)) < 300


def test_an_answer_that_takes_too_long_is_none() -> None:
    found, _ = answered(timeout=0.05, once=True, seconds=5)

    assert str(found) == "no answer within 0.05 s"


def test_a_connection_that_breaks_is_no_answer() -> None:
    def reply(side: str, question: str, before: int) -> web.Response:
        raise ConnectionResetError

    found, _ = answered(reply, once=True)

    assert isinstance(found, NoAnswerError)


def test_a_slot_that_is_not_there_gives_no_answer() -> None:
    async def run() -> None:
        async with open_session(1, 5) as session:
            await ask_once(session, ENDPOINT, CASE, ("query",))

    with pytest.raises(NoAnswerError, match="the connection failed"):
        asyncio.run(run())


@pytest.mark.parametrize("name", REPLIES)
def test_no_reason_holds_the_key(name: str) -> None:
    found, _ = answered(REPLIES[name][0], once=True)

    assert "sk-made-up" not in str(found)
    assert "sk-made-up" not in repr(ENDPOINT)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["choices", "usage", "message", "content"]), inner)
    ),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_an_answer_or_a_reason(payload: Any) -> None:
    try:
        parse_answer(CASE, payload, 1.0)
    except NoAnswerError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, and this is the one to look at


@given(st.text() | st.just("half \ud83d a face"))
def test_an_answer_can_always_be_written_down(text: str) -> None:
    """A model that is cut in the middle of a character has answered all the same."""
    payload = {
        "choices": [{"message": {"content": text}}],
        "usage": {"completion_tokens": 1},
    }

    json.dumps(parse_answer(CASE, payload, 1.0).text, ensure_ascii=False).encode()
