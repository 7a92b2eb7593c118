"""What a plan does not hold: what the pipeline will put into it, and what is there already.

Pulumi owns the shell of an endpoint, the pipeline its deployments, so their size and number come
from the settings. A capacity table without them would pass what cannot start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policies.arm.resource import ArmResource


@dataclass(frozen=True)
class Model:
    """Weights of ``gib`` GiB; ``gpus`` hold one copy together, None for all of a node."""

    gib: float
    gpus: int | None = None


@dataclass(frozen=True)
class Deployment:
    """What the pipeline deploys to a managed endpoint: one slot of it.

    ``endpoint`` is the endpoint's own name. ``size`` may be empty: the service's default.
    """

    endpoint: str
    size: str
    instances: int
    requests_per_second: float | None = None


@dataclass(frozen=True)
class Request:
    """What is asked beside the plan.

    ``region``: where resources are that name none. ``slots`` that exist at once while a release
    replaces another. ``models`` by the name of a pool or of an endpoint. ``image_gib``: container
    images that share the disk with a model. ``device_plugin`` and ``gpu_operator``: whether the
    cluster gets them. ``state``: the resources as they are now; empty where nothing is known.
    """

    region: str
    slots: int = 2
    deployments: tuple[Deployment, ...] = ()
    models: Mapping[str, Model] = field(default_factory=dict)
    image_gib: float = 0.0
    device_plugin: bool = False
    gpu_operator: bool = False
    state: Sequence[ArmResource] = ()
