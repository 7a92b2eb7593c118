"""Azure ML on the stack's foundation: registry, workspace, connections, shells of endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from infra.azure import settings
from infra.azure.connections import Connection, ConnectionArgs, host
from infra.azure.context import Context
from infra.azure.endpoints import Endpoint, EndpointArgs
from infra.azure.foundation import Foundation
from infra.azure.identity import Identity, IdentityArgs
from infra.azure.model_registry import ModelRegistry, ModelRegistryArgs
from infra.azure.settings import Application
from infra.azure.tags import tags
from infra.azure.workspace import Reached, Workspace, WorkspaceArgs

WORKSPACE = "workspace"
SECRETS_READER = "Azure Machine Learning Workspace Connection Secrets Reader"


def machine_learning(
    context: Context,
    base: Foundation,
    cluster: pulumi.Input[str] | None = None,
    reaches: Mapping[str, Reached] | None = None,
) -> dict[str, Any]:
    """Declare Azure ML, where the settings want it; its outputs.

    ``cluster`` is the AKS cluster's id, for Kubernetes endpoints. ``reaches`` are resources of
    other components that deployments call over private endpoints, such as Azure OpenAI.
    """
    wanted = context.settings.workspace
    if wanted is None:
        return {}
    models = _models(context, base, wanted)
    identity = Identity(WORKSPACE, context, IdentityArgs("", context.tags))
    if models is not None:
        identity.allow("AzureML Registry User", "models", models)
    ways = {**_ways(context, base, models), **(reaches or {})}
    workspace = _workspace(context, base, wanted, identity, ways)
    _connections(context, workspace)
    endpoints = {
        one.name: _endpoint(context, base, workspace, one, one.endpoint, cluster)
        for one in context.settings.applications
        if one.endpoint is not None
    }
    return {
        "workspace": {
            "id": workspace.id,
            "name": workspace.name,
            "identity_client_id": identity.client_id,
        },
        "model_registry": {"id": models},
        "endpoints": {
            one.name: _described(one.endpoint, endpoints[one.name])
            for one in context.settings.applications
            if one.endpoint is not None
        },
    }


def _models(
    context: Context, base: Foundation, wanted: settings.Workspace
) -> pulumi.Input[str] | None:
    """The id of the registry: made here, or elsewhere and then reached over an endpoint."""
    if wanted.registry:
        args = ModelRegistryArgs(wanted.registry)
        return ModelRegistry("models", context, base.monitoring, base.network, args).id
    if wanted.registry_id:
        base.network.private_endpoint("models", wanted.registry_id, "amlregistry", base.network)
        return wanted.registry_id
    return None


def _ways(
    context: Context, base: Foundation, models: pulumi.Input[str] | None
) -> dict[str, Reached]:
    """What the managed network reaches over private endpoints, beside what Azure adds itself."""
    ways = {} if models is None else {"models": Reached(models, "amlregistry")}
    scope = context.settings.network.monitor_scope
    if scope:
        ways["monitor"] = Reached(scope, "azuremonitor")
    if any(one.endpoint and one.endpoint.kind == "batch" for one in context.settings.applications):
        ways |= {f"storage-{one}": Reached(base.storage.id, one) for one in ("queue", "table")}
    return ways


def _workspace(
    context: Context,
    base: Foundation,
    wanted: settings.Workspace,
    identity: Identity,
    ways: Mapping[str, Reached],
) -> Workspace:
    providers = [host(one.url) for one in context.settings.connections]
    args = WorkspaceArgs(
        settings=wanted,
        identity=identity,
        storage=base.storage,
        vault=base.vault,
        registry=base.registry,
        hosts=tuple(dict.fromkeys([*wanted.outbound, *providers])),
        reaches=ways,
    )
    return Workspace(WORKSPACE, context, base.monitoring, base.network, args)


def _connections(context: Context, workspace: Workspace) -> None:
    for one in context.settings.connections:
        args = ConnectionArgs(one, workspace, context.secrets[one.secret])
        Connection(f"connection-{one.name}", context, args)


def _endpoint(
    context: Context,
    base: Foundation,
    workspace: Workspace,
    application: Application,
    wanted: settings.Endpoint,
    cluster: pulumi.Input[str] | None,
) -> Endpoint:
    identity = base.identities[application.name]
    identity.allow("AzureML Metrics Writer (preview)", WORKSPACE, workspace.id)
    if context.settings.connections:
        identity.allow(SECRETS_READER, WORKSPACE, workspace.id)
    own = tags(context.settings, application.name, application.owner)
    args = EndpointArgs(application, wanted, workspace, identity, own, cluster)
    return Endpoint(f"endpoint-{application.name}", context, base.monitoring, args)


def _described(wanted: settings.Endpoint, endpoint: Endpoint) -> dict[str, Any]:
    return {
        "kind": wanted.kind,
        "id": endpoint.id,
        "name": endpoint.name,
        "scoring_uri": endpoint.scoring_uri,
    }
