"""Resources that no rule refuses, as keyword arguments: a mistake is one of these, changed.

Where an input may be of several kinds, the SDK takes a mapping as it is: keys are Azure's there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GROUP = "rg-known"
TAGS = {
    "environment": "production",
    "owner": "a-team",
    "cost-centre": "cc-1",
    "data-classification": "internal",
    "managed-by": "pulumi",
}
PLACED = {"resource_group_name": GROUP, "location": "swedencentral", "tags": TAGS}
CLOSED = {"public_network_access": "Disabled"}
GUID = "00000000-0000-0000-0000-00000000000a"
SUBSCRIPTION = f"/subscriptions/{GUID}"
PROVIDERS = f"{SUBSCRIPTION}/resourceGroups/{GROUP}/providers"
LOGS = f"{PROVIDERS}/Microsoft.OperationalInsights/workspaces/logs"
TOLD = f"{PROVIDERS}/Microsoft.Insights/actionGroups/told"
CLUSTER = f"{PROVIDERS}/Microsoft.ContainerService/managedClusters"
ENDPOINT = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
SYSTEM = {"type": "SystemAssigned"}
IMAGE = "mcr.microsoft.com/oss/proxy@sha256:" + 64 * "0"
HARMS = ("Hate", "Sexual", "Violence", "Selfharm")


def laid(over: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` with ``changes``, key by key at every depth; None takes a key away."""
    both = {**over, **changes}
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(over.get(key), Mapping):
            both[key] = laid(over[key], change)
    return {key: value for key, value in both.items() if value is not None}


def account(name: str, **changes: Any) -> dict[str, Any]:
    """A storage account."""
    sound = {
        **PLACED,
        **CLOSED,
        "account_name": name.replace("-", ""),
        "kind": "StorageV2",
        "sku": {"name": "Standard_ZRS"},
        "minimum_tls_version": "TLS1_2",
        "allow_shared_key_access": False,
        "allow_blob_public_access": False,
        "encryption": {"require_infrastructure_encryption": True},
        "network_rule_set": {"default_action": "Deny", "bypass": "AzureServices"},
    }
    return laid(sound, changes)


def blobs(of: str, **changes: Any) -> dict[str, Any]:
    """The blob service of an account."""
    kept = {"enabled": True, "days": 14}
    sound = {
        "account_name": of.replace("-", ""),
        "blob_services_name": "default",
        "resource_group_name": GROUP,
        "delete_retention_policy": kept,
    }
    return laid(sound, changes)


def vault(name: str, **changes: Any) -> dict[str, Any]:
    """A key vault; ``changes`` are of its properties."""
    properties = {
        **CLOSED,
        "tenant_id": GUID,
        "sku": {"family": "A", "name": "standard"},
        "enable_rbac_authorization": True,
        "enable_purge_protection": True,
        "network_acls": {"default_action": "Deny", "bypass": "AzureServices"},
    }
    return {**PLACED, "vault_name": f"kv-{name}", "properties": laid(properties, changes)}


def registry(name: str, **changes: Any) -> dict[str, Any]:
    """A container registry."""
    sound = {
        **PLACED,
        **CLOSED,
        "registry_name": name.replace("-", ""),
        "sku": {"name": "Premium"},
        "admin_user_enabled": False,
        "zone_redundancy": "Enabled",
        "policies": {"export_policy": {"status": "disabled"}},
    }
    return laid(sound, changes)


def workspace(name: str, **changes: Any) -> dict[str, Any]:
    """An Azure ML workspace."""
    sound = {
        **PLACED,
        **CLOSED,
        "workspace_name": f"mlw-{name}",
        "identity": SYSTEM,
        "system_datastores_auth_mode": "Identity",
        "managed_network": {"isolation_mode": "AllowOnlyApprovedOutbound"},
    }
    return laid(sound, changes)


def models(name: str, **changes: Any) -> dict[str, Any]:
    """An Azure ML registry."""
    here = [{"location": "swedencentral"}]
    sound = {
        **PLACED,
        **CLOSED,
        "registry_name": f"mlr-{name}",
        "identity": SYSTEM,
        "region_details": here,
    }
    return laid(sound, changes)


def endpoint(name: str, **changes: Any) -> dict[str, Any]:
    """An endpoint in the sound workspace, online or batch; ``changes`` are of its properties."""
    sound = {**PLACED, "workspace_name": "mlw-sound", "endpoint_name": name, "identity": SYSTEM}
    closed = {} if name.startswith("batch") else CLOSED
    return {**sound, "properties": laid({**closed, "auth_mode": "AADToken"}, changes)}


def serverless(name: str, **changes: Any) -> dict[str, Any]:
    """A serverless endpoint; ``changes`` are of its properties."""
    model = {"model_id": "azureml://registries/azureml/models/Phi-4-mini-instruct"}
    properties = laid({"auth_mode": "AAD", "model_settings": model}, changes)
    return {**PLACED, "workspace_name": "mlw-sound", "name": name, "properties": properties}


