"""A writer of an environment's folder, beside a controller, with a time of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.render import Rendered, render
from pipelines.gitops.writer import GitWriter, git_writer
from tests.manifests.making import release, rendering, settings
from tests.pipelines.gitops.conftest import Server
from tests.pipelines.gitops.test_controllers import Time, application

FOLDER = "assist/production"
BLUE = rendering(release())
BOTH = rendering(release(), release("Be kind."))


def of_slot(slot: str) -> list[Rendered]:
    """What is rendered for a slot alone."""
    return [one for one in render(BOTH) if one.name == f"assist-{slot}"]


def route(**weights: int) -> Rendered:
    """The HTTPRoute with these weights."""
    return next(one for one in render(replace(BOTH, weights=weights)) if one.kind == "HTTPRoute")


def follows(server: Server) -> Callable[..., Any]:
    """A controller that has whatever main is at."""
    return lambda *_: application(server.head)


def writer_of(
    server: Server, work: Path, read: Callable[..., Any], **git: Any
) -> tuple[GitWriter, Time]:
    """A writer with a time of its own, which passes by sleeping."""
    section = {"repository": str(server.bare), "controller": "argocd", **git}
    writer, time = git_writer(rendering(given=settings(git=section)), work, read), Time()
    writer.now, writer.sleep = time.now, time.sleep
    return writer, time


@pytest.fixture
def writer(server: Server, tmp_path: Path) -> GitWriter:
    """Beside a controller that is quick."""
    return writer_of(server, tmp_path / "work", follows(server))[0]
