"""One pod of a slot: the release's application, counted as the gateway counts.

On Kubernetes no gateway of ours stands in front: whoever routes there is told by ``/health``
whom to ask, and Prometheus by ``/metrics`` what came of it. ``/alive`` says only that this
process still turns: a pod that waits for its model server is not to be started again.

A route's mirror cannot mark what it copies, but it can send it to another port. What comes in by
that door is a copy, which nobody waits for and which no user's number knows of.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiohttp import hdrs, web

from serving.application.engine import Engine
from serving.application.errors import RequestError
from serving.application.server import AGAIN, CHAT, Application, Events, Handler
from serving.counting.answers import Phrases
from serving.counting.counts import Ending, ending_of
from serving.counting.families import CONTENT_TYPE
from serving.counting.visits import TICK_SECONDS, Copy, Stay, Stays, Visit, hang_up
from serving.gateway.errors import not_a_tester
from serving.headers import PIN, RELEASE, REQUEST_ID, request_id
from serving.log import log
from serving.pod.bundle import Bundle
from serving.pod.metrics import Metrics, Tally
from serving.pod.testers import Testers

SERVER = "greenlight"
QUIET_SECONDS = 1.0
"""Without a request for so long a pod that has to go has seen the last of them: proxies learn
late that it leaves, and may be on their way with one."""

TELL_SECONDS = 6.0
"""How long its last numbers wait to be read; a PodMonitor of ours reads every 5 s."""

LINGER_SECONDS = 1.0
"""What connections get at the very end, after everything in flight was finished or cut."""

STAY = web.RequestKey("stay", Stay)


class Pod:
    """The application of ``bundle`` in ``slot``, in front of ``engine``."""

    def __init__(
        self, bundle: Bundle, slot: str, engine: Engine, testers: Testers | None = None
    ) -> None:
        self._testers = testers or Testers()
        self._place, self._label = (slot, bundle.release), bundle.prompt.label
        self._refusal = bundle.refusal or Phrases(())
        self._application = Application(bundle.prompt, engine, self._watch)
        self._name, self._created = bundle.prompt.application, int(time.time())
        self._tally = Tally()
        self._metrics = Metrics(self._name, self._place, self._tally, bool(bundle.refusal))
        self._left_at = 0.0
        self._callers, self._mirror = _runner(self._app()), _runner(self._door_for_copies())

    async def start(self, host: str, port: int, copies: int) -> tuple[int, int]:
        """Serve callers on ``port`` of ``host`` and a mirror's copies on the port ``copies``, any
        for 0; both ports.
        """
        port = await _listen(self._callers, host, port)
        copies = await _listen(self._mirror, host, copies)
        log.info("started", extra={"port": port, "copies": copies, "slot": self._place[0]})
        return port, copies

    async def drain(self, seconds: float) -> int:
        """Go: not ready from now on, and answering until nothing comes, or for ``seconds``.

        How many answers that took from callers.
        """
        self._application.leaving = True
        visits = self._tally.visits
        log.info("leaving", extra={"in_flight": visits.in_flight()})
        await self._until(self._quiet_since(_now()), seconds)
        cut = self._cut()
        await visits.until_empty(LINGER_SECONDS)  # each cut is counted when it is felt
        await self._until(lambda: self._metrics.told, TELL_SECONDS)
        cut += self._cut()  # what came in these last seconds
        await asyncio.gather(self._callers.cleanup(), self._mirror.cleanup())
        log.info("stopped", extra={"cut": cut})
        return cut

    def _cut(self) -> int:
        self._tally.copying.cut()
        return self._tally.visits.cut()

    def _quiet_since(self, begun: float) -> Callable[[], bool]:
        """Whether no request was in flight for a while: nobody waits for copies."""
        return lambda: (
            not self._tally.visits.in_flight()
            and _now() - max(begun, self._left_at) >= QUIET_SECONDS
        )

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        end = _now() + seconds
        while not holds() and _now() < end:  # noqa: ASYNC110 - two reasons to end
            await asyncio.sleep(TICK_SECONDS)

    def _app(self) -> web.Application:
        app = self._application.routes(self._admitted, self._counted)
        app.on_response_prepare.append(self._stamp)
        app.add_routes(
            [
                web.get("/alive", _alive, allow_head=False),
                web.get("/v1/models", self._models, allow_head=False),
                web.get("/metrics", self._get_metrics, allow_head=False),
            ]
        )
        return app

    def _door_for_copies(self) -> web.Application:
        app = self._application.chat(self._admitted, self._copied)
        app.on_response_prepare.append(self._stamp)
        return app

    async def _models(self, _: web.Request) -> web.Response:
        model = {
            "id": self._name, "object": "model", "created": self._created, "owned_by": SERVER,
        }  # fmt: skip
        return web.json_response({"object": "list", "data": [model]})

    async def _get_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.page(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def _stamp(self, request: web.Request, response: web.StreamResponse) -> None:
        given = {
            hdrs.SERVER: SERVER, REQUEST_ID: request_id(request), PIN: self._place[0],
            RELEASE: self._label,
        }  # fmt: skip
        response.headers.update(given)
        if self._application.leaving:  # whoever knows sends its next request to another pod
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()

    @web.middleware
    async def _admitted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """What may not name a slot is refused before it counts: no slot pays for it."""
        if request.path.startswith("/v1/") and self._testers.refuse(request):
            return not_a_tester().response()
        return await handler(request)

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every chat request is in flight while it is here, and has one ending."""
        if not _is_chat(request):
            return await handler(request)
        synthetic, tally = self._testers.is_synthetic(request), self._tally
        visit = Visit(*self._place, synthetic, tally.requests, self._refusal.held_by)
        try:
            return await _inside(tally.visits, visit, request, handler)
        finally:
            self._left_at = _now()

    @web.middleware
    async def _copied(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The same of every copy, among copies."""
        if not _is_chat(request):
            return await handler(request)
        copy = Copy(*self._place, self._tally.copies, limit=0)
        return await _inside(self._tally.copying, copy, request, handler)

    async def _watch(
        self, request: web.Request, response: web.StreamResponse, events: Events
    ) -> Events:
        """The times of a stream's events. Its end mark is none of them."""
        stay = request[STAY]
        since = _now()
        async for event in events:
            if stay.answer.pass_on(event):
                stay.end(Ending.WHOLE)
            elif stay.begun is None:
                stay.begin(response)
            else:
                stay.waited(_now() - since)
            yield event
            since = _now()  # not before: a slow reader is not the slot's doing
        stay.end(Ending.TRUNCATED)


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,  # a caller who hangs up stops the engine's work
        shutdown_timeout=LINGER_SECONDS,
    )


