"""What all tests share: how Hypothesis searches here, and a tiny application to break."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import tiny

# Before anything imports it: the page about targets does, too.
pytest.register_assert_rewrite("tests.targets.conformance")

# How long one example takes says nothing on a machine that does other work as well.
settings.register_profile(
    "greenlight", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("greenlight")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of a tiny application, complete and valid."""
    return tiny.write(tmp_path / "app")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for this test alone, which takes the place of the user's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/greenlight"
