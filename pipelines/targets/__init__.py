"""Which targets there are. An unknown one is refused by name, never guessed."""

from __future__ import annotations

from pipelines.cache import ModelCache
from pipelines.targets.base import Target
from release.errors import BadInput, Problem
from release.spec import Spec
from release.state import StateFolder


def open_target(spec: Spec, environment: str, state: StateFolder, cache: ModelCache) -> Target:
    """The target that ``environment`` runs on. Nothing is started or written."""
    kind = spec.environments[environment].target
    if kind == "local":
        from pipelines.targets.local import LocalTarget

        return LocalTarget(spec.name, environment, state, cache, spec.rollout.progress_deadline)
    path = f"environments.{environment}.target"
    remedy = "`greenlight render` writes its manifests; this version ships to local alone."
    raise BadInput(Problem("local", kind, remedy, path=path))