def connection(name: str, **changes: Any) -> dict[str, Any]:
    """A workspace's connection; ``changes`` are of its properties."""
    properties = {"category": "CustomKeys", "target": "https://api.example.com", "authType": "AAD"}
    at = {"resource_group_name": GROUP, "workspace_name": "mlw-sound", "connection_name": name}
    return {**at, "properties": laid(properties, changes)}


def compute(name: str, **changes: Any) -> dict[str, Any]:
    """Machines of Azure ML; ``changes`` are of their properties."""
    machines = laid({"vmSize": "Standard_D4s_v5", "enableNodePublicIp": False}, changes)
    at = {"resource_group_name": GROUP, "workspace_name": "mlw-sound", "compute_name": name}
    return {**at, "properties": {"computeType": "AmlCompute", "properties": machines}}


def cluster(name: str, **changes: Any) -> dict[str, Any]:
    """An AKS cluster."""
    system = {
        "name": "npsystem", "mode": "System", "vm_size": "Standard_D4ds_v5", "count": 3,
        "availability_zones": ["1", "2", "3"], "enable_encryption_at_host": True,
    }  # fmt: skip
    sound = {
        **PLACED,
        "resource_name_": f"aks-{name}",
        "identity": SYSTEM,
        "sku": {"name": "Base", "tier": "Standard"},
        "disable_local_accounts": True,
        "aad_profile": {"managed": True, "enable_azure_rbac": True},
        "api_server_access_profile": {"enable_private_cluster": True, "disable_run_command": True},
        "oidc_issuer_profile": {"enabled": True},
        "security_profile": {"workload_identity": {"enabled": True}},
        "network_profile": {"network_policy": "cilium"},
        "auto_upgrade_profile": {"upgrade_channel": "patch"},
        "azure_monitor_profile": {"metrics": {"enabled": True}},
        "agent_pool_profiles": [laid(system, changes.pop("system", {}))],
    }
    return laid(sound, changes)


def pool(name: str, of: str = "sound", **changes: Any) -> dict[str, Any]:
    """A pool of GPUs in a cluster."""
    sound = {
        "resource_group_name": GROUP,
        "resource_name_": f"aks-{of}",
        "agent_pool_name": name,
        "mode": "User",
        "vm_size": "Standard_NC24ads_A100_v4",
        "os_sku": "Ubuntu",
        "enable_auto_scaling": True,
        "min_count": 0,
        "max_count": 2,
        "node_taints": ["sku=gpu:NoSchedule"],
        "enable_encryption_at_host": True,
    }
    return laid(sound, changes)


def in_cluster(of: str = "sound") -> dict[str, Any]:
    """The address of what hangs on a cluster."""
    return {
        "resource_group_name": GROUP,
        "cluster_rp": "Microsoft.ContainerService",
        "cluster_resource_name": "managedClusters",
        "cluster_name": f"aks-{of}",
    }


def extension(name: str, of: str = "sound", **changes: Any) -> dict[str, Any]:
    """An extension of a cluster."""
    settings = {"configuration_settings": {"proxy.image": IMAGE}, "extension_type": "a.proxy"}
    return laid({**in_cluster(of), "extension_name": name, **settings}, changes)


def flux(name: str, of: str = "sound", **changes: Any) -> dict[str, Any]:
    """A Flux configuration of a cluster."""
    source = {"git_repository": {"url": "https://github.com/example/manifests"}}
    return laid({**in_cluster(of), "flux_configuration_name": name, **source}, changes)


def openai(name: str, **changes: Any) -> dict[str, Any]:
    """An Azure OpenAI account; ``changes`` are of its properties."""
    properties = {
        **CLOSED,
        "disable_local_auth": True,
        "custom_sub_domain_name": f"oai-{name}",
        "network_acls": {"default_action": "Deny"},
    }
    sound = {**PLACED, "account_name": f"oai-{name}", "kind": "OpenAI", "sku": {"name": "S0"}}
    return {**sound, "identity": SYSTEM, "properties": laid(properties, changes)}


def deployment(
    name: str, of: str = "sound", sku: str = "Standard", **changes: Any
) -> dict[str, Any]:
    """A model in an account; ``changes`` are of its properties."""
    properties = {
        "model": {"format": "OpenAI", "name": "gpt-4o", "version": "2024-11-20"},
        "version_upgrade_option": "NoAutoUpgrade",
        "rai_policy_name": "Microsoft.DefaultV2",
    }
    at = {"resource_group_name": GROUP, "account_name": f"oai-{of}", "deployment_name": name}
    return {**at, "sku": {"name": sku, "capacity": 1}, "properties": laid(properties, changes)}


def content_filter(name: str, of: str = "sound", blocking: bool = True) -> dict[str, Any]:
    """A content filter of an account."""
    filters = [
        {"name": harm, "source": source, "enabled": True, "blocking": blocking}
        for harm in HARMS
        for source in ("Prompt", "Completion")
    ]
    at = {"resource_group_name": GROUP, "account_name": f"oai-{of}", "rai_policy_name": name}
    return {**at, "properties": {"mode": "Default", "content_filters": filters}}


