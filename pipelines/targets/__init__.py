"""Which targets there are. An unknown one is refused by name, never guessed."""

from __future__ import annotations

from pipelines.cache import ModelCache
from pipelines.targets.base import Target
from release.errors import BadInput, Problem
from release.spec import TARGETS, Spec
from release.state import StateFolder


def open_target(spec: Spec, environment: str, state: StateFolder, cache: ModelCache) -> Target:
    """The target that ``environment`` runs on. Nothing is started or written."""
    kind = spec.environments[environment].target
    if kind == "local":
        from pipelines.targets.local import LocalTarget

        return LocalTarget(spec.name, environment, state, cache, spec.rollout.progress_deadline)
    if kind == "kubernetes":
        from pipelines.targets.kubernetes.opening import open_kubernetes

        return open_kubernetes(spec, environment, state, cache)
    path = f"environments.{environment}.target"
    raise BadInput(Problem(f"one of {', '.join(TARGETS)}", kind, path=path))
