"""Mistakes that let the internet in."""

from __future__ import annotations

import sound
from pulumi_azure_native import containerservice as aks
from pulumi_azure_native import dashboard, keyvault, network, storage
from pulumi_azure_native import machinelearningservices as ml

# GL-AZ-NET-001: anybody on the internet reaches the data
storage.StorageAccount("open", **sound.account("open", public_network_access="Enabled"))

# GL-AZ-NET-001: what is not said is open to Azure
ml.Workspace("forgotten", **sound.workspace("forgotten", public_network_access=None))

# GL-AZ-NET-002: anybody on the internet asks the model
ml.OnlineEndpoint(
    "online-public", **sound.endpoint("online-public", public_network_access="Enabled")
)

# GL-AZ-NET-003: dashboards are read from anywhere
dashboard.Grafana("shown", **sound.grafana("shown", public_network_access="Enabled"))

# GL-AZ-NET-004: one opened door opens it to all
keyvault.Vault("allowing", **sound.vault("allowing", network_acls={"default_action": "Allow"}))

# GL-AZ-NET-005: a link to a blob is all that it takes
storage.StorageAccount("anonymous", **sound.account("anonymous", allow_blob_public_access=True))

VAULT = f"{sound.PROVIDERS}/Microsoft.KeyVault/vaults/kv-sound"
SSH = {
    "name": "ssh", "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "priority": 100,
    "source_address_prefix": "*", "source_port_range": "*",
    "destination_address_prefix": "*", "destination_port_range": "22",
}  # fmt: skip
INSIDE = {**SSH, "source_address_prefix": "VirtualNetwork"}

network.NetworkSecurityGroup("nsg-sound", security_rules=[INSIDE], **sound.PLACED)

# GL-AZ-NET-006: ssh for the whole internet
network.NetworkSecurityGroup("nsg-open", security_rules=[SSH], **sound.PLACED)

NAMED = {"enable_private_cluster": False, "authorized_ip_ranges": ["203.0.113.0/24"]}

# GL-AZ-NET-007: the API server has a public address
aks.ManagedCluster("public", **sound.cluster("public", api_server_access_profile=NAMED))

HALVES = {**NAMED, "authorized_ip_ranges": ["0.0.0.0/1", "128.0.0.0/1"]}

# GL-AZ-NET-007, GL-AZ-NET-013: and anybody may call it
aks.ManagedCluster("everybodys", **sound.cluster("everybodys", api_server_access_profile=HALVES))

# GL-AZ-NET-008: a way around the private API server
aks.ManagedCluster(
    "run-command",
    **sound.cluster("run-command", api_server_access_profile={"disable_run_command": False}),
)

# GL-AZ-NET-009: each node has an address of its own on the internet
aks.AgentPool("addressed", **sound.pool("addressed", enable_node_public_ip=True))

# GL-AZ-NET-010: machines for training have public addresses
ml.Compute("reachable", **sound.compute("reachable", enableNodePublicIp=True))

# GL-AZ-NET-011: closed, and with no way in; __main__ gives it no private endpoint
keyvault.Vault("unreached", **sound.vault("unreached"))

# GL-AZ-NET-011: blobs are reached, files are not
HALF = storage.StorageAccount("half-reached", **sound.account("half"))
BLOBS = ((HALF.id, "blob"), (HALF.id, "queue"), (HALF.id, "table"))
network.PrivateEndpoint("half", **sound.private_endpoint("half", *BLOBS))
network.PrivateDnsZoneGroup("half-dns", **sound.in_dns("half"))

# GL-AZ-NET-012: the zone of another service
network.PrivateEndpoint("misnamed", **sound.private_endpoint("misnamed", (VAULT, "vault")))
network.PrivateDnsZoneGroup("misnamed-dns", **sound.in_dns("misnamed", "azurecr.io"))

# GL-AZ-NET-012: names still lead to the public address
network.PrivateEndpoint("nameless", **sound.private_endpoint("nameless"))
