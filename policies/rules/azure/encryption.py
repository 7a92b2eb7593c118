"""Data is unreadable in transit and at rest, and cannot be destroyed by a slip."""

from __future__ import annotations

from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.network import for_pools
from policies.rules.azure.values import (
    all_of,
    equals,
    is_true,
    said,
    value_at,
    value_in,
)
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

KEPT_DAYS = 7
"""Days that deleted blobs and secrets are kept at least: Azure's own smallest for a vault."""


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_in_transit(), *_at_rest(), *_kept())


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _in_transit() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-ENC-001",
            title="Storage speaks TLS 1.2 or newer",
            types=(kinds.STORAGE,),
            expected="minimumTlsVersion: TLS1_2",
            remedy="Set it; Azure does not take TLS1_3 as the smallest version.",
            source=f"{LEARN}/storage/common/transport-layer-security-configure-minimum-version",
            check=equals("properties.minimumTlsVersion", "TLS1_2", default="TLS1_0"),
        ),
        Rule(
            id="GL-AZ-ENC-002",
            title="Event Hubs speaks TLS 1.2 or newer",
            types=(kinds.EVENTS,),
            expected="minimumTlsVersion: 1.2",
            remedy="Set it: what Azure takes when it is absent has changed over the years.",
            source=f"{LEARN}/event-hubs/transport-layer-security-configure-minimum-version",
            check=equals("properties.minimumTlsVersion", "1.2"),
        ),
        Rule(
            id="GL-AZ-ENC-003",
            title="Storage takes HTTPS only",
            types=(kinds.STORAGE,),
            expected="supportsHttpsTrafficOnly: true",
            remedy="Remove it or set it to true.",
            source=f"{LEARN}/storage/common/storage-require-secure-transfer",
            check=is_true("properties.supportsHttpsTrafficOnly", default=True),
        ),
    )


def _at_rest() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-ENC-004",
            title="Storage is encrypted twice",
            types=(kinds.STORAGE,),
            expected="encryption.requireInfrastructureEncryption: true",
            remedy="Set it: it costs nothing, and only a new account can have it.",
            source=f"{LEARN}/storage/common/infrastructure-encryption-enable",
            check=is_true("properties.encryption.requireInfrastructureEncryption"),
        ),
        Rule(
            id="GL-AZ-ENC-005",
            title="Nodes encrypt their disks at the host",
            types=(kinds.CLUSTER, kinds.POOL),
            expected="enableEncryptionAtHost: true",
            remedy="Set it on every pool; it reaches temporary disks and caches, weights included.",
            source=f"{LEARN}/aks/enable-host-encryption",
            check=for_pools(_host_encryption),
        ),
    )


def _kept() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-VLT-001",
            title="Nobody purges the vault",
            types=(kinds.VAULT,),
            expected="enablePurgeProtection: true",
            remedy="Set it: without it a deleted key is gone, and all that it encrypts.",
            source=f"{LEARN}/key-vault/general/soft-delete-overview",
            check=is_true("properties.enablePurgeProtection"),
        ),
        Rule(
            id="GL-AZ-VLT-002",
            title="The vault keeps what is deleted",
            types=(kinds.VAULT,),
            expected=f"enableSoftDelete: true, for {KEPT_DAYS} to 90 days",
            remedy="Remove both settings: Azure's own are true and 90.",
            source=f"{LEARN}/key-vault/general/soft-delete-overview",
            check=all_of(is_true("properties.enableSoftDelete", default=True), _vault_days),
        ),
        Rule(
            id="GL-AZ-DAT-001",
            title="Deleted blobs can be had back",
            types=(kinds.BLOBS,),
            expected=f"deleteRetentionPolicy.enabled: true, for at least {KEPT_DAYS} days",
            remedy="Set both: the ledger and the models' weights are in there.",
            source=f"{LEARN}/storage/blobs/soft-delete-blob-overview",
            check=all_of(is_true("properties.deleteRetentionPolicy.enabled"), _blob_days),
        ),
    )


def _host_encryption(pool: Any) -> str | None:
    value = value_in(pool, "enableEncryptionAtHost", False) if pool != UNKNOWN else UNKNOWN
    return None if value is True else said("enableEncryptionAtHost", value)


def _vault_days(resource: ArmResource) -> str | None:
    return _days("softDeleteRetentionInDays", value_at(resource, _VAULT_DAYS, 90))


def _blob_days(resource: ArmResource) -> str | None:
    return _days("deleteRetentionPolicy.days", value_at(resource, _BLOB_DAYS, 0))


_VAULT_DAYS = "properties.softDeleteRetentionInDays"
_BLOB_DAYS = "properties.deleteRetentionPolicy.days"


def _days(name: str, days: Any) -> str | None:
    enough = isinstance(days, int | float) and days >= KEPT_DAYS
    return None if enough else said(name, days)
