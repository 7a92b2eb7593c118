"""What a private endpoint is called and found by: group ids of services, DNS zones of group ids.

The program makes endpoints and zones of these tables, and the rules hold plans against them.
"""

from __future__ import annotations

from collections.abc import Mapping

from policies.rules.azure import kinds

ZONES: Mapping[str, tuple[str, ...]] = {
    "blob": ("privatelink.blob.core.windows.net",),
    "file": ("privatelink.file.core.windows.net",),
    "queue": ("privatelink.queue.core.windows.net",),
    "table": ("privatelink.table.core.windows.net",),
    "vault": ("privatelink.vaultcore.azure.net",),
    "registry": ("privatelink.azurecr.io",),
    "amlworkspace": ("privatelink.api.azureml.ms", "privatelink.notebooks.azure.net"),
    "amlregistry": ("privatelink.api.azureml.ms",),
    "account": (
        "privatelink.openai.azure.com",
        "privatelink.cognitiveservices.azure.com",
        "privatelink.services.ai.azure.com",
    ),
    "namespace": ("privatelink.servicebus.windows.net",),
    "grafana": ("privatelink.grafana.azure.com",),
    "prometheusMetrics": ("privatelink.{region}.prometheus.monitor.azure.com",),
}
"""DNS zones of each kind of private endpoint (its group id), as far as they are for these services.
A container registry's data addresses stay in its one zone.
https://learn.microsoft.com/azure/private-link/private-endpoint-dns (2026-05-07)"""

GROUPS: Mapping[str, tuple[str, ...]] = {
    kinds.STORAGE: ("blob", "file"),
    kinds.VAULT: ("vault",),
    kinds.REGISTRY: ("registry",),
    kinds.WORKSPACE: ("amlworkspace",),
    kinds.MODELS: ("amlregistry",),
    kinds.ACCOUNT: ("account",),
    kinds.EVENTS: ("namespace",),
}
"""Group ids that each type is reached by: Azure ML keeps artifacts in blobs and code in files."""

BATCHES = ("queue", "table")
"""What a storage account needs besides: batch deployments keep their mini-batches there."""
