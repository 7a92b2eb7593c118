"""Providers outside Azure that applications call: connections of the workspace.

The key is a secret of the stack. It goes to Key Vault as a secret of its own, for what runs in the
cluster, and to the connection as an engine's secret, which the workspace keeps in that same vault.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from infra.azure import settings
from infra.azure.context import Context
from infra.azure.workspace import Workspace


@dataclass(frozen=True)
class ConnectionArgs:
    """``key`` is kept secret by the engine, in state and in what it prints."""

    settings: settings.Connection
    workspace: Workspace
    key: pulumi.Output[str]


class Connection(pulumi.ComponentResource):
    """A connection with an API key, for everybody in the workspace."""

    def __init__(self, name: str, context: Context, args: ConnectionArgs) -> None:
        super().__init__("greenlight:azure:Connection", name)
        self.connection = ml.WorkspaceConnection(
            name,
            connection_name=args.settings.name,
            workspace_name=args.workspace.name,
            resource_group_name=context.group,
            properties=ml.ApiKeyAuthWorkspaceConnectionPropertiesArgs(
                auth_type="ApiKey",
                category="ApiKey",
                target=args.settings.url,
                credentials=ml.WorkspaceConnectionApiKeyArgs(key=pulumi.Output.secret(args.key)),
                expiry_time=f"{args.settings.expires}T00:00:00Z",
                is_shared_to_all=True,
            ),
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["properties"]),
        )
        self.register_outputs({"id": self.connection.id})


def host(url: str) -> str:
    """The host of a provider's URL: what a managed network has to let out to."""
    found = urlsplit(url).hostname
    if not found:
        raise ValueError(f"expected a URL with a host, found {url}")
    return found
