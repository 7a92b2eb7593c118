"""Asking over HTTP, for every target that speaks it."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from collections.abc import Mapping
from typing import Any

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str, headers: Mapping[str, str], text: str = "Why?", **more: Any) -> Any:
    """The open answer to one question."""
    body = {"messages": [{"role": "user", "content": text}], "inputs": {"context": "Sky."}, **more}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(body).encode(),
        {**headers, "Content-Type": "application/json"},
    )
    return _DIRECT.open(request, timeout=120)


def label(url: str, headers: Mapping[str, str]) -> str:
    """The label of the release that answers."""
    with ask(url, headers) as answer:
        return str(json.load(answer)["system_fingerprint"])


class HttpStream(threading.Thread):
    """An answer of so many seconds, read as it comes."""

    def __init__(self, url: str, headers: Mapping[str, str], seconds: float) -> None:
        super().__init__(daemon=True)
        self.answer = ask(url, headers, f"Go on for {seconds} seconds.", stream=True)
        self.text = bytes(self.answer.readline())
        self.start()

    def run(self) -> None:
        """Read until it ends or breaks."""
        try:
            with self.answer:
                for line in self.answer:
                    self.text += line
        except (OSError, http.client.HTTPException):
            return

    def whole(self) -> bool:
        """Whether its end mark came."""
        self.join(120)
        return self.text.rstrip().endswith(b"data: [DONE]")
