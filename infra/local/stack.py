"""Component: all environments of an application on this machine."""

from __future__ import annotations

from typing import Any

import pulumi

from infra.local.environment import LocalEnvironment
from infra.settings import StackSettings
from release.spec import LOCAL, RateLimit, load_spec
from release.state import StateFolder


class LocalApplication(pulumi.ComponentResource):
    """The environments of ``llm.yaml`` that run here, each with its gateway and supervisor."""

    def __init__(self, settings: StackSettings) -> None:
        spec = load_spec(settings.app, settings.changes)
        super().__init__("greenlight:local:Application", spec.name)
        state = StateFolder(settings.app)
        self.environments = {
            name: LocalEnvironment(
                f"{spec.name}-{name}",
                application=spec.name,
                environment=name,
                folder=str(state.environment(name)),
                keys_folder=str(state.keys),
                port=environment.port,
                refusal=list(spec.evaluation.refusal),
                rate_limit=_plain(environment.rate_limit),
                options=pulumi.ResourceOptions(parent=self),
            )
            for name, environment in spec.environments.items()
            if environment.target == LOCAL
        }
        self.register_outputs({})


def _plain(limit: RateLimit | None) -> dict[str, float] | None:
    return None if limit is None else limit.model_dump()


def provision(settings: StackSettings) -> dict[str, dict[str, Any]]:
    """Declare the application's environments; what the outputs say of each, by name."""
    application = LocalApplication(settings)
    return {
        name: {"target": "local", "address": one.address, "folder": one.folder}
        for name, one in application.environments.items()
    }
