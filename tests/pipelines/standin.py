"""A stand-in for a slot: it answers chat requests as a test tells it, and remembers them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from pipelines.targets.base import Endpoint

Reply = Callable[[str, str, int], web.Response]
"""Side, question and how often it was asked before, to the answer."""

KEY = "Bearer sk-made-up-0123456789"


def completion(text: str = "green", **changes: Any) -> web.Response:
    """A chat completion, whole unless ``changes`` say otherwise."""
    body: dict[str, Any] = {
        "choices": [{"message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
    }
    return web.json_response({**body, **changes})


@dataclass
class StandIn:
    """What was asked, of which side, and how many were asked at the same time."""

    base: str
    reply: Reply = lambda side, question, before: completion()
    seconds: float = 0.0
    together: int = 0
    """Nobody is answered before so many are waiting; afterwards everybody is."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    _now: int = 0
    _enough: asyncio.Event = field(default_factory=asyncio.Event)

    def endpoint(self, side: str) -> Endpoint:
        """Where to ask ``side``."""
        return Endpoint(f"{self.base}/{side}", {"Authorization": KEY}, "tiny-bot")

    def questions(self, side: str) -> list[str]:
        """What ``side`` was asked, in order."""
        return [question for asked, question in self.asked if asked == side]

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request."""
        side, body = request.match_info["side"], await request.json()
        question = body["messages"][-1]["content"]
        before = self.questions(side).count(question)
        self.asked.append((side, question))
        self.bodies.append(body)
        self.headers.append(request.headers)
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        if self._now >= self.together:
            self._enough.set()
        try:
            await self._enough.wait()
            await asyncio.sleep(self.seconds)
            return self.reply(side, question, before)
        finally:
            self._now -= 1


@contextlib.asynccontextmanager
async def standing_in() -> AsyncIterator[StandIn]:
    """A stand-in on a port that the kernel gives, for as long as the test needs it."""
    server = StandIn("")
    app = web.Application()
    app.router.add_post("/{side}/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
