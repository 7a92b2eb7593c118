"""What everything else in a stack stands on: logs, network, storage, vault, registry, identities.

The cluster, the workspace and the applications take these; none of them knows another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.azure.context import Context
from infra.azure.identity import Identity, IdentityArgs
from infra.azure.monitoring import Monitoring, MonitoringArgs
from infra.azure.network import SUBNETS, Network, NetworkArgs
from infra.azure.registry import Registry
from infra.azure.settings import Application
from infra.azure.storage import Storage, StorageArgs
from infra.azure.tags import tags
from infra.azure.vault import Vault, VaultArgs, VaultSecret


@dataclass(frozen=True)
class Foundation:
    """The components; ``identities`` are those of the applications, by name."""

    monitoring: Monitoring
    network: Network
    storage: Storage
    vault: Vault
    registry: Registry
    identities: Mapping[str, Identity]


def foundation(context: Context) -> Foundation:
    """Declare what the stack stands on, in the order in which it leans on one another."""
    settings = context.settings
    monitoring = Monitoring("monitoring", context, MonitoringArgs(settings.log_retention_days))
    space = NetworkArgs(settings.network.address_space)
    net = Network("network", context, monitoring, space)
    storage = Storage("storage", context, monitoring, net, StorageArgs(_storage_groups(context)))
    vault = Vault("vault", context, monitoring, net, VaultArgs(_secrets(context)))
    registry = Registry("registry", context, monitoring, net)
    identities = {
        one.name: _identity(context, one, storage, vault, registry) for one in settings.applications
    }
    return Foundation(monitoring, net, storage, vault, registry, identities)


def outputs(base: Foundation) -> dict[str, Any]:
    """What others may know of it: ids, names and addresses, no secret."""
    return {
        "logs": {
            "workspace_id": base.monitoring.logs.id,
            "application_insights_id": base.monitoring.insights.id,
        },
        "network": {
            "id": base.network.network.id,
            "subnets": {name: base.network.subnet(name) for name in SUBNETS},
        },
        "storage": {"id": base.storage.id, "name": base.storage.account.name},
        "vault": {"id": base.vault.id, "uri": base.vault.uri},
        "registry": {"id": base.registry.id, "login_server": base.registry.login_server},
        "identities": {name: one.client_id for name, one in base.identities.items()},
    }


def _storage_groups(context: Context) -> tuple[str, ...]:
    # Batch deployments keep their mini-batches in queues and tables.
    batch = any(one.endpoint and one.endpoint.kind == "batch" for one in _applications(context))
    return ("blob", "file", "queue", "table") if batch else ("blob", "file")


def _applications(context: Context) -> tuple[Application, ...]:
    return context.settings.applications


def _secrets(context: Context) -> list[VaultSecret]:
    return [
        VaultSecret(one.secret, context.secrets[one.secret], one.expires, f"API key of {one.name}")
        for one in context.settings.connections
    ]


def _identity(
    context: Context, application: Application, storage: Storage, vault: Vault, registry: Registry
) -> Identity:
    """What an application acts as: it reads images, models and the keys of providers."""
    own = tags(context.settings, application.name, application.owner)
    identity = Identity(f"app-{application.name}", context, IdentityArgs(application.name, own))
    identity.allow("AcrPull", "registry", registry.id)
    identity.allow("Storage Blob Data Reader", "storage", storage.id)
    for name, secret in vault.secrets.items():
        identity.allow("Key Vault Secrets User", name, secret)
    return identity
