"""In the place of xllamacpp: llama.cpp's HTTP answers without a model. See ``interpreter``.

It answers at once; a question that says "for 3 seconds" is answered word by word for so long.
"""

from __future__ import annotations

import http.server
import json
import re
import socketserver
import threading
import time
from types import SimpleNamespace
from typing import Any

WORD_SECONDS = 0.05
WORKING: set[int] = set()
"""Threads that answer a question now."""


class CommonParams(SimpleNamespace):
    """Takes every setting, and follows none but where to listen."""

    def __init__(self) -> None:
        super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace(), port=0)


class Answers(http.server.BaseHTTPRequestHandler):
    """llama.cpp's answers. ``figures`` are the lines of its /metrics."""

    def figures(self) -> str:
        """Only what this stand-in knows."""
        return f"llamacpp:requests_processing {len(WORKING)}\nllamacpp:requests_deferred 0\n"

    def do_GET(self) -> None:
        metrics = self.path == "/metrics"
        self.begin("text/plain" if metrics else "application/json")
        self.wfile.write(self.figures().encode() if metrics else b'{"status": "ok"}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        WORKING.add(threading.get_ident())
        try:
            self.answer(body)
        finally:
            WORKING.discard(threading.get_ident())

    def answer(self, body: Any) -> None:
        """The answer to a chat request, as a stream."""
        asked = re.search(r"for ([\d.]+) seconds", body["messages"][-1]["content"])
        self.begin("text/event-stream")
        end = time.monotonic() + (float(asked[1]) if asked else 0.0)
        self._say({"content": "Yes"})
        while time.monotonic() < end:
            time.sleep(WORD_SECONDS)
            self._say({"content": " yes"})
        self._say({}, "stop")
        self._event({"id": "1", "choices": [], "usage": {"prompt_tokens": 9, "total_tokens": 10}})
        self.wfile.write(b"data: [DONE]\n\n")

    def begin(self, kind: str, status: int = 200) -> None:
        """The head of an answer."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()

    def _say(self, delta: dict[str, str], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self._event({"id": "1", "created": 1, "choices": [choice]})

    def _event(self, document: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Quiet(socketserver.ThreadingMixIn):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Whoever hung up has done so on purpose."""


class _Sockets(_Quiet, socketserver.UnixStreamServer):
    pass


class Ports(_Quiet, socketserver.TCPServer):
    """Answers on a TCP port."""

    allow_reuse_address = True


class Server:
    """Answers while it lives."""

    def __init__(self, parameters: CommonParams) -> None:
        host, port = parameters.hostnames[0], parameters.port
        server = Ports((host, port), Answers) if port else _Sockets(host, Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
