"""An environment for the tests: a gateway, stand-in applications behind it, people before it."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec

import aiohttp
from aiohttp import hdrs, web

from release.files import write_json
from serving.gateway.app import Gateway
from serving.gateway.limits import Limits

P = ParamSpec("P")
APPLICATION = "support-bot"
KEYS = {"user": "key-of-a-user", "tester": "key-of-a-tester", "operator": "key-of-an-operator"}
CHAT = "/v1/chat/completions"
EVENT, DONE = b'data: {"choices": []}\n\n', b"data: [DONE]\n\n"
LIMITS = Limits(body_bytes=10_000, patience_seconds=20, silence_seconds=20, grace_seconds=2)
"""For all that is answered in the end, however busy the machine is."""

IMPATIENT = replace(LIMITS, patience_seconds=0.4, silence_seconds=0.4)
"""For tests of what follows when patience is at its end."""


def story(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*arguments: P.args, **fixtures: P.kwargs) -> None:
        asyncio.run(test(*arguments, **fixtures))

    return run


def release_in(slot: str) -> str:
    """The release that a stand-in in ``slot`` is said to serve."""
    return f"{APPLICATION}@{hashlib.sha256(slot.encode()).hexdigest()[:7]}"


class StandIn:
    """An application on ``run/SLOT.sock`` that does what the request's ``do`` says."""

    def __init__(self, folder: Path, slot: str) -> None:
        self.slot, self.path = slot, folder / "run" / f"{slot}.sock"
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.flooded = 0
        self.lines: dict[str, str] = {}
        """What it says instead of what it is told to say."""
        self.cancelled = asyncio.Event()
        self.gate = asyncio.Event()
        """What ``hold`` and ``hold-stream`` wait for in the middle of their answer."""
        self._runner: web.AppRunner | None = None

    async def start(self, backlog: int = 128) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_post(CHAT, self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        self.path.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self.path), backlog=backlog).start()

    async def stop(self) -> None:
        """Be gone, as a crash would leave it: connections closed, the socket's file still there."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        do = json.loads(self.bodies[-1]).get("do", "answer-at-once")
        what = self.lines.get(do, do).replace("-", "_")
        try:
            answer: web.StreamResponse = await getattr(self, f"_{what}")(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return answer

    async def _answer_at_once(self, _: web.Request) -> web.Response:
        message = {"role": "assistant", "content": f"I am {self.slot}."}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": APPLICATION}
        headers = {
            "x-from-slot": "kept",
            "x-greenlight-ignored": "kept",
            "x-greenlight-slot": "forged",
            "Set-Cookie": "a=b",
        }
        return web.json_response(answer | {"choices": [choice]}, headers=headers)

    async def _say(self, _: web.Request) -> web.Response:
        message = {"role": "assistant", "content": self._line()}
        return web.json_response({"choices": [{"index": 0, "message": message}]})

    async def _say_in_parts(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        for letter in self._line():
            await response.write(chunk(letter))
        await response.write(DONE)
        return response

    def _line(self) -> str:
        text = str(json.loads(self.bodies[-1])["text"])
        return self.lines.get(text, text)

    async def _fail(self, _: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=500)

    async def _decline(self, _: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "too long"}}, status=400)

    async def _redirect(self, _: web.Request) -> web.Response:
        return web.Response(status=307, headers={hdrs.LOCATION: CHAT})

    async def _hold(self, request: web.Request) -> web.Response:
        await self.gate.wait()
        return await self._answer_at_once(request)

    async def _vanish(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def _garble(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.write(b"this is not HTTP\r\n\r\n")
        return web.Response()

    async def _break(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={hdrs.CONTENT_LENGTH: "1000"})
        await response.prepare(request)
        await response.write(b'{"half": ')
        return await self._sever(request, response)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(chunk("Hello"))
        await response.write(chunk(" there"))
        await response.write(DONE)
        return response

    async def _hold_stream(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(EVENT)
        await self.gate.wait()
        await response.write(EVENT + DONE)
        return response

    async def _stream_without_done(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(EVENT + chunk("data: [DONE]"))
        return response

    async def _stream_of_nothing(self, request: web.Request) -> web.StreamResponse:
        return await self._begin(request)

    async def _break_stream(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(EVENT)
        return await self._sever(request, response)

    async def _break_stream_after_done(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        await response.write(EVENT + DONE[:9])
        await asyncio.sleep(0.05)  # so that they are read apart
        await response.write(DONE[9:])
        return await self._sever(request, response)

    async def _flood(self, request: web.Request) -> web.StreamResponse:
        response = await self._begin(request)
        while True:
            await response.write(EVENT * 10_000)
            self.flooded += len(EVENT) * 10_000

    async def settled(self) -> None:
        """Return when ``flood`` can write no more."""
        before = -1
        while self.flooded != before:
            before = self.flooded
            await asyncio.sleep(0.1)

    @staticmethod
    async def _begin(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "text/event-stream"})
        await response.prepare(request)
        return response

    @staticmethod
    async def _sever(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        await asyncio.sleep(0.05)  # let the part that was written arrive
        assert request.transport is not None
        request.transport.close()
        return response


def chunk(content: str) -> bytes:
    """One event of a streamed completion."""
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": None}
    event = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": APPLICATION}
    return b"data: " + json.dumps(event | {"choices": [choice]}).encode() + b"\n\n"


@dataclass(frozen=True)
class Answer:
    """What a caller got."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error's code; the answer has to be an error in OpenAI's shape."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "code", "param"}
        assert error["message"]
        return str(error["code"])

    @property
    def slot(self) -> str | None:
        return self.headers.get("x-greenlight-slot")


