"""What a serving engine adds to the pod of a model server. One file an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from manifests.model import Rendering
from release.bundle import Release

PORT = 8000

Volume = Mapping[str, Any]

DEPLOYED = (
    ("Deployment", "model-server"),
    ("Service", "service"),
    ("PodDisruptionBudget", "disruption-budget"),
)
"""Kind and template of each object of a model server."""


@dataclass(frozen=True)
class Mount:
    """A volume and where its container sees it."""

    name: str
    path: str
    volume: Volume
    read_only: bool = True


@dataclass(frozen=True)
class Server:
    """A model server: what it is in a cluster, and its container.

    ``objects`` are the kind and template of each object. Whatever they are, a Service of the
    server's name answers on port 80. ``resources`` are what the container asks for and, but for the
    processor, its limits; ``command`` is None for the image's own; ``environment`` are its
    variables, without secrets. ``tolerations`` and ``node_selector`` bring it to the nodes that it
    needs.
    """

    image: str
    arguments: tuple[str, ...]
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    command: tuple[str, ...] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    tolerations: tuple[Mapping[str, str], ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    objects: tuple[tuple[str, str], ...] = DEPLOYED


class Engine(Protocol):
    """Makes the container for a release in an environment, which has to drain in its time."""

    def __call__(self, release: Release, r: Rendering) -> Server:
        """BadInput for a release that it cannot serve there."""


def at(r: Rendering, key: str) -> str:
    """The path of ``key`` of the environment's section, as ``llm.yaml`` has it."""
    return f"environments.{r.environment}.kubernetes.{key}"
