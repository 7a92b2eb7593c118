"""What is sent to Prometheus, and what comes back that is no answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from pipelines.targets.kubernetes.prometheus import TOKEN, Prometheus
from release.errors import GreenlightError


class Answering:
    """A server that answers everything alike and notes what it was asked."""

    def __init__(self, status: int, body: str, **headers: str) -> None:
        self.asked: list[tuple[str, str | None]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                asked.append((self.path, self.headers["Authorization"]))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            do_GET = do_POST  # noqa: N815 - as it is called

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def serving(self) -> Iterator[Answering]:
        """It serves while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


NOTHING = json.dumps({
    "status": "success",
    "data": {"resultType": "vector", "result": [{"metric": {"kind": "now"}, "value": [5, "5"]}]},
})  # fmt: skip


def test_the_token_does_not_leave_this_machine_in_the_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever address a file names."""
    monkeypatch.setenv(TOKEN, "abc.def")

    with pytest.raises(GreenlightError, match="not sent without TLS") as caught:
        Prometheus("http://prometheus.example.com").ask("up")

    assert "abc.def" not in str(caught.value)


def test_the_token_is_sent_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a workspace of Azure Monitor wants it; a redirect is not followed with it."""
    monkeypatch.setenv(TOKEN, "abc.def")
    with Answering(200, NOTHING).serving() as good:
        rows = Prometheus(f"{good.url}/workspace/").ask("up")
        assert rows == [{"metric": {"kind": "now"}, "value": [5, "5"]}]
        assert good.asked == [("/workspace/api/v1/query", "Bearer abc.def")]
        with (
            Answering(307, "", Location=good.url).serving() as elsewhere,
            pytest.raises(GreenlightError, match="HTTP status 307"),
        ):
            Prometheus(elsewhere.url).ask("up")
        assert len(good.asked) == 1


@pytest.mark.parametrize(
    ("status", "body", "token", "says"),
    [
        (401, "", "", f"wants a token, and there is none in {TOKEN}"),
        (403, "", "abc.def", f"does not accept {TOKEN}"),
        (422, '{"error": "query timed out"}', "", "refused the query: query timed out"),
        (422, '{"error": "odd: abc.def"}', "abc.def", r"refused the query: odd: \*\*\*"),
        (502, "<html>", "", "HTTP status 502; is this the address of Prometheus"),
        (200, "<html>", "", "does not speak Prometheus' API"),
        (200, '{"status": "success", "data": {"resultType": "matrix"}}', "", "does not speak"),
        (200, "[]", "", "does not speak"),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int, body: str, token: str, says: str
) -> None:
    """And never holds the token."""
    monkeypatch.setenv(TOKEN, token)
    with (
        Answering(status, body).serving() as server,
        pytest.raises(GreenlightError, match=says) as caught,
    ):
        Prometheus(server.url).ask("up")
    assert "abc.def" not in str(caught.value)
