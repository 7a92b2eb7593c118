"""The application on its socket, in front of a stand-in for the engine."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from serving.application.engine import Engine
from serving.application.markers import Neutraliser
from serving.application.prompt import load
from serving.application.server import Application
from tests.serving.making import bundle

URL = "http://application"
BODY: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Why?"}],
    "inputs": {"context": "Sky."},
}
WORDS = ("Be", "cause", ".")


def sse(document: Any) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def token(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return sse(
        {
            "id": "1",
            "created": 1,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
    )


class StandIn:
    """Answers like llama.cpp, or fails in the way that a test asks for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.cancelled = asyncio.Event()
        self.fail: str = ""
        self.loading = 0

    async def complete(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.queue.put_nowait(str(self.asked[-1]))
        if self.loading:
            self.loading -= 1
            return web.json_response({"error": {"code": 503, "message": "Loading"}}, status=503)
        if self.fail == "refuse":
            return web.json_response({"error": {"code": 400, "message": "no"}}, status=400)
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            await self._answer(request, response)
        except (asyncio.CancelledError, ConnectionResetError):
            self.cancelled.set()
            raise
        return response

    async def _answer(self, request: web.Request, response: web.StreamResponse) -> None:
        for word in WORDS:
            await response.write(token(word))
            while self.fail == "hang":
                await asyncio.sleep(0.01)
                await response.write(b": ping\n\n")
            if self.fail == "die" and request.transport:
                request.transport.abort()
            if self.fail == "stop":
                return
        await response.write(token(None, "stop"))
        await response.write(sse({"id": "1", "choices": [], "usage": {"total_tokens": 9}}))
        await response.write(b"data: [DONE]\n\n")

    async def was_asked(self, text: str) -> None:
        while text not in await self.queue.get():
            pass

    async def health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})


@contextlib.asynccontextmanager
async def serving(routes: web.Application, socket: Path) -> AsyncIterator[None]:
    runner = web.AppRunner(routes, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        yield
    finally:
        await runner.cleanup()


Check = Callable[[aiohttp.ClientSession, StandIn], Awaitable[None]]


def run(folder: Path, check: Check, prepare: Callable[[StandIn], None] = lambda _: None) -> None:
    """``check`` a running application and its stand-in engine."""

    async def all_of_it() -> None:
        engine = StandIn()
        prepare(engine)
        routes = web.Application()
        routes.router.add_post("/v1/chat/completions", engine.complete)
        routes.router.add_get("/health", engine.health)
        prompt = load(bundle(), "support-bot@aaaaaaa", Neutraliser(()))
        application = Application(prompt, Engine.on_socket(str(folder / "e.sock")))
        connector = aiohttp.UnixConnector(str(folder / "a.sock"))
        async with (
            serving(routes, folder / "e.sock"),
            serving(application.routes(), folder / "a.sock"),
            aiohttp.ClientSession(connector=connector) as session,
        ):
            await check(session, engine)

    asyncio.run(all_of_it())


def failing(how: str) -> Callable[[StandIn], None]:
    def prepare(engine: StandIn) -> None:
        engine.fail = how

    return prepare


async def post(session: aiohttp.ClientSession, **changes: Any) -> tuple[int, Any, Any]:
    async with session.post(f"{URL}/v1/chat/completions", json={**BODY, **changes}) as response:
        return response.status, await response.json(), response.headers


async def healthy(session: aiohttp.ClientSession) -> tuple[int, Any]:
    async with session.get(f"{URL}/health") as response:
        return response.status, await response.json()


async def becomes_healthy(session: aiohttp.ClientSession) -> None:
    while (await healthy(session))[0] != 200:  # noqa: ASYNC110  it is on the other side of HTTP
        await asyncio.sleep(0.01)


def test_a_whole_answer(short: Path) -> None:
    """One JSON document; what was ignored is named in a header."""

    async def check(session: aiohttp.ClientSession, engine: StandIn) -> None:
        status, answer, headers = await post(session, temperature=1, seed=3)

        assert status == 200
        assert answer["choices"][0]["message"]["content"] == "Because."
        assert answer["model"] == "support-bot"
        assert headers["x-greenlight-ignored"] == "seed, temperature"
        assert engine.asked[-1]["temperature"] == 0.0

    run(short, check)


def test_a_stream(short: Path) -> None:
    """Chunk by chunk, ending in [DONE]."""

    async def check(session: aiohttp.ClientSession, _: StandIn) -> None:
        body = {**BODY, "stream": True}
        async with session.post(f"{URL}/v1/chat/completions", json=body) as response:
            assert response.content_type == "text/event-stream"
            lines = [line.strip() async for line in response.content if line.strip()]

        assert lines[-1] == b"data: [DONE]"
        chunks = [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1]]
        texts = [chunk["choices"][0]["delta"].get("content", "") for chunk in chunks]
        assert "".join(texts) == "Because."
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"

    run(short, check)


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_hangs_up_stops_the_engine(short: Path, stream: bool) -> None:
    """Nobody computes an answer that nobody reads."""

    async def check(session: aiohttp.ClientSession, engine: StandIn) -> None:
        asking = asyncio.create_task(post(session, stream=stream))
        await engine.was_asked("Why?")
        asking.cancel()
        await asyncio.wait_for(engine.cancelled.wait(), 60)

    run(short, check, failing("hang"))


