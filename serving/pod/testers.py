"""Who may ask for a slot by its name, and whose requests stand in for users'.

On Kubernetes the platform's gateway says who may call, and no key of ours is needed for that; an
Authorization header is between that gateway and its callers. To pin and to mark as synthetic takes
the key of a tester or an operator, and only the pod is there to ask for it. Keys are known here by
their SHA-256, from a ConfigMap that may come late or not at all: without it nobody is a tester.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import hdrs, web

from serving.gateway.callers import Callers
from serving.gateway.watched import Watched
from serving.headers import PIN, SYNTHETIC


class Testers:
    """Known by ``file``, in the shape of the gateway's ``callers.json``, at its newest.

    ``cookie`` is the name of the one that the environment's route pins by.
    """

    __test__ = False

    def __init__(self, file: Path | None = None, cookie: str | None = None) -> None:
        self._callers = None if file is None else Watched(file, Callers)
        self._cookie = cookie

    def refuse(self, request: web.Request) -> bool:
        """Whether ``request`` names a slot, and nobody knows its sender for a tester."""
        return self._is_pinned(request) and not self._sent(request)

    def is_synthetic(self, request: web.Request) -> bool:
        """Whether ``request`` stands in for a user's: anybody else's mark says nothing."""
        return request.headers.get(SYNTHETIC) == "1" and self._sent(request)

    def _sent(self, request: web.Request) -> bool:
        callers = self._callers.get() if self._callers else None
        if callers is None:
            return False
        caller = callers.find(request.headers.get(hdrs.AUTHORIZATION, ""))
        return caller is not None and caller.may_pin

    def _is_pinned(self, request: web.Request) -> bool:
        """By the header, or by whatever a route's pattern could take for the cookie."""
        if PIN in request.headers:
            return True
        pairs = ";".join(request.headers.getall(hdrs.COOKIE, ())).split(";")
        return any(one.strip().startswith(f"{self._cookie}=") for one in pairs)
