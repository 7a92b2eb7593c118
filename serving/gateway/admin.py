"""The operator's side: turn the weights, read the counts, empty a slot before it goes."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from release.errors import BadInput, Problem
from serving.gateway.errors import ApiError
from serving.gateway.intake import parse_object, read_body
from serving.gateway.routes import Routes, RouteStore, StaleFence, unready
from serving.gateway.slots import Slots, ready
from serving.gateway.watched import parse
from serving.log import cause, log

LAST_SECONDS = 5.0
"""How long what was cut may take to let go; it needs a few turns of the event loop."""


class Admin:
    """Handlers of ``/-/…``. Whoever reaches them is an operator."""

    def __init__(self, routes: RouteStore, slots: Slots) -> None:
        self._routes, self._slots = routes, slots
        self._since = time.time()

    async def get_routes(self, _: web.Request) -> web.Response:
        """The routes in force; 503 while their file is damaged."""
        if self._routes.current is None:
            raise ApiError(503, "routes_damaged", self._routes.damage)
        return web.json_response(self._routes.current.document())

    async def put_routes(self, request: web.Request) -> web.Response:
        """Replace the whole map. 409 for a stale fence, 422 for weights that cannot be."""
        document = parse_object(await read_body(request))
        try:
            wanted = parse(Routes, document)
            # Once begun, a change is finished: the caller may be killed in the middle of it.
            made = await asyncio.shield(self._routes.replace(wanted, self._unready))
        except StaleFence as error:
            raise ApiError(409, "stale_fence", str(error)) from error
        except BadInput as error:
            raise ApiError(422, "invalid_routes", str(error)) from error
        except OSError as error:
            log.error("routes cannot be written", extra={"why": cause(error)})
            message = f"The routes could not be made durable ({cause(error)}); the old ones hold."
            raise ApiError(500, "routes_not_durable", message) from error
        return web.json_response(made.document())

    async def get_counts(self, _: web.Request) -> web.Response:
        """What happened in each slot since this process started (seconds since the epoch)."""
        return web.json_response({"since": self._since, "slots": self._slots.snapshot()})

    async def drain(self, request: web.Request) -> web.Response:
        """Wait until a slot without weight is empty; at the deadline, cut what is left.

        A slot that nobody knows is empty, so that a drain can be repeated after the slot went.
        """
        slot = request.match_info["slot"]
        seconds = _deadline(parse_object(await read_body(request)))
        self._check_weightless(slot)
        with self._slots.draining(slot):
            await self._slots.until_empty(seconds, slot)
            self._check_weightless(slot)  # somebody may have returned to it meanwhile
            cut = self._slots.cut(slot)
            await self._slots.until_empty(LAST_SECONDS, slot)
        log.info("slot drained", extra={"slot": slot, "cut": cut})
        return web.json_response({"in_flight": self._slots.in_flight(slot), "cut": cut})

    def _unready(self, wanted: Routes) -> list[Problem]:
        endpoints = self._slots.endpoints()
        return unready(wanted, endpoints, ready(endpoints))

    def _check_weightless(self, slot: str) -> None:
        routes = self._routes.current
        if routes is None:
            raise ApiError(503, "routes_damaged", self._routes.damage)
        if weight := routes.weight(slot):
            message = f"Slot {slot} has {weight} % of the traffic. Give it no weight first."
            raise ApiError(409, "slot_has_weight", message)


def _deadline(document: dict[str, object]) -> float:
    """The one setting of a drain, in seconds. 422 unless it is a number of at least 0."""
    seconds = document.get("deadline_seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        seconds = None
    if set(document) != {"deadline_seconds"} or seconds is None or not 0 <= seconds < float("inf"):
        raise ApiError(
            422,
            "invalid_drain",
            'expected {"deadline_seconds": a number of at least 0} and nothing else',
            param="deadline_seconds",
        )
    return float(seconds)
