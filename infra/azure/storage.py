"""The storage account: models, data, ledger and evidence. Entra identities only, no keys."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import storage

from infra.azure.context import Context
from infra.azure.monitoring import Monitoring
from infra.azure.network import Network
from policies.limits.tables import document

WITHOUT_ZONES = frozenset(document("regions")["without_zones"])
"""Regions without availability zones, where nothing can be kept in three of them."""

DELETED_DAYS = 30
"""Days that something deleted can be had back: longer than anybody's holidays."""


@dataclass(frozen=True)
class StorageArgs:
    """``groups`` are the services with private endpoints; a workspace needs blob and file."""

    groups: tuple[str, ...] = ("blob", "file")


class Storage(pulumi.ComponentResource):
    """Storage account with versions, soft delete and private endpoints."""

    def __init__(
        self,
        name: str,
        context: Context,
        monitoring: Monitoring,
        network: Network,
        args: StorageArgs,
    ) -> None:
        super().__init__("greenlight:azure:Storage", name)
        self._context = context
        self.account = self._account()
        self.blobs = self._blob_service()
        self.id = self.account.id
        monitoring.diagnostics("blobs", self.blobs.id, self)
        made = (
            network.private_endpoint(f"storage-{group}", self.id, group, self)
            for group in args.groups
        )
        self.private_endpoints = [one for one in made if one is not None]
        self.register_outputs({"id": self.id})

    def _account(self) -> storage.StorageAccount:
        context = self._context
        # Zones, not pairs of regions: a pair may be outside the regions that data may be in.
        kept = "Standard_LRS" if context.location in WITHOUT_ZONES else "Standard_ZRS"
        return storage.StorageAccount(
            "storage",
            account_name=context.names.solid("st"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            kind="StorageV2",
            sku=storage.SkuArgs(name=kept),
            access_tier=storage.AccessTier.HOT,
            allow_blob_public_access=False,
            allow_cross_tenant_replication=False,
            allow_shared_key_access=False,
            default_to_o_auth_authentication=True,
            is_local_user_enabled=False,
            enable_https_traffic_only=True,
            minimum_tls_version="TLS1_2",
            encryption=storage.EncryptionArgs(
                key_source="Microsoft.Storage", require_infrastructure_encryption=True
            ),
            sas_policy=storage.SasPolicyArgs(
                expiration_action="Log", sas_expiration_period="1.00:00:00"
            ),
            public_network_access=context.public_access,
            network_rule_set=storage.NetworkRuleSetArgs(
                default_action=storage.DefaultAction(context.default_action),
                bypass="AzureServices",  # the workspace is one: it reads what jobs wrote
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )

    def _blob_service(self) -> storage.BlobServiceProperties:
        kept = storage.DeleteRetentionPolicyArgs(enabled=True, days=DELETED_DAYS)
        return storage.BlobServiceProperties(
            "blobs",
            account_name=self.account.name,
            blob_services_name="default",
            resource_group_name=self._context.group,
            is_versioning_enabled=True,
            delete_retention_policy=kept,
            container_delete_retention_policy=kept,
            opts=pulumi.ResourceOptions(parent=self.account),
        )
