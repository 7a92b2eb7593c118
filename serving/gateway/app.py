"""One gateway process: its parts, its doors, its beginning and its end."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import hdrs, web

from serving.counting.families import CONTENT_TYPE
from serving.gateway.admin import Admin
from serving.gateway.callers import Callers
from serving.gateway.courier import CHAT, Courier
from serving.gateway.errors import ApiError
from serving.gateway.intake import (
    ALLOWANCE,
    ID,
    admit_asking,
    admit_operator,
    admit_watching,
    read_ask,
)
from serving.gateway.limits import Limits
from serving.gateway.metrics import Metrics
from serving.gateway.mirror import Mirror
from serving.gateway.proxy import Proxy
from serving.gateway.rates import Rates
from serving.gateway.routes import RouteStore
from serving.gateway.settings import FILE, Settings
from serving.gateway.slots import Slots
from serving.gateway.watched import Watched, load
from serving.headers import REQUEST_ID, request_id
from serving.log import log

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SERVER = "greenlight"
_draw = secrets.SystemRandom().random
LINGER_SECONDS = 1.0
"""What connections get at the very end, after everything in flight was finished or cut."""


class Gateway:
    """Everything between the listening socket and the slots of one environment."""

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        point: Callable[[], float] = _draw,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._settings = load(folder / FILE, Settings)
        self._callers = Watched(folder / "callers.json", Callers)
        self._rates = Rates(clock)
        self._slots = Slots(folder, limits)
        routes = RouteStore(folder)
        self._courier = Courier(self._slots, limits)
        self._mirror = Mirror(routes, self._slots, self._courier, limits, point)
        self._proxy = Proxy(routes, self._slots, self._courier, self._mirror, limits, point)
        self._metrics = Metrics(self._settings.application, self._slots, routes, self._rates)
        self._admin = Admin(routes, self._slots)
        self._created = int(time.time())
        self._stopping = False
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=LINGER_SECONDS,
        )

    async def start(self, listener: socket.socket) -> None:
        """Serve on ``listener``, which becomes ours to close."""
        await self._runner.setup()
        await web.SockSite(self._runner, listener, backlog=self._limits.backlog).start()
        log.info("started", extra=self._settings.model_dump())

    async def stop(self) -> None:
        """Accept nobody new, let what is in flight finish within the grace, cut the rest."""
        self._stopping = True
        for site in self._runner.sites:
            await site.stop()
        await self._mirror.close()
        await self._slots.until_empty(self._limits.grace_seconds)
        cut = self._slots.cut()
        await self._runner.cleanup()
        await self._courier.close()
        log.info("stopped", extra={"cut": cut})

    def _app(self) -> web.Application:
        app = web.Application(
            client_max_size=self._limits.body_bytes, middlewares=[web.middleware(_in_shape)]
        )
        app.on_response_prepare.append(self._stamp)
        operator = self._operator
        app.add_routes(
            [
                web.post(CHAT, self._chat),
                web.get("/v1/models", self._models, allow_head=False),
                web.get("/metrics", self._get_metrics, allow_head=False),
                web.get("/-/health", _health, allow_head=False),
                web.get("/-/routes", operator(self._admin.get_routes), allow_head=False),
                web.put("/-/routes", operator(self._admin.put_routes)),
                web.get("/-/counts", operator(self._admin.get_counts), allow_head=False),
                web.post("/-/drain/{slot}", operator(self._admin.drain)),
            ]
        )
        return app

    def _operator(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            admit_operator(request, self._callers)
            return await handler(request)

        return guarded

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        caller = admit_asking(request, self._callers, self._rates)
        ask = await read_ask(request, caller, self._settings.application)
        return await self._proxy.forward(request, ask)

    async def _models(self, request: web.Request) -> web.Response:
        admit_asking(request, self._callers, self._rates)
        model = {
            "id": self._settings.application,
            "object": "model",
            "created": self._created,
            "owned_by": SERVER,
        }
        return web.json_response({"object": "list", "data": [model]})

    async def _get_metrics(self, request: web.Request) -> web.Response:
        admit_watching(request, self._callers)
        page = self._metrics.page()
        return web.Response(body=page, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    async def _stamp(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers[hdrs.SERVER] = SERVER
        response.headers[REQUEST_ID] = request[ID]
        response.headers.update(request.get(ALLOWANCE, {}))
        if self._stopping:  # a client that knows does not send its next request down here
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _in_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong is told in OpenAI's shape, and nothing of it twice."""
    request[ID] = request_id(request)
    try:
        return await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPException as error:
        code = (error.reason or "error").lower().replace(" ", "_")
        allow = {k: v for k, v in error.headers.items() if k == hdrs.ALLOW}
        return ApiError(error.status, code, f"{error.reason}.", headers=allow).response()
    except Exception:
        log.exception("request failed by our own fault", extra={"request": request[ID]})
        if request.writer.output_size:
            raise
        return ApiError(500, "internal_error", "The gateway itself failed.").response()
