"""What a caller may send: judged before a slot is chosen, so that no slot pays for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy

from serving.gateway.callers import Caller, Callers
from serving.gateway.errors import ApiError, not_a_tester, unavailable
from serving.gateway.rates import Rates
from serving.gateway.watched import Watched
from serving.headers import PIN, RELEASE, REQUEST_ID, SYNTHETIC, USER

ID = web.RequestKey("id", str)
ALLOWANCE = web.RequestKey("allowance", Mapping[str, str])
"""Headers that tell a caller what is left of its rate."""

OURS = {PIN, SYNTHETIC, RELEASE, REQUEST_ID, USER}

# RFC 9110, section 7.6.1, and what a proxy decides for itself.
_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"),
    }
)
# The key stays here. The body was decompressed on the way in, and has to come back plain,
# because the end of a stream is recognised by its text.
NOT_FOR_SLOTS = _HOP_BY_HOP | {
    *OURS,
    *("host", "expect", "authorization", "accept-encoding", "content-encoding"),
}
NOT_FOR_CALLERS = _HOP_BY_HOP | {*OURS, "server", "date"}


@dataclass(frozen=True)
class Ask:
    """A chat request that may be forwarded. ``body`` is passed on byte for byte.

    ``user`` names whom it is for, where the caller says so.
    """

    body: bytes
    headers: CIMultiDict[str]
    pin: str | None
    synthetic: bool
    user: str | None = field(default=None, repr=False)


def admit(request: web.Request, watched: Watched[Callers]) -> Caller:
    """The caller, by key. 401 for an unknown key; 503 while nobody can say who is known."""
    callers = watched.get()
    if callers is None:
        raise unavailable("callers_unreadable", f"Who may call is not known: {watched.problem}")
    caller = callers.find(request.headers.get(hdrs.AUTHORIZATION, ""))
    if caller is None:
        raise ApiError(
            401,
            "invalid_api_key",
            "This environment does not know the key. Send `Authorization: Bearer KEY`.",
            headers={hdrs.WWW_AUTHENTICATE: "Bearer"},
        )
    return caller


def admit_asking(request: web.Request, watched: Watched[Callers], rates: Rates) -> Caller:
    """As ``admit``, and 429 for who asks more often than its rate allows."""
    caller = admit(request, watched)
    request[ALLOWANCE] = rates.take(caller)
    return caller


def admit_operator(request: web.Request, watched: Watched[Callers]) -> Caller:
    """As ``admit``, and 403 for everybody but an operator."""
    caller = admit(request, watched)
    if not caller.may_operate:
        raise ApiError(403, "operator_only", "Only a key with the role `operator` may do this.")
    return caller


def admit_watching(request: web.Request, watched: Watched[Callers]) -> Caller:
    """As ``admit``, and 403 for users: what the environment goes through is not theirs."""
    caller = admit(request, watched)
    if not caller.may_watch:
        raise ApiError(403, "tester_only", "This needs the role `tester` or `operator`.")
    return caller


async def read_body(request: web.Request) -> bytes:
    """The body, at most as large as the application's limit. 413 beyond it, 400 if garbled."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        limit = request.client_max_size
        raise ApiError(
            413, "body_too_large", f"The body is larger than {limit} bytes. Send less context."
        ) from None
    except web.RequestPayloadError:
        raise ApiError(400, "body_unreadable", "The body could not be decoded.") from None


def parse_object(body: bytes) -> dict[str, object]:
    """``body`` as a JSON object. 400 when it is anything else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "invalid_json", "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise ApiError(400, "invalid_json", "The body is not a JSON object.")
    return document


async def read_ask(request: web.Request, caller: Caller, application: str) -> Ask:
    """The chat request, if this caller may make it and this gateway can serve it."""
    pin = request.headers.get(PIN)
    synthetic = _is_synthetic(request.headers.get(SYNTHETIC))
    if (pin is not None or synthetic) and not caller.may_pin:
        raise not_a_tester()
    body = await read_body(request)
    document = parse_object(body)
    _check_model(document, application)
    headers = pass_on(request.headers, NOT_FOR_SLOTS)
    headers[hdrs.ACCEPT_ENCODING] = "identity"
    headers[REQUEST_ID] = request[ID]
    named = (document.get("user"), document.get("safety_identifier"), request.headers.get(USER))
    user = next((name for name in named if name and isinstance(name, str)), None)
    return Ask(body, headers, pin, synthetic, user)


def pass_on(headers: CIMultiDictProxy[str], dropped: Collection[str]) -> CIMultiDict[str]:
    """``headers`` without ``dropped`` and those that Connection names."""
    named = {name.strip().lower() for name in headers.get(hdrs.CONNECTION, "").split(",")}
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if (low := name.lower()) not in dropped and low not in named
    )


def _is_synthetic(value: str | None) -> bool:
    if value not in (None, "0", "1"):
        raise ApiError(400, "invalid_header", f"{SYNTHETIC} is 1 or 0.", param=SYNTHETIC)
    return value == "1"


def _check_model(document: dict[str, object], application: str) -> None:
    model = document.get("model", application)
    if not isinstance(model, str):
        raise ApiError(400, "invalid_model", "`model` has to be text.", param="model")
    if model != application:
        raise ApiError(
            404,
            "model_not_found",
            f"There is no model `{model[:64]}` here; this is `{application}`.",
            param="model",
        )
