"""The real process: killed, stopped, started again on the socket that outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from release.errors import BAD_INPUT
from tests.serving.gateway.world import (
    APPLICATION,
    CHAT,
    DONE,
    EVENT,
    KEYS,
    StandIn,
    story,
    write_endpoints,
    write_settings,
)

pytestmark = pytest.mark.slow

OPERATOR = {"Authorization": f"Bearer {KEYS['operator']}"}
KILLS = 12


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """The socket that the supervisor would hold."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def url(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def gateway(folder: Path, listener: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway process, killed with the block if it has not ended before."""
    number = listener.fileno()
    command = [sys.executable, "-P", "-m", "serving.gateway", str(folder), "--fd", str(number)]
    with (folder / "gateway.log").open("ab") as log:
        process = subprocess.Popen(command, pass_fds=[number], cwd="/", stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def application(folder: Path, slot: str) -> AsyncIterator[StandIn]:
    """A ready slot with all the weight, in an environment of its own."""
    write_settings(folder)
    write_endpoints(folder, {slot: True})
    (folder / "routes.json").write_text(f'{{"fence": 1, "weights": {{"{slot}": 100}}}}')
    app = StandIn(folder, slot)
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "gateway.log").read_text().splitlines()]


def test_s23_killed_at_any_moment_of_a_switch_the_old_or_the_new_map_is_whole(
    folder: Path, listener: socket.socket
) -> None:
    """S23: SIGKILL while weights are being put, again and again; none is lost once answered."""
    write_settings(folder)
    write_endpoints(folder, {"blue": True, "green": True})
    chance = random.Random(23)
    possible: list[Any] = [{"fence": 0, "weights": {}}]
    for _ in range(KILLS):
        with gateway(folder, listener) as process, connection(listener) as client:
            found = routes(client, "GET")
            assert found in possible
            possible = [found]
            switch(client, possible, chance)
            threading.Timer(chance.uniform(0, 0.05), process.kill).start()
            with contextlib.suppress(HTTPException, OSError):
                while True:
                    switch(client, possible, chance)

    assert possible[0]["fence"] >= KILLS
    assert json.loads((folder / "routes.json").read_text()) in possible
    assert len(list(folder.glob(".routes.json.*"))) <= 1


@contextmanager
def connection(listener: socket.socket) -> Iterator[HTTPConnection]:
    """One connection that is never opened again: what it sent once is sent once."""
    host, port = listener.getsockname()
    client = HTTPConnection(host, port, timeout=60)
    client.connect()
    client.auto_open = 0
    with contextlib.closing(client):
        yield client


def routes(client: HTTPConnection, method: str, wanted: Any = None) -> Any:
    client.request(method, "/-/routes", json.dumps(wanted), OPERATOR)
    answer = client.getresponse()
    assert answer.status == 200
    return json.load(answer)


def switch(client: HTTPConnection, possible: list[Any], chance: random.Random) -> None:
    """Put another map; keep in ``possible`` what a restart may find, two until it is answered."""
    blue, fence = chance.randint(0, 100), possible[-1]["fence"] + 1
    possible.append({"fence": fence, "weights": {"blue": blue, "green": 100 - blue}})
    routes(client, "PUT", possible[-1])
    del possible[:-1]


@story
async def test_connections_wait_while_a_killed_gateway_comes_back(
    folder: Path, listener: socket.socket
) -> None:
    """Weights hold, the socket holds, and who called meanwhile is answered."""
    async with application(folder, "green"):
        with gateway(folder, listener):
            async with aiohttp.ClientSession(url(listener), headers=OPERATOR) as client:
                before = await client.post(CHAT, json={})
        async with aiohttp.ClientSession(url(listener), headers=OPERATOR) as client:
            asking = asyncio.create_task(client.post(CHAT, json={}))
            await asyncio.sleep(0.1)
            with gateway(folder, listener):
                after = await asking

    assert (before.status, after.status) == (200, 200)
    assert after.headers["x-greenlight-slot"] == "green"


@story
async def test_a_terminated_gateway_finishes_what_is_in_flight_and_ends_well(
    folder: Path, listener: socket.socket
) -> None:
    """Its successor takes the connections that came in the meantime."""
    async with (
        application(folder, "blue") as app,
        aiohttp.ClientSession(url(listener), headers=OPERATOR) as client,
    ):
        with gateway(folder, listener) as old:
            stream = await client.post(CHAT, json={"do": "hold-stream"})
            first = await stream.content.readany()
            old.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            with gateway(folder, listener):
                new = await client.post(CHAT, json={})
                app.gate.set()
                rest = await stream.content.read()
            code = await asyncio.to_thread(old.wait)

    assert (first, rest) == (EVENT, EVENT + DONE)
    assert (new.status, code) == (200, 0)
    assert "stopped" in [line["event"] for line in logged(folder)]


@story
async def test_the_openai_client_talks_to_the_real_process_and_nothing_of_it_is_logged(
    folder: Path, listener: socket.socket
) -> None:
    """Not a key, not a question, not an answer: also not when what was sent is not HTTP."""
    async with application(folder, "blue"):
        with gateway(folder, listener):
            words, refused = await asyncio.to_thread(talk, url(listener))
            garbled = await send_garbled(listener)
    log = (folder / "gateway.log").read_text()

    assert (words, refused) == ("I am blue.Hello there", 502)
    assert b" 400 " in garbled
    assert {"started", "slot broke off"} <= {line["event"] for line in logged(folder)}
    assert not [word for word in (*KEYS.values(), "question", "I am", "Hello") if word in log]


async def send_garbled(listener: socket.socket) -> bytes:
    """What the gateway answers to a key and a question that are not quite HTTP."""
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    head = f"POST {CHAT} HTTP/1.1\r\nAuthorization: {KEYS['user']}\0\r\n"
    writer.write(head.encode() + b"a question\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def talk(origin: str) -> tuple[str, int]:
    """A whole answer and a stream in words, then the status of a failure."""
    messages: Any = [{"role": "user", "content": "a question"}]
    options: Any = {"model": APPLICATION, "messages": messages}
    with openai.OpenAI(base_url=f"{origin}/v1", api_key=KEYS["user"], max_retries=0) as ai:
        whole = ai.chat.completions.create(**options).choices[0].message.content
        stream = ai.chat.completions.create(**options, stream=True, extra_body={"do": "stream"})
        words = [event.choices[0].delta.content or "" for event in stream]
        with pytest.raises(openai.InternalServerError) as refused:
            ai.chat.completions.create(**options, extra_body={"do": "vanish"})
    return f"{whole}{''.join(words)}", refused.value.status_code


@pytest.mark.parametrize("settings", [None, "{", '{"application": ""}'])
def test_bad_settings_end_the_process_with_a_reason(
    folder: Path, listener: socket.socket, settings: str | None
) -> None:
    write_settings(folder)
    if settings is None:
        (folder / "gateway.json").unlink()
    else:
        (folder / "gateway.json").write_text(settings)

    with gateway(folder, listener) as process:
        code = process.wait(timeout=60)

    assert code == BAD_INPUT
    [line] = logged(folder)
    assert line["event"] == "cannot start"
    assert "gateway.json" in line["why"]
