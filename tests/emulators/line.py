"""A line to an emulator on which every request can meet an accident of its own."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile

ACCIDENTS = ("lost", "unanswered", "refused", "refused after all", "late", "torn")
"""What can happen to a request: it never arrives; it is done and the answer is lost; the store is
too busy; it is done, and the answer says that the store was too busy; it arrives when the one after
it is through, and nobody waits for the answer; only its first half arrives."""

BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nConnection: close\r\n"
    b"Content-Length: 40\r\n\r\n<Error><Code>ServerBusy</Code></Error>  "
)


class Line:
    """Passes requests on to ``port``, each with the accident that is next in turn, if any."""

    def __init__(self, port: int, upstream: int) -> None:
        self.port, self._upstream = port, upstream
        self._lock = threading.Lock()
        self._accidents: deque[str] = deque()
        self._late: list[bytes] = []
        self.cut = False
        self.requests: list[str] = []

    def meets(self, accidents: Iterable[str]) -> None:
        """From now on; what was still to come is forgotten."""
        with self._lock:
            self._accidents = deque(accidents)
            self._late.clear()

    def held_back(self) -> tuple[bytes, ...]:
        """The requests that are late, which then never arrive by themselves."""
        with self._lock:
            late, self._late = tuple(self._late), []
            return late

    def send(self, requests: Iterable[bytes]) -> None:
        """Let them arrive after all; nobody waits for an answer."""
        for request in requests:
            self._pass_on(request)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Nothing is answered meanwhile."""
        with self._lock:
            yield

    def answer(self, request: bytes) -> bytes:
        """The answer to ``request``; empty when there is none."""
        with self._lock:
            accident = self._accidents.popleft() if self._accidents else ""
            self.requests.append(request.partition(b"\r\n")[0].decode())
            if self.cut or accident == "lost":
                return b""
            if accident == "refused":
                return BUSY
            if accident == "late":
                self._late.append(request)
                return b""
            half = len(request) - len(request.partition(b"\r\n\r\n")[2]) // 2
            answer = self._pass_on(request[:half] if accident == "torn" else request)
            while self._late:
                self._pass_on(self._late.pop())
        return {"unanswered": b"", "torn": b"", "refused after all": BUSY}.get(accident, answer)

    def _pass_on(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self._upstream)) as onward:
            onward.sendall(head + b"\r\nConnection: close\r\n\r\n" + body)
            onward.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: onward.recv(65536), b""))


@contextmanager
def line(upstream: int) -> Iterator[Line]:
    """A line to the emulator on port ``upstream``."""

    class OneRequest(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            rows = list(takewhile(lambda row: row != b"\r\n", self.rfile))
            if not rows:
                return  # a connection that was opened in reserve
            sizes = [row for row in rows if row.lower().startswith(b"content-length:")]
            body = self.rfile.read(int(sizes[0].partition(b":")[2])) if sizes else b""
            self.wfile.write(made.answer(b"".join(rows) + b"\r\n" + body))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OneRequest) as server:
        server.daemon_threads = True
        made = Line(server.server_address[1], upstream)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
