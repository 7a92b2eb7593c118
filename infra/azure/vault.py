"""The key vault, and the secrets of providers outside Azure in it.

A secret comes from the stack's encrypted settings, as an Output that the engine keeps secret; it
goes to the vault and nowhere else in the clear. What is deleted stays for 90 days and nobody can
purge it: a vault of the same name can be recovered in that time, not made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pulumi
from pulumi_azure_native import keyvault

from infra.azure.context import Context
from infra.azure.monitoring import Monitoring
from infra.azure.network import Network

DELETED_DAYS = 90
"""Days that a deleted secret or vault can be had back: the longest that Key Vault has."""


@dataclass(frozen=True)
class VaultSecret:
    """A secret: its name, its value, and the day (ISO) by which it has to be renewed."""

    name: str
    value: pulumi.Output[str]
    expires: str
    content_type: str


@dataclass(frozen=True)
class VaultArgs:
    """What the vault holds."""

    secrets: Sequence[VaultSecret] = ()


class Vault(pulumi.ComponentResource):
    """Key Vault by Azure RBAC. ``secrets`` are the ids of those in it, by name."""

    def __init__(
        self, name: str, context: Context, monitoring: Monitoring, network: Network, args: VaultArgs
    ) -> None:
        super().__init__("greenlight:azure:Vault", name)
        self._context = context
        self.vault = self._vault()
        self.id = self.vault.id
        self.uri = self.vault.properties.apply(lambda properties: properties.vault_uri)
        self.secrets = {secret.name: self._secret(secret).id for secret in args.secrets}
        monitoring.diagnostics("vault", self.id, self)
        network.private_endpoint("vault", self.id, "vault", self)
        self.register_outputs({"id": self.id, "uri": self.uri})

    def _vault(self) -> keyvault.Vault:
        context = self._context
        return keyvault.Vault(
            "vault",
            vault_name=context.names.short("kv"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=context.tenant,
                sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_purge_protection=True,
                enable_soft_delete=True,
                soft_delete_retention_in_days=DELETED_DAYS,
                public_network_access=context.public_access,
                network_acls=keyvault.NetworkRuleSetArgs(
                    default_action=context.default_action,
                    bypass="AzureServices",  # the resource manager is one: it writes the secrets
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )

    def _secret(self, secret: VaultSecret) -> keyvault.Secret:
        expires = datetime.fromisoformat(secret.expires).replace(tzinfo=UTC)
        return keyvault.Secret(
            f"secret-{secret.name}",
            secret_name=secret.name,
            vault_name=self.vault.name,
            resource_group_name=self._context.group,
            tags=self._context.tags,
            properties=keyvault.SecretPropertiesArgs(
                value=pulumi.Output.secret(secret.value),
                content_type=secret.content_type,
                attributes=keyvault.SecretAttributesArgs(
                    enabled=True, expires=int(expires.timestamp())
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self.vault),
        )
