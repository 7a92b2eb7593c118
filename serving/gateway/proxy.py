"""A request's way through a slot and back.

The rule for repeating: a request is tried again only when no connection to the slot came
about, for then nothing can have happened there. Once a byte may have been sent, a failure is
the caller's to see and the slot's to answer for: a chain may have had side effects.

The rule for endings: an answer that is not streamed arrives whole or as an error. A stream
that breaks is closed without its end mark, so that no client takes the part for the whole.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict

from serving.gateway.counts import Ending
from serving.gateway.dial import SlotConnector
from serving.gateway.errors import ApiError, unavailable
from serving.gateway.intake import ID, NOT_FOR_CALLERS, PIN, RELEASE, Ask, pass_on
from serving.gateway.limits import TICK_SECONDS, Limits
from serving.gateway.log import cause, log
from serving.gateway.routes import RouteStore, choose
from serving.gateway.slots import Endpoint, Slots, Visit, ready

CHAT = "/v1/chat/completions"
STREAM = "text/event-stream"
_FAILURES = (aiohttp.ClientError, OSError)


class _Unreachable(Exception):
    """No connection to the slot came about; ``reason`` says why, in the system's words."""


class _Broken(Exception):
    """The slot failed after the request may have reached it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(cause(error))
        self.silent = isinstance(error, TimeoutError)


class Proxy:
    """Forwards chat requests. ``point`` draws a number from 0 up to, but not including, 1."""

    def __init__(
        self, routes: RouteStore, slots: Slots, limits: Limits, point: Callable[[], float]
    ) -> None:
        self._routes, self._slots, self._limits, self._point = routes, slots, limits, point
        self._connector = SlotConnector(limits.patience_seconds)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.CONTENT_TYPE),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=limits.silence_seconds),
        )

    async def close(self) -> None:
        """Close all connections to slots."""
        await self._session.close()

    async def forward(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        """Take ``ask`` to a slot that can answer it, waiting a little for one if need be."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._limits.patience_seconds
        avoided: set[str] = set()
        blamed: set[str] = set()
        while True:
            while (place := self._pick(ask.pin, avoided)) is not None:
                with self._slots.visit(*place, ask.synthetic) as visit:
                    try:
                        return await self._answer(request, ask, visit)
                    except _Unreachable as reason:
                        self._blame(visit, reason, blamed)
                        avoided.add(visit.slot)
            if loop.time() >= give_up:
                raise self._nobody(ask.pin)
            await asyncio.sleep(TICK_SECONDS)
            avoided.clear()

    def _pick(self, pin: str | None, avoided: set[str]) -> tuple[str, Endpoint] | None:
        """A slot to try now, or None when waiting may help. ApiError when it cannot."""
        endpoints = self._slots.endpoints()
        usable = ready(endpoints) - avoided
        if pin is not None:
            self._check_pin(pin, endpoints)
            return (pin, endpoints[pin]) if pin in usable else None
        slot = choose(self._weights(), usable, self._point())
        return None if slot is None else (slot, endpoints[slot])

    def _weights(self) -> Mapping[str, int]:
        if (routes := self._routes.current) is None:
            raise unavailable("routes_damaged", f"Nothing is routed: {self._routes.damage}")
        if not any(routes.weights.values()):
            raise unavailable("no_slot_has_weight", "No release is live in this environment.")
        return routes.weights

    def _check_pin(self, pin: str, known: Collection[str]) -> None:
        if pin not in known:
            raise ApiError(404, "slot_not_found", "There is no slot of that name.", param=PIN)
        routes = self._routes.current
        if self._slots.is_draining(pin) and not (routes and routes.weight(pin)):
            raise unavailable("slot_draining", f"Slot {pin} is being emptied.")

    def _nobody(self, pin: str | None) -> ApiError:
        whose = f"Slot {pin} could not" if pin else "No slot that has weight could"
        why = f": {problem}" if (problem := self._slots.problem()) else ""
        waited = f"{self._limits.patience_seconds:g} s"
        return unavailable("slot_not_ready", f"{whose} be reached within {waited}{why}.")

    def _blame(self, visit: Visit, reason: _Unreachable, blamed: set[str]) -> None:
        """Count one error for each slot that a request could not reach, however often it tried."""
        if visit.slot not in blamed:
            visit.end(Ending.ERROR)
            blamed.add(visit.slot)
        log.warning("slot cannot be reached", extra={"slot": visit.slot, "why": str(reason)})

    async def _answer(self, request: web.Request, ask: Ask, visit: Visit) -> web.StreamResponse:
        """The slot's answer, or what is told instead. _Unreachable when it was never asked."""
        try:
            async with visit.fuse, self._send(ask, visit) as upstream:
                headers = pass_on(upstream.headers, NOT_FOR_CALLERS)
                headers.extend({PIN: visit.slot, RELEASE: visit.endpoint.release})
                if upstream.status == 200 and upstream.content_type == STREAM:
                    return await _stream(request, upstream, headers, visit)
                return await _whole(upstream, headers, visit)
        except _Broken as broken:
            failure = self._broken(request, visit, broken)
        except TimeoutError:  # the fuse's, lit by Visit.cut
            visit.end(Ending.CUT)
            failure = unavailable("slot_retired", f"Slot {visit.slot} was retired meanwhile.")
        except (ConnectionError, asyncio.CancelledError):  # the caller has gone
            visit.end(Ending.ABANDONED)
            raise asyncio.CancelledError from None
        if visit.begun is None:
            raise failure
        return _hang_up(request, visit.begun)

    def _broken(self, request: web.Request, visit: Visit, broken: _Broken) -> ApiError:
        visit.end(Ending.TRUNCATED if visit.begun else Ending.ERROR)
        about = {"slot": visit.slot, "request": request[ID], "why": str(broken)}
        log.warning("slot broke off", extra=about)
        if broken.silent:
            return ApiError(504, "slot_silent", f"Slot {visit.slot} did not answer in time.")
        return ApiError(502, "slot_broke_off", f"Slot {visit.slot} failed while it answered.")

    @asynccontextmanager
    async def _send(self, ask: Ask, visit: Visit) -> AsyncIterator[aiohttp.ClientResponse]:
        socket = self._slots.socket(visit.endpoint)
        url = self._connector.url(socket, visit.endpoint.release) + CHAT
        try:
            response = await self._session.post(
                url, data=io.BytesIO(ask.body), headers=ask.headers, allow_redirects=False
            )
        except aiohttp.ClientConnectorError as error:
            raise _Unreachable(cause(error.os_error)) from error
        except _FAILURES as error:
            raise _Broken(error) from error
        async with response:
            yield response


