"""What stands between clients and two slots: Greenlight's gateway, and HAProxy as its users run it.

Both switch in the same way: the next slot is started and gets weight, the one before is drained,
and its process ended as soon as nobody is left in it. The stand-in server has no mercy: told to
stop, it breaks off whatever it still answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from bench.gateway import KEY, message, process, read_message, write_environment
from release.files import write_json

SLOTS = ("blue", "green")
POLL_SECONDS = 0.005
START_SECONDS, DRAIN_SECONDS = 20.0, 30.0


class Front(Protocol):
    """A way to the slots. ``weigh`` takes all weights; ``retire`` returns when the slot is gone."""

    name: str
    port: int

    async def start(self, slot: str) -> None:
        """Start the server of ``slot``; it may get weight when this returns."""

    async def weigh(self, weights: Mapping[str, int]) -> None:
        """Give these slots weight, the others none."""

    async def retire(self, slot: str) -> None:
        """Drain ``slot``, which has no weight, and end its server."""


class StandIns:
    """The stand-in servers behind one front, by slot, on Unix sockets in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self, slot: str) -> None:
        """Start one; returns when it accepts connections."""
        path = str(self.folder / f"{slot}.sock")
        self._running[slot] = spawn(path)
        give_up = time.monotonic() + START_SECONDS
        while not accepts(path):
            if time.monotonic() > give_up:
                raise SystemExit(f"the stand-in server at {path} does not start")
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self, slot: str) -> None:
        """End one; returns when its process is gone."""
        running = self._running.pop(slot)
        running.send_signal(signal.SIGTERM)
        await asyncio.to_thread(running.wait)

    def close(self) -> None:
        """End all."""
        for running in self._running.values():
            running.kill()
            running.wait()


def spawn(path: str) -> subprocess.Popen[bytes]:
    """A stand-in server that will listen at ``path``."""
    return subprocess.Popen([sys.executable, "-m", "bench.gateway", "stand-in", path])


def accepts(path: str) -> bool:
    """Whether somebody listens at the Unix socket ``path``."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


class GreenlightFront:
    """The gateway, told what supervisor and rollout tell it."""

    name = "Greenlight's gateway"

    def __init__(self, servers: StandIns, port: int) -> None:
        self._servers, self.port = servers, port
        self._ready: set[str] = set()

    async def start(self, slot: str) -> None:
        """The server first; what does not accept yet is not announced."""
        await self._servers.start(slot)
        self._announce(self._ready | {slot})

    async def weigh(self, weights: Mapping[str, int]) -> None:
        """One PUT."""
        await self._call("PUT", "/-/routes", {"fence": 1, "weights": dict(weights)})

    async def retire(self, slot: str) -> None:
        """The server ends before anybody is told: that is the harder order."""
        await self._call("POST", f"/-/drain/{slot}", {"deadline_seconds": DRAIN_SECONDS})
        await self._servers.stop(slot)
        self._announce(self._ready - {slot})

    def _announce(self, slots: set[str]) -> None:
        self._ready = slots
        endpoints = {
            slot: {"socket": f"{slot}.sock", "release": f"{slot}@0000000", "ready": True}
            for slot in sorted(slots)
        }
        write_json(self._servers.folder / "endpoints.json", {"slots": endpoints})

    async def _call(self, method: str, path: str, document: Mapping[str, object]) -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(message(head, json.dumps(document).encode()))
        status, body = await read_message(reader)
        writer.close()
        if b" 200 " not in status:
            raise SystemExit(f"{method} {path}: {status!r} {body!r}")


HAPROXY = """\
global
    maxconn 4096
    stats socket {folder}/admin.sock mode 600 level admin
defaults
    mode http
    retries 3
    option redispatch
    option http-keep-alive
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 30s
frontend public
    bind fd@{descriptor}
    default_backend be
backend be
    balance roundrobin
    option httpchk GET /health
    http-response set-header x-greenlight-slot %s
    default-server check inter 200ms fall 3 rise 2
    server blue unix@{folder}/blue.sock weight 0
    server green unix@{folder}/green.sock weight 0