def events(name: str, **changes: Any) -> dict[str, Any]:
    """An Event Hubs namespace."""
    sound = {
        **PLACED,
        **CLOSED,
        "namespace_name": f"evh-{name}",
        "sku": {"name": "Standard"},
        "minimum_tls_version": "1.2",
        "disable_local_auth": True,
        "is_auto_inflate_enabled": True,
        "maximum_throughput_units": 4,
    }
    return laid(sound, changes)


def grafana(name: str, **changes: Any) -> dict[str, Any]:
    """A dashboard; ``changes`` are of its properties."""
    sound = {**PLACED, "workspace_name": f"amg-{name}", "sku": {"name": "Standard"}}
    return {**sound, "properties": laid(CLOSED, changes)}


FAILING = {
    "name": "failing", "metricName": "RequestsPerMinute", "threshold": 1,
    "dimensions": [{"name": "statusCodeClass", "operator": "Include", "values": ["5xx"]}],
}  # fmt: skip
"""How an alert on errors differs from one on latency."""


def alert(name: str, of: str = "online-sound", **changes: Any) -> dict[str, Any]:
    """A metric alert on an endpoint of the sound workspace."""
    slow = {
        "name": "slow", "metricName": "RequestLatency_P95", "metricNamespace": ENDPOINT,
        "operator": "GreaterThan", "threshold": 2000, "timeAggregation": "Average",
        "criterionType": "StaticThresholdCriterion",
    }  # fmt: skip
    kind = "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"
    workspace = f"{PROVIDERS}/Microsoft.MachineLearningServices/workspaces/mlw-sound"
    sound = {
        "resource_group_name": GROUP,
        "location": "global",
        "tags": TAGS,
        "rule_name": name,
        "enabled": True,
        "severity": 2,
        "evaluation_frequency": "PT1M",
        "window_size": "PT5M",
        "scopes": [f"{workspace}/onlineEndpoints/{of}"],
        "criteria": {"odataType": kind, "allOf": [laid(slow, changes.pop("slow", {}))]},
        "actions": [{"action_group_id": TOLD}],
    }
    return laid(sound, changes)


def prometheus(name: str, of: str = "sound", **changes: Any) -> dict[str, Any]:
    """Prometheus rules of a cluster: one alert on its GPUs."""
    busy = {
        "alert": "busy", "expression": "avg(DCGM_FI_DEV_GPU_UTIL) > 95", "enabled": True,
        "actions": [{"action_group_id": TOLD}],
    }  # fmt: skip
    sound = {
        **PLACED,
        "rule_group_name": name,
        "cluster_name": f"aks-{of}",
        "scopes": [f"{PROVIDERS}/Microsoft.Monitor/accounts/metrics"],
        "rules": [laid(busy, changes.pop("busy", {}))],
    }
    return laid(sound, changes)


def action_group(name: str, **changes: Any) -> dict[str, Any]:
    """Who is told."""
    team = {"name": "team", "email_address": "a-team@example.com", "use_common_alert_schema": True}
    sound = {
        "resource_group_name": GROUP,
        "location": "global",
        "tags": TAGS,
        "action_group_name": name,
        "group_short_name": name[:12],
        "enabled": True,
        "email_receivers": [team],
    }
    return laid(sound, changes)


def diagnostics(of: Any, name: str = "logs", **changes: Any) -> dict[str, Any]:
    """A diagnostic setting on the resource with that id."""
    logs = [{"category_group": "audit", "enabled": True}]
    return laid({"name": name, "resource_uri": of, "workspace_id": LOGS, "logs": logs}, changes)


def budget(name: str, **changes: Any) -> dict[str, Any]:
    """A budget for the group."""
    told = {
        "enabled": True, "operator": "GreaterThan", "threshold": 80,
        "contact_emails": ["a-team@example.com"],
    }  # fmt: skip
    sound = {
        "budget_name": name,
        "scope": f"{SUBSCRIPTION}/resourceGroups/{GROUP}",
        "amount": 1000,
        "category": "Cost",
        "time_grain": "Monthly",
        "time_period": {"start_date": "2026-12-01"},
        "notifications": {"most": told},
    }
    return laid(sound, changes)


def private_endpoint(name: str, *targets: Any) -> dict[str, Any]:
    """A private endpoint that leads to each of ``targets``, which are ids."""
    links = [
        {"name": f"link-{n}", "private_link_service_id": target} for n, target in enumerate(targets)
    ]
    subnet = {"id": f"{PROVIDERS}/Microsoft.Network/virtualNetworks/vnet/subnets/private"}
    at = {**PLACED, "private_endpoint_name": f"pep-{name}"}
    return {**at, "subnet": subnet, "private_link_service_connections": links}


def in_dns(of: str) -> dict[str, Any]:
    """The names of a private endpoint."""
    zone = f"{PROVIDERS}/Microsoft.Network/privateDnsZones/privatelink.example.com"
    return {
        "resource_group_name": GROUP,
        "private_endpoint_name": f"pep-{of}",
        "private_dns_zone_group_name": "default",
        "private_dns_zone_configs": [{"name": "zone", "private_dns_zone_id": zone}],
    }
