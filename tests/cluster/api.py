"""The API server as kubelets and gateways know it: they list, watch, and write statuses.

The tests themselves use kubectl (``tests.cluster.client``). What plays the data plane has to follow
changes at once and at little cost, and goes on with what it knows while the server is away.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

Object = dict[str, Any]

PATIENCE_SECONDS = 0.2
"""Before the server is asked again after it was away."""

WATCH_SECONDS = 300
AWAY = (aiohttp.ClientError, TimeoutError, OSError)
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
_LINE_BYTES = 8 * 1024 * 1024


class Refused(Exception):
    """The server's answer was no. ``code`` is its HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Api:
    """Asks by path, such as ``/api/v1/namespaces/default/pods``."""

    def __init__(self, session: aiohttp.ClientSession, server: str, context: ssl.SSLContext,
                 authority: str) -> None:  # fmt: skip
        self._session, self._context = session, context
        self.server, self.authority = server, authority

    async def get(self, path: str, **query: str) -> Object:
        """The object or list; Refused, or one of AWAY."""
        return await self._ask("GET", path, query=query)

    async def create(self, path: str, made: Mapping[str, Any]) -> Object:
        """Create ``made`` in the collection ``path``."""
        return await self._ask("POST", path, made)

    async def patch(self, path: str, patch: Mapping[str, Any], kind: str = MERGE) -> Object:
        """Patch one object or its status."""
        return await self._ask("PATCH", path, patch, kind)

    async def delete(self, path: str, **options: Any) -> None:
        """Delete one object or a collection; nothing when it is not there."""
        try:
            await self._ask(
                "DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options}
            )
        except Refused as refused:
            if refused.code not in (404, 409):  # gone, or another one of that name
                raise

    async def events(self, path: str, **query: str) -> AsyncIterator[Object]:
        """Watch events of ``path`` until the server ends them."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=WATCH_SECONDS + 30)
        query = {**query, "watch": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        async with self._session.get(
            self.server + path, params=query, ssl=self._context, timeout=timeout,
            read_bufsize=_LINE_BYTES,
        ) as answer:  # fmt: skip
            await _checked(answer)
            async for line in answer.content:
                yield json.loads(line)

    async def _ask(
        self, how: str, path: str, body: Any = None, kind: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:  # fmt: skip
        data = None if body is None else json.dumps(body).encode()
        async with self._session.request(
            how, self.server + path, params=query, data=data, ssl=self._context,
            headers={"Content-Type": kind}, timeout=aiohttp.ClientTimeout(total=30),
        ) as answer:  # fmt: skip
            await _checked(answer)
            found: Object = await answer.json()
            return found


async def _checked(answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 500 or answer.status == 429:
        raise aiohttp.ClientError(await answer.text())
    if answer.status >= 400:
        raise Refused(answer.status, await answer.text())


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[Api]:
    """The server that ``kubeconfig`` leads to, by its token."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the server's certificate is its own
    headers = {"Authorization": f"Bearer {user['token']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Api(session, cluster["server"], context, cluster["certificate-authority"])


class Watched:
    """Objects of one kind in one namespace, by name, as the server last told them."""

    def __init__(self, api: Api, path: str, **query: str) -> None:
        self._api, self.path, self._query = api, path, query
        self.objects: dict[str, Object] = {}
        self.count = 0
        """How many times something has changed."""
        self._change = asyncio.Event()

    async def follow(self) -> None:
        """Keep ``objects`` current, for ever. What is known stays while the server is away."""
        while True:
            try:
                await self._once()
            except (*AWAY, Refused, json.JSONDecodeError):
                await asyncio.sleep(PATIENCE_SECONDS)

    async def beyond(self, count: int) -> int:
        """Wait until more than ``count`` has changed; the new count."""
        while self.count <= count:
            await self._change.wait()
        return self.count

    async def _once(self) -> None:
        listed = await self._api.get(self.path, **self._query)
        self.objects = {one["metadata"]["name"]: one for one in listed["items"]}
        self._changed()
        since = listed["metadata"]["resourceVersion"]
        async for event in self._api.events(self.path, **self._query, resourceVersion=since):
            if event["type"] == "ERROR":  # too old: list again
                return
            self._take(event["type"], event["object"])

    def _take(self, what: str, one: Object) -> None:
        name = one["metadata"]["name"]
        if what == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = one
        self._changed()

    def _changed(self) -> None:
        self.count += 1
        self._change.set()
        self._change = asyncio.Event()


async def until_known(api: Api, path: str, patch: Mapping[str, Any], kind: str = MERGE) -> bool:
    """Patch until the server has taken it; False when the object is gone."""
    while True:
        try:
            await api.patch(path, patch, kind)
        except Refused as refused:
            if refused.code not in (404, 409):  # or another one has its name
                raise
            return False
        except AWAY:
            await asyncio.sleep(PATIENCE_SECONDS)
        else:
            return True