class World:
    """One environment with its gateway in this process."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.apps: dict[str, StandIn] = {}
        self.ready: dict[str, bool] = {}
        self.now = 1000.0
        """The clock by which rates are limited."""
        self.points = iter(lambda: 0.0, None)
        """Where on the line of weights the next requests fall."""

    async def open(self, stack: AsyncExitStack, slots: tuple[str, ...]) -> None:
        write_settings(self.folder)
        for slot in slots:
            self.apps[slot] = StandIn(self.folder, slot)
            await self.apps[slot].start()
            stack.push_async_callback(self.apps[slot].stop)
        self.say_ready(**dict.fromkeys(slots, True))
        self.gateway = Gateway(
            self.folder, self.limits, lambda: next(self.points), lambda: self.now
        )
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await self.gateway.start(listener)
        stack.push_async_callback(self.gateway.stop)
        connector = aiohttp.TCPConnector(limit=0)
        self.client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    def say_ready(self, **ready: bool) -> None:
        """Write endpoints.json as the supervisor would; slots not named are as they were."""
        self.ready |= ready
        write_endpoints(self.folder, self.ready)

    async def call(self, method: str, path: str, role: str = "operator", **options: Any) -> Answer:
        headers = {"Authorization": f"Bearer {KEYS[role]}"} | options.pop("headers", {})
        async with self.client.request(
            method, self.url + path, headers=headers, **options
        ) as response:
            low = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, low, await response.read())

    async def ask(self, do: str = "answer-at-once", role: str = "user", **headers: str) -> Answer:
        """Ask the application something; ``_`` in a header's name stands for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", CHAT, role, json={"do": do}, headers=named)

    async def say(self, text: str, do: str = "say", **headers: str) -> Answer:
        """Make the application say ``text``, or ``say-in-parts`` letter by letter."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.call("POST", CHAT, "user", json={"do": do, "text": text}, headers=named)

    async def route(self, fence: int = 1, **weights: int) -> Answer:
        return await self.put({"fence": fence, "weights": weights})

    async def put(self, routes: dict[str, Any]) -> Answer:
        return await self.call("PUT", "/-/routes", json=routes)

    async def mirror(self, slot: str, percent: int = 100, **weights: int) -> Answer:
        """Mirror to ``slot``; all traffic goes to blue unless told otherwise."""
        mirror = {"slot": slot, "percent": percent}
        return await self.put({"fence": 1, "weights": weights or {"blue": 100}, "mirror": mirror})

    async def drain(self, slot: str, seconds: float) -> Answer:
        return await self.call("POST", f"/-/drain/{slot}", json={"deadline_seconds": seconds})

    async def counts(self, slot: str) -> Any:
        return (await self.call("GET", "/-/counts")).json["slots"][slot]

    async def mirrored(self, slot: str, **expected: int) -> Any:
        """The mirror's counts of ``slot``, once they are as expected: copies have their time."""
        while True:
            counts = (await self.counts(slot))["mirror"]
            if {name: counts[name] for name in expected} == expected:
                return counts
            await asyncio.sleep(0.005)

    async def until_in_flight(self, slot: str, number: int) -> None:
        while (await self.counts(slot))["in_flight"] != number:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.005)


@asynccontextmanager
async def world(
    folder: Path,
    slots: tuple[str, ...] = ("blue", "green"),
    weights: dict[str, int] | None = None,
    limits: Limits = LIMITS,
) -> AsyncIterator[World]:
    """An environment whose slots are all ready; all traffic goes to blue unless told otherwise."""
    routed = {"blue": 100} if weights is None else weights
    write_json(folder / "routes.json", {"fence": 1, "weights": routed})
    async with untouched_world(folder, slots, limits) as environment:
        yield environment


@asynccontextmanager
async def untouched_world(
    folder: Path, slots: tuple[str, ...] = ("blue", "green"), limits: Limits = LIMITS
) -> AsyncIterator[World]:
    """As ``world``, with the routes that are in the folder already."""
    async with AsyncExitStack() as stack, asyncio.timeout(120):
        environment = World(folder, limits)
        await environment.open(stack, slots)
        yield environment


def write_callers(folder: Path, **rates: dict[str, float]) -> None:
    """One caller a role, with a rate where one is given."""
    callers = [
        {
            "name": role,
            "role": role,
            "sha256": hashlib.sha256(key.encode()).hexdigest(),
            "rate": rates.get(role),
        }
        for role, key in KEYS.items()
    ]
    write_json(folder / "callers.json", {"callers": callers})


def write_settings(folder: Path, refusal: tuple[str, ...] = ()) -> None:
    """The files that the environment's creator writes."""
    (folder / "run").mkdir(exist_ok=True)
    write_callers(folder)
    settings = {"application": APPLICATION, "environment": "production", "refusal": refusal}
    write_json(folder / "gateway.json", settings | {"host": "127.0.0.1", "port": 0})


def write_endpoints(folder: Path, ready: dict[str, bool]) -> None:
    """The file that the supervisor writes."""
    slots = {
        slot: {"socket": f"run/{slot}.sock", "release": release_in(slot), "ready": is_ready}
        for slot, is_ready in ready.items()
    }
    write_json(folder / "endpoints.json", {"slots": slots})
