"""``python -m tests.cluster.echo NAME --port=8080``: the smallest pod that can be told apart.

It answers with its name, goes on for ``/for/SECONDS``, breaks off on ``/break``, writes a line for
each request, and after SIGTERM finishes what it began. ``--deaf`` hears no SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
WORD_SECONDS = 0.05


class Echo(BaseHTTPRequestHandler):
    """HTTP/1.1, so that an answer that is cut can be seen to be cut."""

    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:
        if self.path == "/health":
            self._whole(b"ok")
            return
        print(f"{self.command} {self.path}", flush=True)  # noqa: T201 - the pod's log
        if self.path == "/break":
            self._head("Content-Length", "100")
            self.close_connection = True
            return
        length = int(self.headers.get("Content-Length", 0))
        said = self.rfile.read(length)
        if self.path.startswith("/for/"):
            self._stream(float(self.path.removeprefix("/for/")))
        else:
            self._whole(self.name.encode() + (b" " + said if said else b""))

    def do_POST(self) -> None:
        self.do_GET()

    def _head(self, name: str, value: str) -> None:
        self.send_response(200)
        self.send_header(name, value)
        self.send_header("x-pod", self.name)
        self.end_headers()

    def _whole(self, body: bytes) -> None:
        self._head("Content-Length", str(len(body)))
        self.wfile.write(body)

    def _stream(self, seconds: float) -> None:
        self._head("Transfer-Encoding", "chunked")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.wfile.write(b"5\r\nword \r\n")
            time.sleep(WORD_SECONDS)
        self.wfile.write(b"3\r\nend\r\n0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing but what is printed above."""


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--port", type=int)
    parser.add_argument("--deaf", action="store_true")
    options = parser.parse_args()
    Echo.name = options.name
    server = ThreadingHTTPServer((HOST, options.port), Echo)
    server.daemon_threads = False  # so that closing waits for them

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, signal.SIG_IGN if options.deaf else stop)
    server.serve_forever(poll_interval=0.05)
    server.server_close()


if __name__ == "__main__":
    main()
