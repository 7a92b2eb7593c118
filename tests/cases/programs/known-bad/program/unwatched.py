"""Mistakes with logs, alerts, costs, tags and places."""

from __future__ import annotations

import sound
from pulumi_azure_native import (
    alertsmanagement,
    consumption,
    eventhub,
    keyvault,
    monitor,
    operationalinsights,
    resources,
    storage,
)
from pulumi_azure_native import containerservice as aks
from pulumi_azure_native import machinelearningservices as ml

VAULT = f"{sound.PROVIDERS}/Microsoft.KeyVault/vaults/kv-sound"

# GL-AZ-DGN-001: logs for nobody
monitor.DiagnosticSetting("nowhere", **sound.diagnostics(VAULT, "nowhere", workspace_id=None))

# GL-AZ-DGN-002: no logs
monitor.DiagnosticSetting("silent", **sound.diagnostics(VAULT, "silent", logs=[]))

# GL-AZ-DGN-003: gone before anybody asks
operationalinsights.Workspace("short", **sound.logs("short", retention_in_days=7))

# GL-AZ-DGN-004: nobody sees who read the secrets; __main__ gives it no diagnostic setting
keyvault.Vault("unlogged", **sound.vault("unlogged"))

# GL-AZ-ALR-001: a metric that Azure does not have
monitor.MetricAlert("misread", **sound.alert("misread", slow={"metricName": "GpuUtilization"}))

# GL-AZ-ALR-002: a metric that vLLM no longer has
alertsmanagement.PrometheusRuleGroup(
    "renamed",
    **sound.prometheus("renamed", busy={"expression": "vllm:gpu_cache_usage_perc > 0.9"}),
)

# GL-AZ-ALR-003: an alert that is off
monitor.MetricAlert("off", **sound.alert("off", enabled=False))

# GL-AZ-ALR-004: an alert that tells nobody
monitor.MetricAlert("quiet", **sound.alert("quiet", actions=None))

# GL-AZ-ALR-005: a group of nobody
monitor.ActionGroup("nobody-told", **sound.action_group("nobody", email_receivers=None))

# GL-AZ-ALR-006: nobody hears that it fails; __main__ gives it no alert
ml.OnlineEndpoint("online-unwatched", **sound.endpoint("online-unwatched"))

# GL-AZ-ALR-007: nobody hears that its GPUs are gone
aks.ManagedCluster("blind", **sound.cluster("blind"))
aks.AgentPool("blind-gpu", **sound.pool("gpu", of="blind"))

# GL-AZ-ALR-008: nobody hears that its machines are gone; __main__ gives it no such alert
ml.OnlineEndpoint("online-uncounted", **sound.endpoint("online-uncounted"))

# GL-AZ-ALR-009: nobody hears that it throttles; __main__ gives it no alert
eventhub.Namespace("unheard-events", **sound.events("unheard"))

# GL-AZ-CST-001: a budget that tells nobody
consumption.Budget("unheard", **sound.budget("unheard", notifications=None))

# GL-AZ-TAG-001: nobody's
storage.StorageAccount("unowned", **sound.account("unowned", tags={"owner": None}))

# GL-AZ-TAG-001: GPUs that nobody pays for
aks.AgentPool("unpaid", **sound.pool("unpaid", tags={"cost-centre": None}))

# GL-AZ-TAG-002: staging's, in production
storage.StorageAccount("stray", **sound.account("stray", tags={"environment": "staging"}))

# GL-AZ-TAG-001, GL-AZ-TAG-002: nothing is said at all
resources.ResourceGroup("untagged", resource_group_name="untagged", location="swedencentral")

# GL-AZ-LOC-001: data outside the regions that it may be in
storage.StorageAccount("abroad", **sound.account("abroad", location="eastus"))

# GL-AZ-LOC-002: models copied outside those regions
ml.Registry("copied", **sound.models("copied", region_details=[{"location": "eastus"}]))
