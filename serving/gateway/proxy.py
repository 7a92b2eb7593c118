"""A request's way through a slot and back.

The rule for repeating: a request is tried again only when no connection to the slot came
about, for then nothing can have happened there. Once a byte may have been sent, a failure is
the caller's to see and the slot's to answer for: a chain may have had side effects.

The rule for endings: an answer that is not streamed arrives whole or as an error. A stream
that breaks is closed without its end mark, so that no client takes the part for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from serving.counting.counts import Ending, ending_of
from serving.counting.visits import TICK_SECONDS, Visit, hang_up
from serving.gateway.courier import (
    Broken,
    Courier,
    Unreachable,
    is_stream,
    next_chunk,
    read_whole,
)
from serving.gateway.errors import ApiError, unavailable
from serving.gateway.intake import ID, NOT_FOR_CALLERS, Ask, pass_on
from serving.gateway.limits import Limits
from serving.gateway.mirror import Mirror
from serving.gateway.routes import RouteStore, choose, point_of
from serving.gateway.slots import Endpoint, Slots, ready
from serving.headers import PIN, RELEASE
from serving.log import log


class Proxy:
    """Forwards chat requests. ``point`` draws a number from 0 up to, but not including, 1."""

    def __init__(
        self,
        routes: RouteStore,
        slots: Slots,
        courier: Courier,
        mirror: Mirror,
        limits: Limits,
        point: Callable[[], float],
    ) -> None:
        self._routes, self._slots, self._courier, self._mirror = routes, slots, courier, mirror
        self._limits, self._point = limits, point

    async def forward(self, request: web.Request, ask: Ask) -> web.StreamResponse:
        """Take ``ask`` to a slot that can answer it, waiting a little for one if need be."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._limits.patience_seconds
        avoided: set[str] = set()
        blamed: set[str] = set()
        while True:
            while (place := self._pick(ask, avoided)) is not None:
                with self._slots.visit(*place, ask.synthetic) as visit:
                    if not blamed:  # one copy is enough, however many slots have to be tried
                        self._mirror.copy(ask, visit)
                    try:
                        return await self._answer(request, ask, place[1], visit)
                    except Unreachable as reason:
                        self._blame(visit, reason, blamed)
                        avoided.add(visit.slot)
            if loop.time() >= give_up:
                raise self._nobody(ask.pin)
            await asyncio.sleep(TICK_SECONDS)
            avoided.clear()

    def _pick(self, ask: Ask, avoided: set[str]) -> tuple[str, Endpoint] | None:
        """A slot to try now, or None when waiting may help. ApiError when it cannot."""
        endpoints = self._slots.endpoints()
        usable = ready(endpoints) - avoided
        if ask.pin is not None:
            self._check_pin(ask.pin, endpoints)
            return (ask.pin, endpoints[ask.pin]) if ask.pin in usable else None
        weights = self._weights()
        slot = choose(weights, usable, self._where(ask, weights, endpoints))
        return None if slot is None else (slot, endpoints[slot])

    def _where(
        self, ask: Ask, weights: Mapping[str, int], endpoints: Mapping[str, Endpoint]
    ) -> float:
        """The request's point on the line of weights: its user's own, or any."""
        if ask.user is None:
            return self._point()
        weighted = [slot for slot, weight in weights.items() if weight and slot in endpoints]
        return point_of(ask.user, (endpoints[slot].release for slot in weighted))

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

    def _blame(self, visit: Visit, reason: Unreachable, blamed: set[str]) -> None:
        """Count one error for each slot that a request could not reach, however often it tried."""
        if visit.slot not in blamed:
            visit.end(Ending.ERROR)
            blamed.add(visit.slot)
        log.warning("slot cannot be reached", extra={"slot": visit.slot, "why": str(reason)})

    async def _answer(
        self, request: web.Request, ask: Ask, endpoint: Endpoint, visit: Visit
    ) -> web.StreamResponse:
        """The slot's answer, or what is told instead. Unreachable when it was never asked."""
        try:
            async with visit.fuse, self._courier.send(ask, endpoint) as upstream:
                headers = pass_on(upstream.headers, NOT_FOR_CALLERS)
                headers.extend({PIN: visit.slot, RELEASE: visit.release})
                if is_stream(upstream):
                    return await _stream(request, upstream, headers, visit)
                return await _whole(upstream, headers, visit)
        except Broken as broken:
            failure = self._broken(request, visit, broken)
        except TimeoutError:  # the fuse's, lit by Visit.cut
            visit.end(Ending.CUT)
            failure = unavailable("slot_retired", f"Slot {visit.slot} was retired meanwhile.")
        except (ConnectionError, asyncio.CancelledError):  # the caller has gone
            visit.end(Ending.ABANDONED)
            raise asyncio.CancelledError from None
        if visit.begun is None:
            raise failure
        return hang_up(request, visit.begun)

    def _broken(self, request: web.Request, visit: Visit, broken: Broken) -> ApiError:
        visit.end(Ending.TRUNCATED if visit.begun else Ending.ERROR)
        about = {"slot": visit.slot, "request": request[ID], "why": str(broken)}
        log.warning("slot broke off", extra=about)
        if broken.silent:
            return ApiError(504, "slot_silent", f"Slot {visit.slot} did not answer in time.")
        return ApiError(502, "slot_broke_off", f"Slot {visit.slot} failed while it answered.")


async def _whole(
    upstream: aiohttp.ClientResponse, headers: CIMultiDict[str], visit: Visit
) -> web.Response:
    """An answer that is not streamed, once all of it is here."""
    body = await read_whole(upstream)
    visit.answer.add(body)
    visit.end(ending_of(upstream.status))
    return web.Response(status=upstream.status, headers=headers, body=body)


async def _stream(
    request: web.Request,
    upstream: aiohttp.ClientResponse,
    headers: CIMultiDict[str],
    visit: Visit,
) -> web.StreamResponse:
    """Pass the stream on as it comes. Nothing is said before its first bytes are here."""
    chunk = await next_chunk(upstream)
    response = web.StreamResponse(headers=headers)
    visit.begin(response)
    await response.prepare(request)
    clock = asyncio.get_running_loop().time
    while chunk:
        if visit.answer.pass_on(chunk):
            visit.end(Ending.WHOLE)
        await response.write(chunk)
        since = clock()  # not before: a slow reader is not the slot's doing
        chunk = await next_chunk(upstream, last=visit.ended is not None)
        if visit.ended is None:
            visit.waited(clock() - since)
    return response
