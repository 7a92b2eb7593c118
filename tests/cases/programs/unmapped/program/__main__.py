"""A type that the table has no row for: deployments of models belong to the pipeline."""

from __future__ import annotations

from pulumi_azure_native import machinelearningservices as ml

ml.OnlineDeployment(
    "blue",
    deployment_name="blue",
    endpoint_name="online",
    workspace_name="mlw",
    resource_group_name="rg",
    location="swedencentral",
    properties={"endpointComputeType": "Managed", "egressPublicNetworkAccess": "Enabled"},
)
