"""Refusals in the shape that OpenAI's clients understand."""

from __future__ import annotations

from typing import Any


class RequestError(Exception):
    """A request that cannot be answered. ``param`` is the place in it, such as ``inputs.context``.

    Messages name fields and rules, never what a caller has written: they may be logged.
    """

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param

    def document(self) -> dict[str, Any]:
        """The JSON body."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "code": self.code, "param": self.param}
        return {"error": error}


def invalid(message: str, param: str | None = None, code: str = "invalid_value") -> RequestError:
    """400: the caller has to change something."""
    return RequestError(400, message, code=code, param=param)
