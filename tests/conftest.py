"""What all tests share: how Hypothesis searches here, and a tiny application to break."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests import tiny

pytest_plugins = ["tests.emulators.fixtures"]

# Before anything imports it: the page about targets does, too.
pytest.register_assert_rewrite("tests.targets.conformance")

pytest_plugins = ["tests.cluster.fixtures"]

# How long one example takes says nothing on a machine that does other work as well.
settings.register_profile(
    "greenlight", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("greenlight")


APART = {"tests/e2e/test_kills.py", "tests/pipelines/test_chaos.py"}
"""Files of long tests with nothing in common: each may go to another worker."""


def piece(nodeid: str) -> str:
    """What goes to one worker as a whole: a file, whose tests may share what is dear to set up."""
    file = nodeid.partition("::")[0]
    return nodeid if file in APART else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Hands out pieces, in the order of the collection.

    ``--dist loadgroup`` cannot: xdist 3.8 writes groups where pytest 9.2 does not read them.
    """
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = piece
    return scheduler


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several are at work, what may take longest is begun first: none is left with it at
    the end.
    """
    if not hasattr(config, "workerinput"):
        return
    longest: dict[str, tuple[int, int]] = {}
    for item in items:
        seconds, (most, all_) = at_most(item), longest.get(piece(item.nodeid), (0, 0))
        longest[piece(item.nodeid)] = (max(most, seconds), all_ + seconds)
    items.sort(key=lambda item: longest[piece(item.nodeid)], reverse=True)  # stable


def at_most(item: pytest.Item) -> int:
    """Seconds until it is given up; 0 for one that is not slow."""
    if item.get_closest_marker("slow") is None:
        return 0
    timeout = item.get_closest_marker("timeout")
    return int(timeout.args[0] if timeout else item.config.getini("timeout"))


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of a tiny application, complete and valid."""
    return tiny.write(tmp_path / "app")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for this test alone, which takes the place of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/greenlight"


@pytest.fixture(scope="session")
def engine() -> str:
    """The Pulumi CLI. Without it these tests fail in CI, and are skipped loudly elsewhere."""
    found = os.environ.get("GREENLIGHT_PULUMI") or shutil.which("pulumi")
    if not found and os.environ.get("CI"):
        pytest.fail("the Pulumi CLI is not there; run the tests with ./greenlight test")
    if not found:
        pytest.skip("the Pulumi CLI is not there; run the tests with ./greenlight test")
    return found
