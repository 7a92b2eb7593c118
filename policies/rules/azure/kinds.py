"""The types of Azure that the program makes, in Azure's spelling, and what can be said of each.

A type that is missing here is refused by a rule of its own: no resource goes by unjudged because
somebody added it, or because its name was written differently.
"""

from __future__ import annotations

GROUP = "Microsoft.Resources/resourceGroups"
IDENTITY = "Microsoft.ManagedIdentity/userAssignedIdentities"
FEDERATED = "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials"
ROLE = "Microsoft.Authorization/roleAssignments"
STORAGE = "Microsoft.Storage/storageAccounts"
BLOBS = "Microsoft.Storage/storageAccounts/blobServices"
CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"
VAULT = "Microsoft.KeyVault/vaults"
SECRET = "Microsoft.KeyVault/vaults/secrets"  # noqa: S105 - a type, not a secret
REGISTRY = "Microsoft.ContainerRegistry/registries"
LOGS = "Microsoft.OperationalInsights/workspaces"
INSIGHTS = "Microsoft.Insights/components"
WORKSPACE = "Microsoft.MachineLearningServices/workspaces"
MODELS = "Microsoft.MachineLearningServices/registries"
ONLINE = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
DEPLOYMENT = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments"
BATCH = "Microsoft.MachineLearningServices/workspaces/batchEndpoints"
SERVERLESS = "Microsoft.MachineLearningServices/workspaces/serverlessEndpoints"
SUBSCRIPTION = "Microsoft.MachineLearningServices/workspaces/marketplaceSubscriptions"
CONNECTION = "Microsoft.MachineLearningServices/workspaces/connections"
COMPUTE = "Microsoft.MachineLearningServices/workspaces/computes"
OUTBOUND = "Microsoft.MachineLearningServices/workspaces/outboundRules"
CLUSTER = "Microsoft.ContainerService/managedClusters"
POOL = "Microsoft.ContainerService/managedClusters/agentPools"
MAINTENANCE = "Microsoft.ContainerService/managedClusters/maintenanceConfigurations"
EXTENSION = "Microsoft.KubernetesConfiguration/extensions"
FLUX = "Microsoft.KubernetesConfiguration/fluxConfigurations"
ALERT = "Microsoft.Insights/metricAlerts"
LOG_ALERT = "Microsoft.Insights/scheduledQueryRules"
ACTIONS = "Microsoft.Insights/actionGroups"
DIAGNOSTICS = "Microsoft.Insights/diagnosticSettings"
MONITOR = "Microsoft.Monitor/accounts"
COLLECTION_ENDPOINT = "Microsoft.Insights/dataCollectionEndpoints"
COLLECTION_RULE = "Microsoft.Insights/dataCollectionRules"
COLLECTION = "Microsoft.Insights/dataCollectionRuleAssociations"
PROMETHEUS = "Microsoft.AlertsManagement/prometheusRuleGroups"
GRAFANA = "Microsoft.Dashboard/grafana"
GRAFANA_LINK = "Microsoft.Dashboard/grafana/managedPrivateEndpoints"
ACCOUNT = "Microsoft.CognitiveServices/accounts"
OPENAI_DEPLOYMENT = "Microsoft.CognitiveServices/accounts/deployments"
FILTER = "Microsoft.CognitiveServices/accounts/raiPolicies"
EVENTS = "Microsoft.EventHub/namespaces"
HUB = "Microsoft.EventHub/namespaces/eventhubs"
CONSUMERS = "Microsoft.EventHub/namespaces/eventhubs/consumergroups"
BUDGET = "Microsoft.Consumption/budgets"
NETWORK = "Microsoft.Network/virtualNetworks"
SUBNET = "Microsoft.Network/virtualNetworks/subnets"
FIREWALL = "Microsoft.Network/networkSecurityGroups"
PRIVATE = "Microsoft.Network/privateEndpoints"
DNS_GROUP = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups"
ZONE = "Microsoft.Network/privateDnsZones"
ZONE_LINK = "Microsoft.Network/privateDnsZones/virtualNetworkLinks"

REGIONAL = (
    GROUP, IDENTITY, STORAGE, VAULT, REGISTRY, LOGS, INSIGHTS, WORKSPACE, MODELS, ONLINE, BATCH,
    SERVERLESS, CLUSTER, MONITOR, COLLECTION_ENDPOINT, COLLECTION_RULE, PROMETHEUS, GRAFANA,
    ACCOUNT, EVENTS, NETWORK, FIREWALL, PRIVATE, LOG_ALERT, GRAFANA_LINK,
)  # fmt: skip
"""Types that live in a region, and carry tags."""

TAGGED = (
    *REGIONAL, ALERT, ACTIONS, ZONE, ZONE_LINK, POOL, COMPUTE, SECRET, OPENAI_DEPLOYMENT, FILTER,
)  # fmt: skip
"""Types that can carry tags: parts of others too, where Azure's definition of them has some."""

KNOWN = (
    *TAGGED, FEDERATED, ROLE, BLOBS, CONTAINER, DEPLOYMENT, SUBSCRIPTION, CONNECTION, OUTBOUND,
    EXTENSION, FLUX, DIAGNOSTICS, COLLECTION, HUB, CONSUMERS, BUDGET, MAINTENANCE, SUBNET,
    DNS_GROUP,
)  # fmt: skip
"""Every type that the rules know."""
