"""One pod of a slot: the release's application, counted as the gateway counts.

On Kubernetes no gateway of ours stands in front: whoever routes there is told by ``/health``
whom to ask, and Prometheus by ``/metrics`` what came of it. ``/alive`` says only that this
process still turns: a pod that waits for its model server is not to be started again.
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
from serving.counting.counts import Ending, SlotCounts, ending_of
from serving.counting.families import CONTENT_TYPE
from serving.counting.visits import TICK_SECONDS, Stays, Visit, hang_up
from serving.headers import PIN, RELEASE, REQUEST_ID, SYNTHETIC, request_id
from serving.log import log
from serving.pod.bundle import Bundle
from serving.pod.metrics import Metrics

SERVER = "greenlight"
QUIET_SECONDS = 1.0
"""Without a request for so long a pod that has to go has seen the last of them: proxies learn
late that it leaves, and may be on their way with one."""

TELL_SECONDS = 6.0
"""How long its last numbers wait to be read; a PodMonitor of ours reads every 5 s."""

LINGER_SECONDS = 1.0
"""What connections get at the very end, after everything in flight was finished or cut."""

VISIT = web.RequestKey("visit", Visit)


class Pod:
    """The application of ``bundle`` in ``slot``, in front of ``engine``."""

    def __init__(self, bundle: Bundle, slot: str, engine: Engine) -> None:
        self._place, self._label = (slot, bundle.release), bundle.prompt.label
        self._refusal = bundle.refusal or Phrases(())
        self._application = Application(bundle.prompt, engine, self._watch)
        self._name, self._created = bundle.prompt.application, int(time.time())
        self._counts, self._stays = SlotCounts(), Stays()
        self._metrics = Metrics(
            self._name, self._place, self._counts, self._stays.in_flight, bool(bundle.refusal)
        )
        self._left_at = 0.0
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            handler_cancellation=True,  # a caller who hangs up stops the engine's work
            shutdown_timeout=LINGER_SECONDS,
        )

    async def start(self, host: str, port: int) -> int:
        """Serve on ``host`` and ``port``, or any for 0; the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        _, port = self._runner.addresses[0][:2]
        log.info("started", extra={"port": port, "slot": self._place[0]})
        return port

    async def drain(self, seconds: float) -> int:
        """Go: not ready from now on, and answering until nothing comes, or for ``seconds``.

        How many answers that took from callers.
        """
        self._application.leaving = True
        log.info("leaving", extra={"in_flight": self._stays.in_flight()})
        await self._until(self._quiet_since(_now()), seconds)
        cut = self._stays.cut()
        await self._stays.until_empty(LINGER_SECONDS)  # each cut is counted when it is felt
        await self._until(lambda: self._metrics.told, TELL_SECONDS)
        cut += self._stays.cut()  # what came in these last seconds
        await self._runner.cleanup()
        log.info("stopped", extra={"cut": cut})
        return cut

    def _quiet_since(self, begun: float) -> Callable[[], bool]:
        """Whether nothing was in flight for a while."""
        return lambda: (
            not self._stays.in_flight() and _now() - max(begun, self._left_at) >= QUIET_SECONDS
        )

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        end = _now() + seconds
        while not holds() and _now() < end:  # noqa: ASYNC110 - two reasons to end
            await asyncio.sleep(TICK_SECONDS)

    def _app(self) -> web.Application:
        app = self._application.routes(self._counted)
        app.on_response_prepare.append(self._stamp)
        app.add_routes(
            [
                web.get("/alive", _alive, allow_head=False),
                web.get("/v1/models", self._models, allow_head=False),
                web.get("/metrics", self._get_metrics, allow_head=False),
            ]
        )
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
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every chat request is in flight while it is here, and has one ending."""
        if (request.method, request.path) != ("POST", CHAT):
            return await handler(request)
        synthetic = request.headers.get(SYNTHETIC) == "1"
        visit = Visit(*self._place, synthetic, self._counts, self._refusal.held_by)
        request[VISIT] = visit
        try:
            with self._stays.inside(visit):
                return await _ended(request, handler, visit)
        finally:
            self._left_at = _now()

    async def _watch(
        self, request: web.Request, response: web.StreamResponse, events: Events
    ) -> Events:
        """The times of a stream's events. Its end mark is none of them."""
        visit = request[VISIT]
        since = _now()
        async for event in events:
            if visit.answer.pass_on(event):
                visit.end(Ending.WHOLE)
            elif visit.begun is None:
                visit.begin(response)
            else:
                visit.waited(_now() - since)
            yield event
            since = _now()  # not before: a slow reader is not the slot's doing
        visit.end(Ending.TRUNCATED)


async def _ended(request: web.Request, handler: Handler, visit: Visit) -> web.StreamResponse:
    """The answer, or what is told instead; counted before the caller can know."""
    try:
        async with visit.fuse:
            response = await handler(request)
    except TimeoutError:  # the fuse's, lit by a drain that is over
        visit.end(Ending.CUT)
        return _cut() if visit.begun is None else hang_up(request, visit.begun)
    except (ConnectionError, asyncio.CancelledError):  # the caller has gone
        visit.end(Ending.ABANDONED)
        raise asyncio.CancelledError from None
    if isinstance(response, web.Response):
        visit.answer.add(response.body if isinstance(response.body, bytes) else b"")
        visit.end(ending_of(response.status))
    visit.end(Ending.ABANDONED)  # a stream that was left before its end
    return response


def _cut() -> web.Response:
    error = RequestError(503, "This pod had to end before it had answered.", code="slot_retired")
    return web.json_response(error.document(), status=error.status, headers=AGAIN)


async def _alive(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


def _now() -> float:
    return asyncio.get_running_loop().time()
