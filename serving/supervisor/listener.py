"""The public listening socket: bound once, kept while gateways come and go.

Connections wait in its backlog while a crashed gateway restarts, instead of being refused.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from release.errors import BadInput, GreenlightError, Problem
from release.files import read_json, write_json

SETTINGS = "gateway.json"
PORT = "port.json"
"""The port in use. One that the kernel gave is remembered here, and asked for ever after."""

BACKLOG = 1024


class PortTaken(GreenlightError):
    """Another process listens there."""


_SETTLED = ("application", "environment", "host", "port")


def read_settings(folder: Path) -> dict[str, Any]:
    """gateway.json. FileNotFoundError when absent, BadInput when damaged."""
    document = read_json(folder / SETTINGS)
    if not isinstance(document, dict) or not document.keys() >= set(_SETTLED):
        expected, remedy = f"an object with {', '.join(_SETTLED)}", "`greenlight ship` writes it."
        raise BadInput(Problem(expected, remedy=remedy, file=str(folder / SETTINGS)))
    return document


def _number(document: Any, file: Path) -> int:
    port = document.get("port") if isinstance(document, dict) else None
    if type(port) is not int or not 0 <= port <= 65535:
        problem = Problem("a port from 0 to 65535", repr(port), file=str(file), path="port")
        raise BadInput(problem)
    return port


def remembered_port(folder: Path) -> int:
    """The port that was in use last; 0 when there was none."""
    try:
        return _number(read_json(folder / PORT), folder / PORT)
    except FileNotFoundError:
        return 0


def settled_port(folder: Path) -> int:
    """The port that the settings fix, else the one remembered, else 0 for the kernel to give."""
    fixed = _number(read_settings(folder), folder / SETTINGS)
    return fixed or remembered_port(folder)


def settled_address(folder: Path) -> str:
    """Where this machine reaches the gateway, as host:port."""
    return host_port(reachable(read_settings(folder)["host"]), settled_port(folder))


def host_port(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reachable(host: str) -> str:
    """Where to ask a gateway that listens on ``host``: every interface includes the loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def bind(folder: Path) -> socket.socket:
    """Listen where the environment's settings say, and remember the port.

    PortTaken names the port, and the process that holds it where this user may know.
    """
    host, port = read_settings(folder)["host"], settled_port(folder)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise _explained(error, host, port) from error
    given = listener.getsockname()[1]
    if given != remembered_port(folder):
        write_json(folder / PORT, {"port": given})
    return listener


def mend_port(folder: Path, gateways: Iterable[int]) -> bool:
    """Put a lost or damaged note of the port right; True when anything was done.

    What the gateway listens on, the process with one of these pids, is what it was.
    """
    damaged = False
    try:
        if remembered_port(folder):
            return False
    except BadInput:
        damaged = True
        (folder / PORT).unlink()  # when nothing listens, the kernel gives another
    ports = [port for pid in gateways for port in _listens_on(pid)]
    if ports:
        write_json(folder / PORT, {"port": ports[0]})
    return damaged or bool(ports)


def _listens_on(pid: int) -> list[int]:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return []
    return [one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN]


def _explained(error: OSError, host: str, port: int) -> GreenlightError:
    where = host_port(host, port)
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"Port {port} is taken: {holder(port)} listens there, so the gateway cannot use"
            f" {where}. End it, or choose another port for this environment."
        )
    return GreenlightError(f"The gateway cannot listen on {where}: {error.strerror}.")


def holder(port: int) -> str:
    """Who listens on ``port``, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        connections = []
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
        if listens and connection.pid:
            return _named(connection.pid)
    return "another process"


def _named(pid: int) -> str:
    try:
        return f"process {pid} ({psutil.Process(pid).name()})"
    except psutil.Error:
        return f"process {pid}"