async def _listen(runner: web.AppRunner, host: str, port: int) -> int:
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return int(runner.addresses[0][1])


def _is_chat(request: web.Request) -> bool:
    return (request.method, request.path) == ("POST", CHAT)


async def _inside(
    stays: Stays, stay: Stay, request: web.Request, handler: Handler
) -> web.StreamResponse:
    request[STAY] = stay
    with stays.inside(stay):
        return await _ended(request, handler, stay)


async def _ended(request: web.Request, handler: Handler, stay: Stay) -> web.StreamResponse:
    """The answer, or what is told instead; counted before the caller can know."""
    try:
        async with stay.fuse:
            response = await handler(request)
    except TimeoutError:  # the fuse's, lit by a drain that is over
        stay.end(Ending.CUT)
        return _retired() if stay.begun is None else hang_up(request, stay.begun)
    except (ConnectionError, asyncio.CancelledError):  # the caller has gone
        stay.end(Ending.ABANDONED)
        raise asyncio.CancelledError from None
    if isinstance(response, web.Response):
        stay.answer.add(response.body if isinstance(response.body, bytes) else b"")
        stay.end(ending_of(response.status))
    stay.end(Ending.ABANDONED)  # a stream that was left before its end
    return response


def _retired() -> web.Response:
    error = RequestError(503, "This pod had to end before it had answered.", code="slot_retired")
    return web.json_response(error.document(), status=error.status, headers=AGAIN)


async def _alive(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _now() -> float:
    return asyncio.get_running_loop().time()
