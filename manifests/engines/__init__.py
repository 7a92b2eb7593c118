"""Model servers as pods: one file an engine. Another serving platform comes as another file."""

from __future__ import annotations

from manifests.engines import llama_cpp
from release.bundle import Release

_ENGINES = {"llama.cpp": llama_cpp}


def template_of(release: Release) -> str:
    """The template of the release's model server."""
    return _ENGINES[release.engine.name].TEMPLATE


def arguments(release: Release) -> list[str]:
    """What its container is started with."""
    return _ENGINES[release.engine.name].arguments(release)
