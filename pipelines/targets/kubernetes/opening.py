"""From an environment of ``llm.yaml`` to its target: what the target has to be told."""

from __future__ import annotations

from manifests.model import Rendering
from pipelines.cache import ModelCache
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.slots import Patience
from pipelines.targets.kubernetes.target import KubernetesTarget
from pipelines.targets.kubernetes.watching import to_take_away, watcher_objects, watcher_secret
from pipelines.targets.kubernetes.writer import Watching
from release.bundle import Release
from release.errors import BadInput, Problem
from release.markers import markers
from release.spec import Spec
from release.state import StateFolder


def open_kubernetes(
    spec: Spec, environment: str, state: StateFolder, cache: ModelCache
) -> KubernetesTarget:
    """The environment's target. Nothing is asked of the cluster yet."""
    settings = spec.environments[environment].kubernetes
    if settings is None:
        path = f"environments.{environment}.kubernetes"
        raise BadInput(Problem("where in a cluster it runs", "nothing", path=path))

    def known(release: Release) -> tuple[str, ...] | None:
        """By the model's file, where this machine has it: one that a cluster fetches is unread."""
        file = release.file and cache.path(release.file.sha256)
        return tuple(sorted(markers(file))) if file and file.is_file() else None

    def watching(rendering: Rendering) -> Watching:
        objects, secret = watcher_objects(rendering, spec), watcher_secret(rendering, state)
        return Watching(objects, secret, to_take_away(rendering))

    drain = round(spec.rollout.drain_seconds)
    return KubernetesTarget(
        Ground(spec.name, environment, settings, drain, Api(settings.context)),
        state,
        known,
        watching,
        spec.evaluation.refusal,
        Patience(ready=spec.rollout.progress_deadline),
        stepwise=_is_stepwise(spec, environment),
    )


def _is_stepwise(spec: Spec, environment: str) -> bool:
    """As ``pipelines.plan`` has it: the first of several has no users to move step by step."""
    first, *others = spec.environments
    return environment != first or not others
