"""One local environment as a Pulumi resource: a gateway and its supervisor in a folder.

The engine stores the provider class itself in its state, and sees every edit of it as a change
of every resource. So the class holds nothing: it calls functions that are imported when used.
"""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)


class LocalEnvironmentProvider(ResourceProvider):
    """Calls ``infra.local.provider``, which is free to change."""

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Bring the environment up, or adopt it where it runs."""
        from infra.local import provider

        return CreateResult(id_=props["folder"], outs=provider.up(props))

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compare what is with what is asked; an environment that is down is a change."""
        from infra.local import provider

        changes, replaces = provider.differences(_olds, _news)
        return DiffResult(changes=changes, replaces=replaces, delete_before_replace=True)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What is there now."""
        from infra.local import provider

        found = provider.now(id_, props)
        return ReadResult(id_=id_ if found else "", outs=found or {})

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Apply changed settings, or bring it back up."""
        from infra.local import provider

        return UpdateResult(outs=provider.up(_news))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """End every process and remove every file of the environment."""
        from infra.local import provider

        provider.down(_id)


class LocalEnvironment(Resource, module="local", name="Environment"):
    """An environment on this machine. ``address`` is the gateway's URL."""

    address: pulumi.Output[str]
    folder: pulumi.Output[str]

    def __init__(
        self,
        resource_name: str,
        *,
        application: str,
        environment: str,
        folder: str,
        keys_folder: str,
        port: int,
        refusal: list[str],
        rate_limit: dict[str, float] | None,
        options: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(
            LocalEnvironmentProvider(),
            resource_name,
            {
                "application": application,
                "environment": environment,
                "folder": folder,
                "keys_folder": keys_folder,
                "port": port,
                "refusal": refusal,
                "rate_limit": rate_limit,
                "address": None,
                "running": None,
            },
            options,
        )
