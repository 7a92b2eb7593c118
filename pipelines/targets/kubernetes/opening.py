"""From an environment of ``llm.yaml`` to its target: what the target has to be told."""

from __future__ import annotations

from pipelines.cache import ModelCache
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.target import KubernetesTarget
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

    return KubernetesTarget(
        application=spec.name,
        environment=environment,
        settings=settings,
        state=state,
        markers=known,
        watching=lambda _: Watching((), {}),
        refusal=spec.evaluation.refusal,
        drain_seconds=round(spec.rollout.drain_seconds),
        ready_within=spec.rollout.progress_deadline,
        api=Api(settings.context),
    )
