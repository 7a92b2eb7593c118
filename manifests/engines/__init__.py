"""Model servers as pods: one file an engine. Another serving platform comes as another file."""

from __future__ import annotations

from collections.abc import Mapping

from manifests.engines import llama_cpp, vllm
from manifests.engines.base import Engine, Server
from manifests.model import Rendering
from release.bundle import Release, RemoteWeights, VllmEngine

ENGINES: Mapping[str, Engine] = {"llama.cpp": llama_cpp.server, "vllm": vllm.server}


def server(release: Release, r: Rendering) -> Server:
    """The container that serves the release's model."""
    return ENGINES[release.engine.name](release, r)


def model_name(release: Release) -> str:
    """By which the application asks its model server; llama.cpp takes any."""
    engine = release.engine
    adapted = isinstance(engine, VllmEngine) and engine.adapter
    return vllm.ADAPTED if adapted else vllm.NAME


def fetched_by_pods(release: Release) -> bool:
    """Whether its pods ask the internet for weights; else the node brings them, or a volume."""
    weights = release.weights
    return isinstance(weights, RemoteWeights) and weights.source.startswith("hf://")