"""
OPERATIONAL, RUNNING = 5, "2"  # a column of `show servers state`, and its value for a server up


class HaproxyFront:
    """HAProxy, told over its admin socket, as its management guide has it."""

    name = "HAProxy"

    def __init__(self, servers: StandIns, port: int) -> None:
        self._servers, self.port = servers, port

    async def start(self, slot: str) -> None:
        """Returns when HAProxy's health checks have found the server."""
        await self._servers.start(slot)
        await self._say(f"set server be/{slot} state ready")
        while await self._state(slot) != RUNNING:  # noqa: ASYNC110 - HAProxy sends no event
            await asyncio.sleep(POLL_SECONDS)

    async def weigh(self, weights: Mapping[str, int]) -> None:
        """Who gains first: at no time has everybody a weight of zero."""
        ordered = sorted(SLOTS, key=lambda slot: -weights.get(slot, 0))
        words = (f"set server be/{slot} weight {weights.get(slot, 0)}" for slot in ordered)
        await self._say("; ".join(words))

    async def retire(self, slot: str) -> None:
        """No new sessions; the server ends when none is left."""
        await self._say(f"set server be/{slot} state drain")
        while await self._sessions(slot):  # noqa: ASYNC110 - HAProxy sends no event
            await asyncio.sleep(POLL_SECONDS)
        await self._servers.stop(slot)

    async def _say(self, command: str) -> str:
        path = self._servers.folder / "admin.sock"
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(f"{command}\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        if command.startswith("set") and answer.strip():
            raise SystemExit(f"HAProxy: {command}: {answer.strip()}")
        return answer

    async def _state(self, slot: str) -> str:
        rows = (line.split() for line in (await self._say("show servers state be")).splitlines())
        return next(row[OPERATIONAL] for row in rows if len(row) > OPERATIONAL and row[3] == slot)

    async def _sessions(self, slot: str) -> int:
        head, *rows = (await self._say("show stat")).lstrip("# ").splitlines()
        wanted = next(row.split(",") for row in rows if row.startswith(f"be,{slot},"))
        return int(wanted[head.split(",").index("scur")])


@contextmanager
def greenlight_front() -> Iterator[GreenlightFront]:
    """A gateway in front of no slot yet."""
    with ExitStack() as stack:
        folder, listener, servers = prepare(stack)
        write_environment(folder)
        write_json(folder / "endpoints.json", {"slots": {}})
        gateway = ("serving.gateway", str(folder), "--fd", str(listener.fileno()))
        stack.enter_context(process(listener, *gateway))
        yield GreenlightFront(servers, listener.getsockname()[1])


@contextmanager
def haproxy_front() -> Iterator[HaproxyFront]:
    """HAProxy in front of no slot yet."""
    with ExitStack() as stack:
        folder, listener, servers = prepare(stack)
        number = listener.fileno()
        (folder / "haproxy.cfg").write_text(HAPROXY.format(folder=folder, descriptor=number))
        command = [haproxy(), "-db", "-q", "-f", str(folder / "haproxy.cfg")]
        running = subprocess.Popen(command, pass_fds=[number], stderr=subprocess.DEVNULL)
        stack.callback(running.wait)
        stack.callback(running.terminate)
        while not accepts(str(folder / "admin.sock")):
            if running.poll() is not None:
                raise SystemExit(f"HAProxy does not start; try: {' '.join(command)}")
            time.sleep(POLL_SECONDS)
        yield HaproxyFront(servers, listener.getsockname()[1])


def haproxy() -> str:
    """Its path; empty where it is not installed."""
    return shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""


def prepare(stack: ExitStack) -> tuple[Path, socket.socket, StandIns]:
    """A folder with a short path, a listening socket and servers, all let go by ``stack``."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="gl-", dir="/tmp")))
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))
    servers = StandIns(folder)
    stack.callback(servers.close)
    return folder, listener, servers
