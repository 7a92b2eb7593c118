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


class CommonParams(SimpleNamespace):
    """Takes every setting, and follows none but the socket."""

    def __init__(self) -> None:
        super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace())


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._begin("application/json")
        self.wfile.write(b'{"status": "ok"}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = re.search(r"for ([\d.]+) seconds", body["messages"][-1]["content"])
        self._begin("text/event-stream")
        end = time.monotonic() + (float(asked[1]) if asked else 0.0)
        self._say({"content": "Yes"})
        while time.monotonic() < end:
            time.sleep(WORD_SECONDS)
            self._say({"content": " yes"})
        self._say({}, "stop")
        self._event({"id": "1", "choices": [], "usage": {"prompt_tokens": 9, "total_tokens": 10}})
        self.wfile.write(b"data: [DONE]\n\n")

    def _begin(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.end_headers()

    def _say(self, delta: dict[str, str], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self._event({"id": "1", "created": 1, "choices": [choice]})

    def _event(self, document: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(document).encode() + b"\n\n")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class _Sockets(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Whoever hung up has done so on purpose."""


class Server:
    """Answers while it lives."""

    def __init__(self, parameters: CommonParams) -> None:
        server = _Sockets(parameters.hostnames[0], _Answers)
        threading.Thread(target=server.serve_forever, daemon=True).start()