async def _whole(
    upstream: aiohttp.ClientResponse, headers: CIMultiDict[str], visit: Visit
) -> web.Response:
    """An answer that is not streamed, once all of it is here."""
    try:
        body = await upstream.read()
    except _FAILURES as error:
        raise _Broken(error) from error
    visit.answer.add(body)
    visit.end(_ending(upstream.status))
    return web.Response(status=upstream.status, headers=headers, body=body)


async def _stream(
    request: web.Request,
    upstream: aiohttp.ClientResponse,
    headers: CIMultiDict[str],
    visit: Visit,
) -> web.StreamResponse:
    """Pass the stream on as it comes. Nothing is said before its first bytes are here."""
    chunk = await _next(upstream)
    response = web.StreamResponse(headers=headers)
    visit.begin(response)
    await response.prepare(request)
    clock = asyncio.get_running_loop().time
    while chunk:
        if visit.answer.pass_on(chunk):
            visit.end(Ending.WHOLE)
        await response.write(chunk)
        since = clock()  # not before: a slow reader is not the slot's doing
        chunk = await _next(upstream, last=visit.ended is not None)
        if visit.ended is None:
            visit.waited(clock() - since)
    return response


async def _next(upstream: aiohttp.ClientResponse, last: bool = False) -> bytes:
    """The next bytes of a stream. Its end is a breach, unless it has said its ``last`` word."""
    try:
        chunk = await upstream.content.readany()
    except _FAILURES as error:
        if last:
            return b""
        raise _Broken(error) from error
    if not chunk and not last:
        raise _Broken(EOFError())
    return chunk


def _ending(status: int) -> Ending:
    if status >= 500:
        return Ending.ERROR
    return Ending.WHOLE if status < 300 else Ending.DECLINED


def _hang_up(request: web.Request, begun: web.StreamResponse) -> web.StreamResponse:
    """Close the caller's connection in the middle of the answer, for all to see."""
    if request.transport is not None:
        request.transport.close()
    return begun
