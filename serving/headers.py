"""Headers of our own, and the id that a request keeps wherever it goes."""

from __future__ import annotations

import re
import uuid

from aiohttp import web

PIN, SYNTHETIC = "x-greenlight-slot", "x-greenlight-synthetic"
RELEASE, REQUEST_ID, USER = "x-greenlight-release", "x-request-id", "x-greenlight-user"

_GOOD_ID = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)


def request_id(request: web.BaseRequest) -> str:
    """The caller's own id, if it is fit for a header and a log; else a new one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _GOOD_ID.fullmatch(given) else uuid.uuid4().hex
