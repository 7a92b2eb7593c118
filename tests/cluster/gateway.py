"""A Gateway of the tests: it routes real requests to real pods, by the HTTPRoutes of a namespace.

What rollouts lean on is kept: a route changes as a whole, what has begun is finished where it
began, and a route's status says which generation is in force only once it is. Faults are asked
for: ``stuck`` and ``refuse``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from tests.cluster.api import AWAY, Api, Object, Refused, Watched, until_known
from tests.cluster.endpoints import Endpoints, Nowhere
from tests.cluster.pod_status import moment
from tests.cluster.routes import Backend, Request, Rule, choose, rules, services, unsupported
from tests.serving.pods import HOST

GROUP = "gateway.networking.k8s.io"
PREFIX = f"/apis/{GROUP}/v1"
CLASS = "greenlight-tests"
CONTROLLER = "tests.greenlight.dev/gateway"
TICK_SECONDS = 0.02
BODY_BYTES = 64 * 1024 * 1024
NOT_OURS = frozenset(
    name.lower() for name in (
        hdrs.CONNECTION, hdrs.KEEP_ALIVE, hdrs.PROXY_AUTHENTICATE, hdrs.PROXY_AUTHORIZATION,
        hdrs.TE, hdrs.TRAILER, hdrs.TRANSFER_ENCODING, hdrs.UPGRADE,
    )
)  # fmt: skip
"""Headers that are of one connection and not of the message (RFC 9110, 7.6.1)."""


class Gateway:
    """Listens on ``url`` from ``start`` to ``close``; ``run`` follows the routes.

    ``stuck``: while it is true, nothing is followed and nothing reported.
    """

    def __init__(self, api: Api, routes: Watched, endpoints: Endpoints, services_: Watched,
                 name: str, namespace: str) -> None:  # fmt: skip
        self._api, self._routes, self._endpoints = api, routes, endpoints
        self._services = services_
        self.name, self.namespace, self.url = name, namespace, ""
        self.stuck = False
        self._refusal = ""
        self._table: dict[str, tuple[Object, Sequence[Rule]]] = {}
        """By the route's uid: the route as it is in force, and its rules."""
        self._copies: set[asyncio.Task[None]] = set()
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=0.1,
            auto_decompress=False,
        )

    def refuse(self, reason: str) -> None:
        """From now on no change is accepted, for ``reason``, such as ``UnsupportedValue``: what
        was in force before stays. "" ends that.
        """
        self._refusal = reason

    async def start(self) -> None:
        """Listen, and register the Gateway as one that is programmed."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=timeout,
            cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False,
        )  # fmt: skip
        await self._runner.setup()
        listener = socket.socket()
        listener.bind((HOST, 0))
        await web.SockSite(self._runner, listener, backlog=512).start()
        port = int(listener.getsockname()[1])
        self.url = f"http://{HOST}:{port}"
        await self._register(port)

    async def run(self) -> None:
        """Follow the routes, for ever."""
        seen: tuple[Any, ...] = ()
        while True:
            now = (self._routes.count, self._services.count, self._refusal)
            if not self.stuck and now != seen:
                seen = now
                await self._follow()
            await asyncio.sleep(TICK_SECONDS)

    async def close(self) -> None:
        """Take the Gateway away and stop listening."""
        for copy in list(self._copies):
            copy.cancel()
        await self._runner.cleanup()
        await self._session.close()
        with suppress(*AWAY, Refused):
            await self._api.delete(f"{self._path}/{self.name}")

    # What is in force, and what is told of it.

    @property
    def _path(self) -> str:
        return f"{PREFIX}/namespaces/{self.namespace}/gateways"

    async def _follow(self) -> None:
        ours = [one for one in self._routes.objects.values() if self._parents(one)]
        self._table = {one["metadata"]["uid"]: taken for one in ours if (taken := self._taken(one))}
        for route in ours:
            await self._report(route)

    def _taken(self, route: Object) -> tuple[Object, Sequence[Rule]] | None:
        """What is to be in force for ``route``: the newest generation that is accepted."""
        before = self._table.get(route["metadata"]["uid"])
        if before and before[0]["metadata"]["generation"] == route["metadata"]["generation"]:
            return before  # and whose turn it is
        return before if self._why_not(route) else (route, rules(route))

    def _why_not(self, route: Object) -> tuple[str, str] | None:
        held = self._table.get(route["metadata"]["uid"])
        in_force = held and held[0]["metadata"]["generation"] == route["metadata"]["generation"]
        if self._refusal and not in_force:
            return self._refusal, "This gateway was told to refuse."
        if strange := unsupported(route):
            return "UnsupportedValue", strange
        return None

    def _parents(self, route: Object) -> list[Object]:
        own = route["metadata"]["namespace"]
        return [
            one for one in route["spec"].get("parentRefs", ())
            if (one["name"], one.get("namespace", own)) == (self.name, self.namespace)
        ]  # fmt: skip

    async def _report(self, route: Object) -> None:
        before = route.get("status", {}).get("parents", [])
        others = [one for one in before if one["controllerName"] != CONTROLLER]
        known = {_key(one["parentRef"]): one for one in before if one not in others}
        told = [
            {
                "parentRef": parent,
                "controllerName": CONTROLLER,
                "conditions": self._conditions(route, known.get(_key(parent), {})),
            }
            for parent in self._parents(route)
        ]
        if [*others, *told] != before:
            meta = route["metadata"]
            path = f"{PREFIX}/namespaces/{meta['namespace']}/httproutes/{meta['name']}/status"
            await until_known(self._api, path, {"status": {"parents": [*others, *told]}})

    def _conditions(self, route: Object, before: Mapping[str, Any]) -> list[Object]:
        accepted = self._why_not(route)
        missing = sorted(
            one for one in services(route) if not one or not self._endpoints.known(one)
        )
        resolved = None
        if missing:
            reason = "BackendNotFound" if all(missing) else "RefNotPermitted"
            resolved = reason, f"not found: {', '.join(missing)}"
        generation, held = route["metadata"]["generation"], before.get("conditions", ())
        return [
            _condition("Accepted", accepted, "Accepted", generation, held),
            _condition("ResolvedRefs", resolved, "ResolvedRefs", generation, held),
        ]

    async def _register(self, port: int) -> None:
        """The class and the namespace are everybody's; the Gateway is this one's own."""
        class_ = {"apiVersion": f"{GROUP}/v1", "kind": "GatewayClass",
                  "metadata": {"name": CLASS}, "spec": {"controllerName": CONTROLLER}}  # fmt: skip
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        await self._unless_there(f"{PREFIX}/gatewayclasses", class_)
        await self._unless_there("/api/v1/namespaces", space)
        listener = {"name": "http", "port": port, "protocol": "HTTP",
                    "allowedRoutes": {"namespaces": {"from": "All"}}}  # fmt: skip
        made = await self._api.create(
            self._path,
            {"apiVersion": f"{GROUP}/v1", "kind": "Gateway", "metadata": {"name": self.name},
             "spec": {"gatewayClassName": CLASS, "listeners": [listener]}},
        )  # fmt: skip
        told = _gateway_status(made["metadata"]["generation"])
        await self._api.patch(f"{self._path}/{self.name}/status", {"status": told})

    async def _unless_there(self, path: str, made: Object) -> None:
        try:
            await self._api.create(path, made)
        except Refused as refused:
            if refused.code != 409:
                raise

    # Requests.

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        rule = choose(self._table.values(), _asked(request))
        if rule is None:
            return web.Response(status=404, text="no route\n")
        backend, copies = rule.next(), list(rule.copies())
        if backend is None or not self._endpoints.known(backend.service):
            return web.Response(status=500, text="no valid backend\n")
        body: Any = request.content if request.body_exists else None
        if copies and body is not None:
            body = await request.read()
        for one in copies:
            self._copy(request, one, body)
        return await self._forward(request, backend, body)

    async def _forward(
        self, request: web.Request, backend: Backend, body: Any
    ) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        try:
            async with self._ask(request, backend, body) as answer:
                response = web.StreamResponse(
                    status=answer.status, reason=answer.reason, headers=_passed(answer.headers)
                )
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
        except (Nowhere, *AWAY) as error:
            if response is None or not response.prepared:
                return web.Response(status=503, text=f"no healthy upstream: {error}\n")
            if request.transport is not None:  # what is cut is seen to be cut
                request.transport.abort()
        assert response is not None
        return response

    def _ask(self, request: web.Request, backend: Backend, body: Any) -> Any:
        address = self._endpoints.pick(backend.service, backend.port)
        headers = _passed(request.headers)
        headers.add("X-Forwarded-For", request.remote or HOST)
        return self._session.request(
            request.method,
            URL(f"http://{address}{request.raw_path}", encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING,
                               hdrs.CONTENT_TYPE),
        )  # fmt: skip

    def _copy(self, request: web.Request, backend: Backend, body: Any) -> None:
        """Send a copy; nobody waits for its answer, and nobody reads it."""

        async def send() -> None:
            with suppress(Nowhere, *AWAY):
                async with self._ask(request, backend, body) as answer:
                    await answer.read()

        task = asyncio.create_task(send())
        self._copies.add(task)
        task.add_done_callback(self._copies.discard)


def _asked(request: web.Request) -> Request:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        joint = "; " if name.lower() == "cookie" else ", "
        key = name.lower()
        headers[key] = f"{headers[key]}{joint}{value}" if key in headers else value
    host = request.host.partition(":")[0]
    return Request(request.method, host, request.path, headers, dict(request.query))


def _passed(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in NOT_OURS
    )


def _condition(
    kind: str, why_not: tuple[str, str] | None, good: str, generation: int,
    before: Sequence[Object] = (),
) -> Object:  # fmt: skip
    """A condition that keeps its time as long as it holds."""
    reason, message = why_not or (good, "")
    status = "False" if why_not else "True"
    held = [one for one in before if (one["type"], one["status"]) == (kind, status)]
    since = held[0]["lastTransitionTime"] if held else moment()
    return {
        "type": kind, "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": since,
    }  # fmt: skip


def _gateway_status(generation: int) -> Object:
    def good(kind: str) -> Object:
        return _condition(kind, None, kind, generation)

    listener = {
        "name": "http", "attachedRoutes": 0,
        "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}],
        "conditions": [good("Accepted"), good("Programmed"), good("ResolvedRefs")],
    }  # fmt: skip
    return {
        "addresses": [{"type": "IPAddress", "value": HOST}],
        "conditions": [good("Accepted"), good("Programmed")],
        "listeners": [listener],
    }


def _key(parent: Object) -> tuple[Any, ...]:
    return tuple(sorted(parent.items()))
