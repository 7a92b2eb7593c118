"""What holds for every stack, whatever its settings: each yields what breaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.azure.settings import AzureSettings
from infra.azure.tags import tags
from tests.infra.azure.recorded import HIDDEN, KEY, Declared, Recorded, texts

UNTAGGABLE = {
    "authorization:RoleAssignment",
    "consumption:Budget",
    "containerservice:MaintenanceConfiguration",
    "eventhub:ConsumerGroup",
    "eventhub:EventHub",
    "kubernetesconfiguration:Extension",
    "kubernetesconfiguration:FluxConfiguration",
    "machinelearningservices:MarketplaceSubscription",
    "machinelearningservices:WorkspaceConnection",
    "managedidentity:FederatedIdentityCredential",
    "monitor:DataCollectionRuleAssociation",
    "monitor:DiagnosticSetting",
    "network:PrivateDnsZoneGroup",
    "storage:BlobServiceProperties",
}
"""Types whose API has no tags."""

CLOSED = {
    "cognitiveservices:Account": "properties.publicNetworkAccess",
    "containerregistry:Registry": "publicNetworkAccess",
    "dashboard:Grafana": "properties.publicNetworkAccess",
    "eventhub:Namespace": "publicNetworkAccess",
    "keyvault:Vault": "properties.publicNetworkAccess",
    "machinelearningservices:OnlineEndpoint": "properties.publicNetworkAccess",
    "machinelearningservices:Registry": "publicNetworkAccess",
    "machinelearningservices:Workspace": "publicNetworkAccess",
    "monitor:AzureMonitorWorkspace": "publicNetworkAccess",
    "storage:StorageAccount": "publicNetworkAccess",
}
"""Where each type says whether it is reached from public networks."""

BEHIND = {"machinelearningservices:OnlineEndpoint"}
"""Types that are reached through their workspace's private endpoint."""

BY_SCOPE = {
    "applicationinsights:Component": "publicNetworkAccessForIngestion",
    "operationalinsights:Workspace": "publicNetworkAccessForQuery",
}

