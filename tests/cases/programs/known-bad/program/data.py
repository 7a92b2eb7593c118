"""Mistakes that make data readable, or let it be lost."""

from __future__ import annotations

import sound
from pulumi_azure_native import containerservice as aks
from pulumi_azure_native import eventhub, keyvault, storage

# GL-AZ-ENC-001: a protocol that is broken
storage.StorageAccount("old-tls", **sound.account("old-tls", minimum_tls_version="TLS1_0"))

# GL-AZ-ENC-002: a protocol that is broken
eventhub.Namespace("old-tls-events", **sound.events("old-tls", minimum_tls_version="1.0"))

# GL-AZ-ENC-003: plain text on the wire
storage.StorageAccount("plain-http", **sound.account("plain-http", enable_https_traffic_only=False))

# GL-AZ-ENC-004: encrypted once
storage.StorageAccount("once", **sound.account("once", encryption=None))

# GL-AZ-ENC-005: weights in the clear on temporary disks
aks.AgentPool("clear", **sound.pool("clear", enable_encryption_at_host=False))

# GL-AZ-VLT-001: what is deleted can be purged at once
keyvault.Vault("purged", **sound.vault("purged", enable_purge_protection=None))

# GL-AZ-VLT-002: what is deleted is gone
keyvault.Vault("hard-delete", **sound.vault("hard-delete", enable_soft_delete=False))

# GL-AZ-DAT-001: a ledger that one slip removes
storage.BlobServiceProperties("slip", **sound.blobs("slip", delete_retention_policy=None))
