"""The local target: its real gateway, supervisor and applications, and a model that is quick."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.cache import ModelCache
from pipelines.targets.local import LocalTarget
from release.bundle import Release
from release.state import StateFolder
from serving import local, processes
from tests.serving.making import eventually, gguf
from tests.targets import asking
from tests.targets.conformance import Conformance
from tests.targets.interpreter import with_standin
from tests.targets.releases import make

MODEL = gguf({"<|end|>": 3})
WEIGHTS = {"sha256": hashlib.sha256(MODEL).hexdigest(), "size": len(MODEL), "format": "gguf"}


@dataclass
class LocalBed:
    """An environment of its own in a folder with a short name."""

    target: LocalTarget
    last: int = 0

    def nowhere(self) -> LocalTarget:
        """An environment that nobody created."""
        return LocalTarget("tiny-bot", "nowhere", self.target.state, self.target.cache)

    def fence(self) -> int:
        """Counted."""
        self.last += 1
        return self.last

    def release(self, name: str, *, broken: bool = False, dedicated: bool = False) -> Release:
        """Of a model that is nothing but a vocabulary."""
        return make(name, broken, dedicated, WEIGHTS)

    def ask(self) -> str:
        """With a user's key."""
        key = self.target.key_file("user").read_text().strip()
        return asking.label(self.target.facts().address, {"Authorization": f"Bearer {key}"})

    def ask_pinned(self, slot: str) -> str:
        """As the target says."""
        endpoint = self.target.endpoint(slot)
        return asking.label(endpoint.url, endpoint.headers)

    def stream(self, slot: str, seconds: float) -> asking.HttpStream:
        """Pinned, so that any slot can have one."""
        endpoint = self.target.endpoint(slot)
        return asking.HttpStream(endpoint.url, endpoint.headers, seconds)

    def restart(self) -> None:
        """SIGKILL for the gateway."""
        before = self._gateway()
        os.kill(before, signal.SIGKILL)
        eventually(lambda: self._gateway() != before, "the supervisor has seen it")
        eventually(lambda: self.target.facts().provisioned, "it answers")

    def watched(self) -> bool:
        """What the supervisor goes by."""
        return bool(local.declared(self.target.folder).watch)

    def servers(self) -> int:
        """Real processes."""
        found = processes.marked(self.target.folder)
        return sum("serving.engine" in one.command for one in found)

    def _gateway(self) -> int:
        return int(local.observed(self.target.folder).get("gateway", {}).get("pid") or 0)


@pytest.fixture(scope="module")
def environment() -> Iterator[LocalBed]:
    """Created once: each test puts its slots right."""
    folder = Path(tempfile.mkdtemp(prefix="gl-", dir="/tmp"))
    state, cache = StateFolder(folder / "app"), ModelCache(folder / "cache", 1 << 20)
    target = LocalTarget("tiny-bot", "staging", state, cache)
    model = cache.path(str(WEIGHTS["sha256"]))
    model.parent.mkdir(parents=True)
    model.write_bytes(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", with_standin(folder / "python"))
        local.create(target.folder, local.EnvironmentSettings("tiny-bot", "staging", state.keys))
        yield LocalBed(target)
        local.destroy(target.folder)
    assert processes.marked(target.folder) == []
    shutil.rmtree(folder)


@pytest.mark.slow
class TestLocal(Conformance):
    """``LocalTarget``."""

    @pytest.fixture
    def bed(self, environment: LocalBed) -> LocalBed:
        """The one environment."""
        return environment

    def test_s23_a_gateway_that_is_killed_in_mid_stream_leaves_no_end_mark(
        self, bed: LocalBed
    ) -> None:
        """So that no client takes the part for the whole; the next request is answered."""
        stream = bed.stream("green", 60.0)

        bed.restart()

        assert not stream.whole()
        assert stream.text
        assert bed.ask() == bed.release("one").label