def test_s13_an_engine_that_dies_is_an_error(short: Path) -> None:
    """Half an answer is never taken for a whole one."""

    async def check(session: aiohttp.ClientSession, _: StandIn) -> None:
        status, answer, _headers = await post(session)

        assert (status, answer["error"]["code"]) == (502, "engine_unavailable")

    run(short, check, failing("die"))


def test_a_stream_that_breaks_says_so(short: Path) -> None:
    """Its last event is the error, and there is no [DONE]."""

    async def check(session: aiohttp.ClientSession, _: StandIn) -> None:
        body = {**BODY, "stream": True}
        async with session.post(f"{URL}/v1/chat/completions", json=body) as response:
            text = await response.text()

        assert '"code": "engine_unavailable"' in text
        assert "[DONE]" not in text

    run(short, check, failing("die"))


@pytest.mark.parametrize("stream", [False, True])
def test_s13_an_answer_that_ends_in_good_order_without_its_end_mark_is_not_whole(
    short: Path, stream: bool
) -> None:
    """As a proxy may close it, behind which the engine has gone."""

    async def check(session: aiohttp.ClientSession, _: StandIn) -> None:
        body = {**BODY, "stream": stream}
        async with session.post(f"{URL}/v1/chat/completions", json=body) as response:
            text = await response.text()

        assert '"code": "engine_unavailable"' in text
        assert "[DONE]" not in text

    run(short, check, failing("stop"))


def test_a_request_waits_for_an_engine_that_loads(short: Path) -> None:
    """A restart of the engine costs a moment, not an error."""

    async def check(session: aiohttp.ClientSession, engine: StandIn) -> None:
        await becomes_healthy(session)
        engine.loading = 3

        assert (await post(session))[0] == 200

    run(short, check)


def test_a_request_waits_for_an_engine_that_is_not_there(short: Path) -> None:
    """Its socket may be missing, or be the one that a killed engine has left behind."""

    async def check(session: aiohttp.ClientSession, _: StandIn) -> None:
        await becomes_healthy(session)
        (short / "e.sock").rename(short / "gone.sock")
        asking = asyncio.create_task(post(session))
        await asyncio.sleep(0.05)
        assert not asking.done()
        (short / "gone.sock").rename(short / "e.sock")

        assert (await asking)[0] == 200

    run(short, check)


def test_it_is_not_healthy_while_its_engine_is_away(short: Path) -> None:
    """And proves itself again when it is back."""

    async def check(session: aiohttp.ClientSession, engine: StandIn) -> None:
        await becomes_healthy(session)
        proofs = len(engine.asked)
        (short / "e.sock").rename(short / "gone.sock")
        while (await healthy(session))[0] == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (short / "gone.sock").rename(short / "e.sock")
        await becomes_healthy(session)

        assert len(engine.asked) == proofs + 1

    run(short, check)


def test_it_is_healthy_once_a_real_prompt_was_answered(short: Path) -> None:
    """One token, through the release's own prompt."""

    async def check(session: aiohttp.ClientSession, engine: StandIn) -> None:
        await becomes_healthy(session)

        assert engine.asked[0]["max_tokens"] == 1
        assert engine.asked[0]["messages"][0]["content"] == "Answer from the context."

    run(short, check)


def test_s06_it_says_why_it_is_not_healthy(short: Path) -> None:
    """The engine's refusal is the reason."""

    async def check(session: aiohttp.ClientSession, engine: StandIn) -> None:
        await engine.was_asked("Hello")
        await engine.was_asked("Hello")  # again, so the first answer has been taken in
        status, answer = await healthy(session)

        assert status == 503
        assert answer["reason"] == "The engine refused the request: no"

    run(short, check, failing("refuse"))


@pytest.mark.parametrize(
    ("method", "path", "data", "status"),
    [
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/chat/completions", b"[" * 100_000, 400),
        ("POST", "/v1/chat/completions", b"\xff", 400),
        ("POST", "/v1/chat/completions", b" " * (8 * 1024 * 1024 + 1), 413),
        ("GET", "/v1/chat/completions", b"", 405),
        ("GET", "/props", b"", 404),
        ("GET", "/slots", b"", 404),
    ],
)
def test_errors_have_openais_shape(
    short: Path, method: str, path: str, data: bytes, status: int
) -> None:
    """Whatever is wrong."""

    async def check(session: aiohttp.ClientSession, _: StandIn) -> None:
        async with session.request(method, URL + path, data=io.BytesIO(data)) as response:
            answer = await response.json()

        assert response.status == status
        assert set(answer["error"]) == {"message", "type", "code", "param"}

    run(short, check)
