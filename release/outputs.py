"""What a stack says of itself: the contract between the program that provisions and all who read.

The program and the pipelines never import each other. What passes between them is this JSON, with
a version: readers refuse another one by name. Within a version it only grows, so readers pass over
keys that they do not know, and nothing that is here is taken away or given another meaning.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
"""Of the contract. It changes when something that is here goes, or comes to mean another thing."""


class Part(BaseModel):
    """What every part of the outputs has in common: frozen, strict, open to keys of later."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class LocalEnvironment(Part):
    """An environment on this machine."""

    target: Literal["local"] = Field(description="where it runs")
    address: str = Field(description="URL of its gateway")
    folder: str = Field(description="absolute path of its state")


class LocalOutputs(Part):
    """A stack of this machine."""

    version: Literal[1] = Field(description="of this contract")
    target: Literal["local"] = Field(description="what the stack provisions")
    environments: dict[str, LocalEnvironment] = Field(description="by name")


class Logs(Part):
    """Where logs and traces go."""

    workspace_id: str = Field(description="resource id of the Log Analytics workspace")
    application_insights_id: str = Field(description="resource id")


class Network(Part):
    """The virtual network."""

    id: str = Field(description="resource id")
    subnets: dict[str, str] = Field(description="resource ids, by name")


class Storage(Part):
    """The storage account."""

    id: str = Field(description="resource id")
    name: str = Field(description="of the account")


class Vault(Part):
    """The key vault. What is in it is read there, by those who may."""

    id: str = Field(description="resource id")
    uri: str = Field(description="URL")


class Registry(Part):
    """The container registry."""

    id: str = Field(description="resource id")
    login_server: str = Field(description="host name that images are pulled from")


class Workspace(Part):
    """The Azure ML workspace."""

    id: str = Field(description="resource id")
    name: str = Field(description="of the workspace")
    identity_client_id: str = Field(description="client id of the identity that it acts as")


class ModelRegistry(Part):
    """The Azure ML registry that shares models."""

    id: str | None = Field(None, description="resource id; null: the stack has none")


class Endpoint(Part):
    """An application's endpoint in Azure ML: its shell."""

    kind: Literal["managed", "kubernetes", "batch", "serverless"] = Field(
        description="as in the settings"
    )
    id: str = Field(description="resource id")
    name: str = Field(description="of the endpoint, unique in the region")
    scoring_uri: str | None = Field(None, description="URL that requests go to")


class OpenAI(Part):
    """The Azure OpenAI account."""

    id: str = Field(description="resource id")
    endpoint: str = Field(description="URL")
    deployments: list[str] = Field(description="names of its deployments")


class Events(Part):
    """The Event Hubs namespace."""

    id: str = Field(description="resource id")
    namespace: str = Field(description="its name")
    hubs: list[str] = Field(description="names of its hubs")


class GpuPool(Part):
    """A pool of GPU nodes."""

    size: str = Field(description="of its machines")
    min_count: int = Field(description="nodes")
    max_count: int = Field(description="nodes")
    spot: bool = Field(description="whether Azure may take them back at any time")
    driver: str = Field(description="who installs the driver: install (AKS) or none")
    device_plugin: str = Field(
        description="what has to run in the cluster, or its nodes never offer a GPU"
    )


class ServiceAccount(Part):
    """The Kubernetes service account that an application's pods run as."""

    namespace: str = Field(description="in the cluster")
    name: str = Field(description="of the account")


class Cluster(Part):
    """The AKS cluster."""

    id: str = Field(description="resource id")
    name: str = Field(description="of the cluster")
    oidc_issuer: str = Field(description="URL that federated credentials trust")
    gpu_pools: dict[str, GpuPool] = Field(description="by name")
    flux_public_key: str | None = Field(
        None, description="SSH key, public, that the Git repository has to let read; null: no Flux"
    )
    grafana: str | None = Field(None, description="URL of the dashboards")
    service_accounts: dict[str, ServiceAccount] = Field(description="by application")


class AzureOutputs(Part):
    """A stack in Azure."""

    version: Literal[1] = Field(description="of this contract")
    target: Literal["azure"] = Field(description="what the stack provisions")
    environment: str = Field(description="as in the settings")
    resource_group: str = Field(description="name of the group that holds everything")
    logs: Logs = Field(description="where logs and traces go")
    network: Network = Field(description="the virtual network")
    storage: Storage = Field(description="the storage account")
    vault: Vault = Field(description="the key vault")
    registry: Registry = Field(description="the container registry")
    identities: dict[str, str] = Field(
        description="client ids of what applications act as, by application"
    )
    workspace: Workspace | None = Field(None, description="Azure ML; absent: none")
    model_registry: ModelRegistry | None = Field(None, description="beside a workspace")
    endpoints: dict[str, Endpoint] = Field(
        default_factory=dict, description="Azure ML endpoints, by application"
    )
    cluster: Cluster | None = Field(None, description="AKS; absent: none")
    openai: OpenAI | None = Field(None, description="Azure OpenAI; absent: none")
    events: Events | None = Field(None, description="Event Hubs; absent: none")


Outputs = LocalOutputs | AzureOutputs
TARGETS: dict[str, type[LocalOutputs] | type[AzureOutputs]] = {
    "local": LocalOutputs,
    "azure": AzureOutputs,
}
"""The outputs of each target that a stack provisions."""
