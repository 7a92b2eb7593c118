"""What a caller is told when there is no answer, in the shape that OpenAI's clients parse."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from serving.headers import PIN, SYNTHETIC

RETRY_AFTER = {"Retry-After": "1"}


class ApiError(Exception):
    """An answer that is an error. ``code`` is stable; ``message`` is for people.

    ``param`` names the field of the request that is at fault, if one is.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.param, self.headers = param, headers

    def response(self) -> web.Response:
        """The error as OpenAI writes its own: ``{"error": {message, type, code, param}}``."""
        error = {
            "message": self.message,
            "type": _type_of(self.status),
            "code": self.code,
            "param": self.param,
        }
        return web.json_response({"error": error}, status=self.status, headers=self.headers)


def unavailable(code: str, message: str) -> ApiError:
    """503: it is not the caller's fault, and trying again in a second makes sense."""
    return ApiError(503, code, message, headers=RETRY_AFTER)


def not_a_tester() -> ApiError:
    """403: to name a slot, or to stand in for users, is for testers."""
    return ApiError(
        403, "tester_only", f"{PIN} and {SYNTHETIC} need the role `tester` or `operator`."
    )


def _type_of(status: int) -> str:
    if status >= 500:
        return "server_error"
    return {403: "permission_error", 429: "requests"}.get(status, "invalid_request_error")
