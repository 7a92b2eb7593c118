"""Mistakes with clusters, GPUs and what runs on them."""

from __future__ import annotations

import sound
from pulumi_azure_native import containerregistry, kubernetesconfiguration
from pulumi_azure_native import containerservice as aks
from pulumi_azure_native import machinelearningservices as ml

# GL-AZ-AKS-001: every pod reaches every other
aks.ManagedCluster("flat", **sound.cluster("flat", network_profile={"network_policy": "none"}))

# GL-AZ-AKS-002: a Kubernetes that nobody upgrades
aks.ManagedCluster(
    "stale", **sound.cluster("stale", auto_upgrade_profile={"upgrade_channel": "none"})
)

# GL-AZ-AKS-003: nodes that nobody patches
aks.ManagedCluster(
    "unpatched",
    **sound.cluster("unpatched", auto_upgrade_profile={"node_os_upgrade_channel": "Unmanaged"}),
)

# GL-AZ-AKS-004: metrics that nobody collects
aks.ManagedCluster("unmeasured", **sound.cluster("unmeasured", azure_monitor_profile=None))

# GL-AZ-AKS-005: one zone is out, and so is the cluster
aks.ManagedCluster("one-zone", **sound.cluster("one-zone", system={"availability_zones": ["1"]}))

# GL-AZ-AKS-006: one node is drained, and DNS with it
aks.ManagedCluster("one-node", **sound.cluster("one-node", system={"count": 1}))

# GL-AZ-AKS-007: nobody owes an API server that answers
aks.ManagedCluster("free", **sound.cluster("free", sku={"tier": "Free"}))

# GL-AZ-AKS-008: a service principal with a password that ends
aks.ManagedCluster(
    "principal", **sound.cluster("principal", service_principal_profile={"client_id": sound.GUID})
)

# GL-AZ-GPU-001: anything at all is scheduled on the GPUs
aks.AgentPool("untainted", **sound.pool("untainted", node_taints=[]))

# GL-AZ-GPU-002: two GPUs are paid for day and night
aks.AgentPool("fixed", **sound.pool("fixed", enable_auto_scaling=False))

# GL-AZ-GPU-003: one GPU is paid for day and night
aks.AgentPool("idle", **sound.pool("idle", min_count=1))

# GL-AZ-GPU-004: production on machines that Azure takes back
aks.AgentPool("spot", **sound.pool("spot", scale_set_priority="Spot"))

# GL-AZ-GPU-005, GL-AZ-AKS-005, GL-AZ-AKS-006: the cluster's own services on GPUs
aks.AgentPool("system", **sound.pool("system", mode="System"))

# GL-AZ-GPU-006: no driver for these GPUs
aks.AgentPool(
    "linux", **sound.pool("linux", os_sku="AzureLinux", vm_size="Standard_ND96isr_H100_v5")
)

# GL-AZ-GPU-007: a GPU that cannot be cut
aks.AgentPool(
    "cut", **sound.pool("cut", vm_size="Standard_NC4as_T4_v3", gpu_instance_profile="MIG1g")
)

# GL-AZ-GPU-008: a name that AKS refuses after minutes
aks.AgentPool("named", **sound.pool("gpu-a100-production"))

# GL-AZ-GPU-009: a node whose GPU nobody sees
aks.AgentPool("driverless", **sound.pool("driverless", gpu_profile={"driver": "None"}))

# GL-AZ-GPU-011: an eviction that Azure refuses on a regular pool
aks.AgentPool("evicted", **sound.pool("evicted", scale_set_eviction_policy="Delete"))

aks.ManagedCluster("bare", **sound.cluster("bare"))

# GL-AZ-GPU-010: nothing brings the device plugin
aks.AgentPool("unplugged", **sound.pool("unplugged", of="bare"))

# GL-AZ-IMG-001: an image from anywhere
kubernetesconfiguration.Extension(
    "docker-hub",
    **sound.extension(
        "docker-hub",
        configuration_settings={
            "proxy.image": sound.IMAGE.replace("mcr.microsoft.com", "docker.io")
        },
    ),
)

# GL-AZ-IMG-002: a tag that moves
kubernetesconfiguration.Extension(
    "moving",
    **sound.extension(
        "moving", configuration_settings={"proxy.image": "mcr.microsoft.com/x:latest"}
    ),
)

# GL-AZ-IMG-003: what is not finished yet
kubernetesconfiguration.Extension("preview", **sound.extension("preview", release_train="Preview"))

# GL-AZ-IMG-004: somebody's model
ml.ServerlessEndpoint(
    "somebodys",
    **sound.serverless(
        "somebodys", model_settings={"model_id": "azureml://registries/somebody/models/m"}
    ),
)

# GL-AZ-IMG-005: manifests that anybody on the way can change
kubernetesconfiguration.FluxConfiguration(
    "readable", **sound.flux("readable", git_repository={"url": "http://git.example.com/manifests"})
)

# GL-AZ-IMG-006: a registry that takes no private endpoint
containerregistry.Registry("basic", **sound.registry("basic", sku={"name": "Basic"}))

# GL-AZ-IMG-007: images leave by an export
containerregistry.Registry("exporting", **sound.registry("exporting", policies=None))