_RULE = r"^[A-Za-z0-9][A-Za-z0-9_-]{2,32}$"
_ENDPOINT = r"^[a-z](-?[a-z0-9]){2,31}$"
NAMES = {
    "storage:StorageAccount": ("accountName", r"^[a-z0-9]{3,24}$"),
    "keyvault:Vault": ("vaultName", r"^[a-z](-?[a-z0-9]){2,23}$"),
    "keyvault:Secret": ("secretName", r"^[A-Za-z0-9-]{1,127}$"),
    "containerregistry:Registry": ("registryName", r"^[a-z0-9]{5,50}$"),
    "operationalinsights:Workspace": ("workspaceName", r"^[A-Za-z0-9][A-Za-z0-9-]{2,61}[a-z0-9]$"),
    "machinelearningservices:Workspace": ("workspaceName", _RULE),
    "machinelearningservices:Registry": ("registryName", _RULE),
    "machinelearningservices:WorkspaceConnection": ("connectionName", _RULE),
    "machinelearningservices:OnlineEndpoint": ("endpointName", _ENDPOINT),
    "machinelearningservices:BatchEndpoint": ("endpointName", _ENDPOINT),
    "machinelearningservices:ServerlessEndpoint": ("name", _ENDPOINT),
    "machinelearningservices:Compute": (
        "computeName",
        r"^[a-zA-Z](?![a-zA-Z0-9-]*-\d+$)[a-zA-Z0-9-]{1,15}$",
    ),
    "managedidentity:UserAssignedIdentity": ("resourceName", r"^[A-Za-z0-9][\w-]{2,127}$"),
    "cognitiveservices:Account": ("accountName", r"^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}[a-zA-Z0-9]$"),
    "cognitiveservices:Deployment": ("deploymentName", r"^[a-zA-Z0-9][\w.-]{1,63}$"),
    "containerservice:ManagedCluster": ("resourceName", r"^[a-zA-Z0-9][-\w]{0,61}[a-zA-Z0-9]$"),
    "containerservice:AgentPool": ("agentPoolName", r"^[a-z][a-z0-9]{0,11}$"),
    "dashboard:Grafana": ("workspaceName", r"^[a-zA-Z][a-zA-Z0-9-]{0,21}[a-zA-Z0-9]$"),
    "eventhub:Namespace": ("namespaceName", r"^[a-zA-Z][a-zA-Z0-9-]{4,48}[a-zA-Z0-9]$"),
    "eventhub:EventHub": ("eventHubName", r"^[a-zA-Z0-9]([\w.-]{0,254}[a-zA-Z0-9])?$"),
    "monitor:ActionGroup": ("groupShortName", r"^.{1,12}$"),
    "monitor:AzureMonitorWorkspace": ("azureMonitorWorkspaceName", r"^[a-zA-Z0-9-]{4,44}$"),
    "monitor:DataCollectionEndpoint": ("dataCollectionEndpointName", r"^[a-zA-Z0-9-]{3,44}$"),
    "monitor:MetricAlert": ("ruleName", r"^[^*#&+:<>?@%{}\\/|]{1,260}$"),
    "network:PrivateEndpoint": ("privateEndpointName", r"^[A-Za-z0-9][\w.-]{0,62}\w$"),
    "authorization:RoleAssignment": ("roleAssignmentName", r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-.{12}$"),
}
"""Azure's rules for names, and for endpoints (docs/limits.md): single dashes, 3 to 32."""


def broken(settings: AzureSettings, found: Recorded) -> list[str]:
    """Everything that does not hold."""
    azure = [one for one in found.resources if one.token.startswith("azure-native:")]
    return [
        *_untagged(settings, azure),
        *_shown(found),
        *_misnamed(azure),
        *_open(settings, found),
        *_rewritten(found),
    ]


def _kind(resource: Declared) -> str:
    return resource.token.removeprefix("azure-native:")


def _untagged(settings: AzureSettings, azure: list[Declared]) -> Iterator[str]:
    for one in azure:
        own = one.inputs.get("tags", {})
        expected = tags(settings, own.get("application", ""), own.get("owner", ""))
        if _kind(one) not in UNTAGGABLE and own != expected:
            yield f"{one.name}: tags {own}"


def _shown(found: Recorded) -> Iterator[str]:
    if any(KEY in text for text in texts(found.outputs)):
        yield "outputs show the key"
    for one in found.resources:
        if any(KEY in text for text in texts(one.inputs)):
            yield f"{one.name} shows the key"
    for one in found.of("keyvault:Secret"):
        if one.at("properties.value") != HIDDEN:
            yield f"{one.name} is no secret"


def _misnamed(azure: list[Declared]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for one in azure:
        key, pattern = NAMES.get(_kind(one), ("", ""))
        name = str(one.inputs.get(key, ""))
        if key and not re.match(pattern, name):
            yield f"{one.name}: {key} {name}"
        if key and (_kind(one), name) in seen:
            yield f"{one.name}: {name} again"
        seen.add((_kind(one), name))


def _open(settings: AzureSettings, found: Recorded) -> Iterator[str]:
    private = settings.network.private
    targets = [
        link["privateLinkServiceId"]
        for one in found.of("network:PrivateEndpoint")
        for link in one.inputs["privateLinkServiceConnections"]
    ]
    if not private:
        yield from (f"an endpoint to {target}" for target in targets)
    for kind, path in CLOSED.items():
        for one in found.of(kind):
            if one.inputs.get("kind") == "Project" or one.at("properties.compute"):
                continue  # reached through its hub, or in the cluster
            if one.at(path) != ("Disabled" if private else "Enabled"):
                yield f"{one.name}: {path} {one.at(path)}"
            if private and kind not in BEHIND and one.id not in targets:
                yield f"{one.name} has no private endpoint"
    if private and len(found.of("network:PrivateDnsZoneGroup")) != len(targets):
        yield "a private endpoint without DNS"
    yield from _logs(settings, found)


def _logs(settings: AzureSettings, found: Recorded) -> Iterator[str]:
    closed = settings.network.private and settings.network.monitor_scope
    for kind, path in BY_SCOPE.items():
        if found.one(kind).at(path) != ("Disabled" if closed else "Enabled"):
            yield f"{kind}: {path} {found.one(kind).at(path)}"


def _rewritten(found: Recorded) -> Iterator[str]:
    """What the pipeline writes must not be in the program."""
    for one in found.of("machinelearningservices:OnlineEndpoint"):
        if one.at("properties.traffic") or one.at("properties.mirrorTraffic"):
            yield f"{one.name} sets traffic"
        if set(one.ignored) != {"properties.traffic", "properties.mirrorTraffic"}:
            yield f"{one.name} does not ignore traffic: {one.ignored}"
    for one in found.of("machinelearningservices:BatchEndpoint"):
        if one.at("properties.defaults") or set(one.ignored) != {"properties.defaults"}:
            yield f"{one.name} sets which deployment answers"
