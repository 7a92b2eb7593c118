"""Speaks to Azure Resource Manager: a signed-in GET and POST, pages included, and no SDK.

Reading a few lists needs no more, and the SDKs for them would take seconds to import. The token
goes to the resource manager's own address and nowhere else: no redirect is followed, and a next
page somewhere else is refused.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from policies.rules.findings import shown
from release.errors import BadInput, GreenlightError, Problem

PUBLIC = "https://management.azure.com"
PATIENCE = 30.0
"""Seconds for one answer, and the longest wait that Azure's Retry-After is followed for."""

TRIES = 4
_LATER = frozenset({429, 502, 503, 504})
_LARGEST = 64 * 1024 * 1024  # bytes; the list of all sizes of a region has a few million


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Arm:
    """A session: ``token`` gives a bearer token each time that it is called."""

    def __init__(
        self,
        token: Callable[[], str],
        base: str = PUBLIC,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(base)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
            problem = Problem("an https address of Azure Resource Manager", shown(base))
            raise BadInput(problem)
        self._token, self._base, self._sleep = token, base.rstrip("/"), sleep
        self._open = urllib.request.build_opener(_NoRedirect).open

    def listed(self, path: str, api: str, filtered: str = "") -> list[dict[str, Any]]:
        """All values of a list, its further pages included."""
        query = {"api-version": api} | ({"$filter": filtered} if filtered else {})
        address = f"{self._base}{path}?{urlencode(query)}"
        values: list[dict[str, Any]] = []
        while address:
            page = self._answer(address, path)
            values += page["value"] if isinstance(page.get("value"), list) else _odd(path)
            address = self._next(page.get("nextLink") or "", path)
        return values

    def asked(self, path: str, api: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question that is put with POST."""
        query = urlencode({"api-version": api})
        return self._answer(f"{self._base}{path}?{query}", path, json.dumps(body).encode())

    def _next(self, address: str, path: str) -> str:
        if address and urlsplit(address)[:2] != urlsplit(self._base)[:2]:
            host = shown(urlsplit(address).netloc)
            raise GreenlightError(f"{path}: expected its next page at {self._base}, found {host}")
        return address

    def _answer(self, address: str, path: str, data: bytes | None = None) -> dict[str, Any]:
        for left in reversed(range(TRIES)):
            try:
                return self._once(address, path, data)
            except urllib.error.HTTPError as error:
                if error.code not in _LATER or not left:
                    raise _refused(error, path) from None
                self._sleep(_wait(error))
            except (OSError, http.client.HTTPException) as error:
                if not left:
                    raise GreenlightError(
                        f"{path}: {self._base} does not answer: {error}"
                    ) from error
                self._sleep(1.0)
        raise AssertionError("the last try returns or raises")

    def _once(self, address: str, path: str, data: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        request = urllib.request.Request(address, data, headers)  # noqa: S310 - see __init__
        with self._open(request, timeout=PATIENCE) as response:
            content = response.read(_LARGEST + 1)
        try:
            answer = json.loads(content) if len(content) <= _LARGEST else None
        except ValueError:
            answer = None
        return answer if isinstance(answer, dict) else _odd(path)


def _wait(error: urllib.error.HTTPError) -> float:
    said = error.headers.get("Retry-After", "")
    return min(float(said), PATIENCE) if said.isdigit() else 1.0


def _refused(error: urllib.error.HTTPError, path: str) -> GreenlightError:
    try:
        told = json.loads(error.read(64 * 1024))["error"]
        why = f"{told.get('code', '')}: {told.get('message', '')}"
    except (ValueError, KeyError, TypeError, AttributeError):
        why = str(error.reason)
    return GreenlightError(f"{path}: {error.code} {shown(why, 300)}. {_remedy(error.code)}")


def _remedy(code: int) -> str:
    if code in (401, 403):
        return "Give the identity the role Reader on the subscription"
    if code in (404, 409):
        return "Check the subscription's id, and that it has the resource provider registered"
    return "Try again later; without an answer the limit is not known"


def _odd(path: str) -> Any:
    raise GreenlightError(f"{path}: expected a JSON object in Azure's form, found something else")
