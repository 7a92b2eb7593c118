"""Asking a slot: one evaluation case, one HTTP request, one answer or a reason why not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from pipelines.dataset import Case
from pipelines.gates import Answer
from pipelines.targets.base import Endpoint
from release.integrity import parse_json

ATTEMPTS = 3  # a slot that is restarted after a crash is back within a second or two
PAUSE = 0.5  # seconds before the second attempt, twice that before the third


class NoAnswerError(Exception):
    """The slot did not answer as declared; the text says how."""


class UnansweredError(NoAnswerError):
    """Nothing came from it at all, or whoever is in between said so: the slot may know nothing of
    this request.
    """


def request_body(case: Case, endpoint: Endpoint, inputs: tuple[str, ...]) -> dict[str, Any]:
    """The chat request for ``case``, with the inputs that the prompt declares."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "user", "content": case.query}],
    }
    known = {"context": case.context}  # never the truth, whatever an input is called
    extra = {name: known.get(name, "") for name in inputs if name != "query"}
    return {**body, "inputs": extra} if extra else body


def parse_answer(case: Case, payload: Any, seconds: float) -> Answer:
    """The answer in a chat completion. NoAnswerError when it is not in the declared schema."""
    try:
        text = payload["choices"][0]["message"]["content"]
        tokens = payload["usage"]["completion_tokens"]
    except (KeyError, IndexError, TypeError) as error:
        raise NoAnswerError(f"the answer is no chat completion: {error!r} is missing") from None
    if not isinstance(text, str) or not isinstance(tokens, int) or isinstance(tokens, bool):
        raise NoAnswerError("the answer is no chat completion: content or usage has another type")
    if tokens < 1:
        raise NoAnswerError("the answer has no token")
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return Answer(case.id, whole, seconds, tokens)


def open_session(concurrency: int, timeout_seconds: float) -> aiohttp.ClientSession:
    """A client that keeps ``concurrency`` connections; ``timeout_seconds`` bound one answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
    )


async def ask_once(
    session: aiohttp.ClientSession, endpoint: Endpoint, case: Case, inputs: tuple[str, ...]
) -> Answer:
    """One attempt. NoAnswerError says what came instead of an answer."""
    started = time.perf_counter()
    try:
        async with session.post(
            f"{endpoint.url}/v1/chat/completions",
            json=request_body(case, endpoint, inputs),
            headers=endpoint.headers,
        ) as response:
            await _require_ok(response)
            payload = _json(await response.read())
    except TimeoutError:
        raise UnansweredError(f"no answer within {session.timeout.total:g} s") from None
    except aiohttp.ClientError as error:
        raise UnansweredError(f"the connection failed: {error}") from None
    return parse_answer(case, payload, time.perf_counter() - started)


async def ask_stream(
    session: aiohttp.ClientSession, endpoint: Endpoint, case: Case, inputs: tuple[str, ...]
) -> None:
    """One attempt, streamed to its end. NoAnswerError when it has none; nothing is kept."""
    body = {**request_body(case, endpoint, inputs), "stream": True}
    url, tail = f"{endpoint.url}/v1/chat/completions", b""
    try:
        async with session.post(url, json=body, headers=endpoint.headers) as response:
            await _require_ok(response)
            async for chunk in response.content.iter_any():
                tail = (tail + chunk)[-64:]
    except TimeoutError:
        raise UnansweredError(f"no end within {session.timeout.total:g} s") from None
    except aiohttp.ClientError as error:
        raise UnansweredError(f"the connection failed: {error}") from None
    if b"data: [DONE]" not in tail:
        raise NoAnswerError("the stream ended without its end mark")


async def ask(
    session: aiohttp.ClientSession, endpoint: Endpoint, case: Case, inputs: tuple[str, ...]
) -> Answer:
    """As ``ask_once``, with a few attempts: a crash of one process is no verdict on a release."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await ask_once(session, endpoint, case, inputs)
        except NoAnswerError:
            await asyncio.sleep(PAUSE * attempt)
    return await ask_once(session, endpoint, case, inputs)


async def _require_ok(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        kind = UnansweredError if response.status >= 500 else NoAnswerError
        raise kind(f"HTTP status {response.status}: {await _message(response)}")


def _json(raw: bytes) -> Any:
    try:
        return parse_json(raw)
    except ValueError:
        raise NoAnswerError("the answer is not JSON") from None


async def _message(response: aiohttp.ClientResponse) -> str:
    """The message of an OpenAI-shaped error, at most a line of it."""
    try:
        payload = parse_json(await response.read())
        return " ".join(str(payload["error"]["message"]).split())[:200]
    except (ValueError, KeyError, TypeError, aiohttp.ClientError):
        return response.reason or "no reason given"
