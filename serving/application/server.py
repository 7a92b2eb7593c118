"""The application of one slot: a release's prompt in front of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from aiohttp import web
from aiohttp.typedefs import Middleware

from serving.application import answers
from serving.application.engine import Engine
from serving.application.errors import RequestError, invalid
from serving.application.prompt import QUERY, Prompt, render
from serving.application.requests import Asked, read

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of a request: far above any context, far below what would hurt."""

PROVE_SECONDS, WATCH_SECONDS = 0.1, 1.0
SAMPLE = "Hello"
IGNORED_HEADER = "x-greenlight-ignored"

CHAT = "/v1/chat/completions"
AGAIN = {"Retry-After": "1"}
"""With each 503: seconds after which asking again makes sense."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Events = AsyncIterator[bytes]
Watch = Callable[[web.Request, web.StreamResponse, Events], Events]
"""Sees the events of a stream pass on their way to the caller."""

log = logging.getLogger(__name__)


def unwatched(_: web.Request, __: web.StreamResponse, events: Events) -> Events:
    """Where somebody else counts, as the gateway does."""
    return events


class Application:
    """One release's prompt in front of one engine."""

    def __init__(self, prompt: Prompt, engine: Engine, watch: Watch = unwatched) -> None:
        self.prompt, self.engine, self._watch_stream = prompt, engine, watch
        self.why_not: str | None = "no prompt has been answered yet"
        self.leaving = False
        """Whether it is about to end: it answers, and should be asked nothing new."""

    def routes(self, *outer: Middleware) -> web.Application:
        """What it answers, inside of the middlewares ``outer``."""
        application = self.chat(*outer)
        application.router.add_get("/health", self.health)
        application.cleanup_ctx.append(self._watched)
        return application

    def chat(self, *outer: Middleware) -> web.Application:
        """Its answers to questions alone: a second door, as long as that of ``routes`` is open."""
        middlewares = [*outer, _refusals]
        application = web.Application(client_max_size=BODY_LIMIT, middlewares=middlewares)
        application.router.add_post(CHAT, self.completions)
        return application

    async def health(self, _: web.Request) -> web.Response:
        """200 once the engine has answered a real prompt of this release."""
        if self.leaving:
            return web.json_response({"status": "leaving"}, status=503)
        if self.why_not is None:
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "starting", "reason": self.why_not}, status=503)

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """OpenAI's chat completions, whole or as a stream."""
        asked = read(await _json(request))
        headers = {IGNORED_HEADER: ", ".join(asked.ignored)} if asked.ignored else {}
        async with contextlib.aclosing(self.engine.chunks(render(asked, self.prompt))) as chunks:
            if asked.stream:
                return await self._stream(request, chunks, asked.include_usage, headers)
            whole = [chunk async for chunk in chunks]
        answer = answers.assemble(whole, self.prompt.application, self.prompt.label)
        return web.json_response(answer, headers=headers)

    async def _stream(
        self,
        request: web.Request,
        chunks: AsyncIterator[answers.Chunk],
        include_usage: bool,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        """Chunk by chunk. Nothing is sent before the first: until then an error has a status."""
        kind = {"content-type": "text/event-stream", "cache-control": "no-cache"}
        response = web.StreamResponse(headers={**headers, **kind})
        events = self._events(chunks, include_usage)
        with contextlib.suppress(ConnectionResetError):  # the caller has hung up
            async for event in self._watch_stream(request, response, events):
                if not response.prepared:
                    await response.prepare(request)
                await response.write(event)
            await response.write_eof()
        return response

    async def _events(self, chunks: AsyncIterator[answers.Chunk], include_usage: bool) -> Events:
        """The events of one stream. An error after the first is an event itself, and the last."""
        prompt, begun = self.prompt, False
        try:
            async for chunk in chunks:
                ours = answers.rewrite(chunk, prompt.application, prompt.label, include_usage)
                if ours is not None:
                    begun = True
                    yield answers.event(ours)
            yield answers.DONE
        except RequestError as error:
            if not begun:
                raise
            yield answers.event(error.document())

    async def _watched(self, _: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await self.engine.close()

    async def _watch(self) -> None:
        """Prove that prompts are answered; again whenever the engine has been away."""
        while True:
            if self.why_not is None and not await self.engine.alive():
                self.why_not = "the engine does not answer"
            if self.why_not is not None:
                self.why_not = await self.prove()
            await asyncio.sleep(WATCH_SECONDS if self.why_not is None else PROVE_SECONDS)

    async def prove(self) -> str | None:
        """Ask for one token through the release's own prompt; None, or why it was not answered."""
        inputs = {name: SAMPLE for name in self.prompt.inputs if name != QUERY}
        try:
            body = render(replace(Asked(SAMPLE), inputs=inputs, max_tokens=1), self.prompt)
            async with contextlib.aclosing(self.engine.chunks(body)) as chunks:
                whole = [chunk async for chunk in chunks]
            answers.assemble(whole, self.prompt.application, self.prompt.label)
        except RequestError as error:
            return str(error)
        return None


async def _json(request: web.Request) -> object:
    try:
        document: object = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise invalid("The body must be JSON.") from error
    return document


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in OpenAI's shape, whatever raised them; never with content in them."""
    try:
        return await handler(request)
    except RequestError as error:
        failure = error
    except web.HTTPException as error:
        failure = RequestError(error.status, error.reason, code="http_error")
    except Exception as error:
        log.error("request failed: %s", type(error).__name__)
        failure = RequestError(500, "The application failed.", code="internal_error")
    headers = AGAIN if failure.status == 503 else None
    return web.json_response(failure.document(), status=failure.status, headers=headers)
