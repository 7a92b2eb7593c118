"""A Prometheus that reads the targets that it is told: its own scraping, storage and queries.

What a PodMonitor would do is done by ``target``: the operator turns one into a job whose targets
have these labels (its documentation of PodMonitor, and ``podTargetLabels``). ``honorLabels`` is off
there as it is here: where a pod's own label has the name of one of these, Prometheus calls the
pod's ``exported_…``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from manifests.model import own
from tests.cluster.running import dying_with_parent

PATIENCE_SECONDS = 60
INTERVAL = 0.5
"""Seconds from one reading of a pod to the next."""

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Target = tuple[str, Mapping[str, str]]
"""``host:port``, and the labels that what is read there gets."""


def target(address: str, pod: Mapping[str, Any], container: str = "application") -> Target:
    """``address`` with the labels of ``pod``, as the API server has it, by our PodMonitor."""
    metadata = pod["metadata"]
    labels, namespace = metadata["labels"], metadata["namespace"]
    given = {
        "namespace": namespace,
        "pod": metadata["name"],
        "container": container,
        "endpoint": "http",
        "job": f"{namespace}/{labels['app.kubernetes.io/name']}",
    }
    for name in ("app.kubernetes.io/component", own("slot")):
        if name in labels:
            given[re.sub(r"\W", "_", name)] = labels[name]
    return address, given


class Prometheus:
    """The program at ``path``, with its files in ``folder``."""

    def __init__(self, path: str, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is asked. Another one after each start."""
        return (self._folder / "address").read_text()

    def scrape(self, targets: Sequence[Target]) -> None:
        """Read these from now on, and no others."""
        groups = [{"targets": [address], "labels": dict(labels)} for address, labels in targets]
        new = self._folder / "targets.new"
        new.write_text(json.dumps(groups))
        new.replace(self._folder / "targets.json")

    @contextmanager
    def running(self) -> Iterator[None]:
        """It runs while the block does, unless it is stopped in it."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def start(self) -> None:
        """Start it, with what it has stored so far."""
        address = self._folder / "address"
        address.unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                dying_with_parent(
                    self._path, "-folder", str(self._folder), "-interval", f"{INTERVAL}s"
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not address.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """End it; what it has stored stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Lose what was stored, while it is stopped."""
        assert self._process is None
        subprocess.run(["rm", "-rf", str(self._folder / "data")], check=True)

    def freeze(self) -> None:
        """It takes connections and answers none of them."""
        self._signal(signal.SIGSTOP)

    def hang_scraping(self) -> None:
        """It answers, and stores nothing any more."""
        self._signal(signal.SIGUSR1)

    def go_on_scraping(self) -> None:
        """As before."""
        self._signal(signal.SIGUSR2)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        body = urllib.parse.urlencode({"query": query}).encode()
        with _DIRECT.open(f"{self.url}/api/v1/query", body, timeout=PATIENCE_SECONDS) as answer:
            rows: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return rows

    def until_read(self, pods: int = 1) -> None:
        """Return when it has read as many pods, begun after this call."""
        since = time.time()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (
            sum(float(one["value"][1]) > since for one in self.ask("timestamp(up) and up == 1"))
            < pods
        ):
            assert time.monotonic() < deadline, self.ask("up")
            time.sleep(0.05)
