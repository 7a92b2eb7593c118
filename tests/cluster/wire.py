"""A wire to the API server that can be cut. Bytes pass as they are: TLS is none of its business."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Wire:
    """To a host and a port. ``cut``: what is under way breaks, and nobody gets through."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream, self._open, self._lock = upstream, set[socket.socket](), threading.Lock()
        self._is_cut = False

    def cut(self) -> None:
        """From now on, until it is mended."""
        with self._lock:
            self._is_cut = True
            for one in self._open:
                _end(one)

    def mend(self) -> None:
        """As before."""
        self._is_cut = False

    def carry(self, caller: socket.socket) -> None:
        """Until one of both sides hangs up."""
        with suppress(OSError), socket.create_connection(self._upstream) as onward:
            with self._lock:
                if self._is_cut:
                    return
                self._open |= {caller, onward}
            back = threading.Thread(target=_pour, args=(onward, caller))
            back.start()
            _pour(caller, onward)
            back.join()
            with self._lock:
                self._open -= {caller, onward}


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(65536):
            sink.sendall(some)
    _end(source)
    _end(sink)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextmanager
def wired(kubeconfig: Path, folder: Path) -> Iterator[tuple[Wire, Path]]:
    """A wire to the server of ``kubeconfig``, and a kubeconfig in ``folder`` that leads over it."""
    document = yaml.safe_load(kubeconfig.read_text())
    server = document["clusters"][0]["cluster"]
    address = urlsplit(server["server"])
    wire = Wire((str(address.hostname), int(address.port or 443)))

    class Caller(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            wire.carry(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Caller) as listening:
        listening.daemon_threads = True
        server["server"] = f"https://127.0.0.1:{listening.server_address[1]}"
        path = folder / "kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document))
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield wire, path
        finally:
            wire.cut()
            listening.shutdown()
            thread.join()
