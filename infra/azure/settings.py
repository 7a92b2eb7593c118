"""The settings of an Azure stack: ``greenlight:azure`` in ``Pulumi.<stack>.yaml``.

Whoever owns the platform writes them; an application can only tighten what they say. Each setting
carries its unit, its default and, where it is not plain, the reason for it: docs/azure-settings.md
is made of them.
"""

from __future__ import annotations

import re
from datetime import date
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from infra.azure.cluster_settings import Cluster
from infra.azure.settings_base import Cidr, Setting, Size, repeated
from release.complaints import placed
from release.documents import Key
from release.kubernetes_section import default_namespace, is_the_clusters
from release.sections import Label

Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{1,11}$")]
Name = Annotated[
    str, StringConstraints(pattern=r"^[a-z](?:-?[a-z0-9])+$", min_length=3, max_length=24)
]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]+[0-9]?$")]
SecretName = Annotated[str, StringConstraints(pattern=r"^[a-z][A-Za-z0-9]{1,62}$")]
Host = Annotated[str, StringConstraints(pattern=r"^(\*\.)?([a-z0-9-]+\.)+[a-z]+$")]
ServiceTag = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]+(\.[A-Za-z0-9]+)?$")]
Date = Annotated[str, StringConstraints(pattern=r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
ResourceId = Annotated[
    str, StringConstraints(pattern=r"^(/subscriptions/[^/]+/resourceGroups/[^/]+/providers/\S+)?$")
]
CatalogModel = Annotated[
    str, StringConstraints(pattern=r"^(azureml://registries/[A-Za-z0-9_-]+/models/[\w.-]+)?$")
]
Days = Annotated[int, Field(ge=30, le=730)]
Tag = Annotated[str, StringConstraints(max_length=256)]

CLUSTER_ADDRESSES = "10.244.0.0/15"
"""The cluster's own, for pods and services: the network must not have them too."""

RESERVED = re.compile(r"(^|\.)(example(\.(com|net|org))?|test|invalid|localhost)$")
"""Domains that nobody owns and no certificate can be had for (RFC 2606)."""

ML_NAMESPACE, FLUX_NAMESPACE = "azureml", "greenlight-gitops"
"""Where Azure ML's extension is, with its certificate's key, and what Flux follows."""

OF_EXTENSIONS = (ML_NAMESPACE, FLUX_NAMESPACE)
"""Namespaces of the cluster's own, besides those that are so by their names."""

CONSUMER_GROUPS = 20
"""Of one event hub, in the Standard tier:
https://learn.microsoft.com/azure/event-hubs/event-hubs-quotas"""


class Network(Setting):
    """Where everything is reached from."""

    private: bool = Field(
        True,
        description="private endpoints and DNS for all of it, and no public access; one switch, "
        "because one service left open is the way in",
    )
    address_space: Cidr = Field(
        "10.40.0.0/16", description="of the virtual network: private, /12 to /22; cannot shrink"
    )
    monitor_scope: ResourceId = Field(
        "",
        description="id of an Azure Monitor private link scope that the network's owner keeps and "
        "adds this stack's logs to; without one, Azure Monitor stays reachable, by Entra tokens "
        "alone, because a scope changes what every network that shares its DNS can reach",
    )

    @model_validator(mode="after")
    def _is_a_private_network(self) -> Network:
        try:
            space = IPv4Network(self.address_space)
        except ValueError as error:
            raise placed(f"an IPv4 network: {error}", self.address_space, "addressSpace") from None
        if not space.is_private or not 12 <= space.prefixlen <= 22:
            raise placed("a private network from /12 to /22", str(space), "addressSpace")
        return self


class Workspace(Setting):
    """The Azure ML workspace."""

    kind: Literal["default", "hub", "project"] = Field(
        "default", description="a hub shares storage, keys and network with its projects"
    )
    hub: ResourceId = Field("", description="of a project: the hub's resource id")
    isolation: Literal["disabled", "internet", "approved"] = Field(
        "approved",
        description="what its managed network lets out: approved destinations only, all of the "
        "internet, or no managed network",
    )
    outbound: tuple[Host, ...] = Field(
        (),
        description="hosts that may be reached besides Azure's own and those of connections, such "
        "as pypi.org; ports 80 and 443",
    )
    outbound_tags: tuple[ServiceTag, ...] = Field(
        (), description="Azure services that may be reached on port 443, by service tag"
    )
    firewall: Literal["Basic", "Standard"] = Field(
        "Standard",
        description="Azure's firewall behind `outbound`; Basic costs less, up to 250 Mb/s",
    )
    registry: Name | None = Field(
        None,
        description="an Azure ML registry that shares models between environments; one stack "
        "makes it, the others name it in registryId",
    )
    registry_id: ResourceId = Field("", description="resource id of a registry made elsewhere")

    @model_validator(mode="after")
    def _knows_its_hub_and_registry(self) -> Workspace:
        if (self.kind == "project") != bool(self.hub):
            raise placed("a hub for a project, and for nothing else", self.hub, "hub")
        if self.registry and self.registry_id:
            raise placed("either registry or registryId", self.registry_id, "registryId")
        return self


class ModelDeployment(Setting):
    """A deployment of a model that Azure OpenAI serves."""

    name: Name = Field(description="of the deployment: what callers ask for")
    model: str = Field(description="such as gpt-4o")
    version: str = Field(description="exact: an upgrade is a release, never a surprise")
    sku: Literal["Standard", "GlobalStandard", "DataZoneStandard", "ProvisionedManaged"] = Field(
        "Standard", description="where requests are served; Standard stays in the region"
    )
    capacity: int = Field(ge=1, le=10_000, description="thousand tokens a minute, or units")


class OpenAI(Setting):
    """The Azure OpenAI account."""

    deployments: tuple[ModelDeployment, ...] = Field(
        min_length=1, max_length=30, description="made one after the other: two at once fail (409)"
    )
    filter_threshold: Literal["Low", "Medium", "High"] = Field(
        "Medium", description="severity from which content is blocked, in and out"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (),
        max_length=1000,
        description="hosts that the service itself may fetch from, such as images by address",
    )

    @model_validator(mode="after")
    def _deployments_have_names_of_their_own(self) -> OpenAI:
        names = [one.name for one in self.deployments]
        if (again := repeated(names)) is not None:
            raise placed("a name of its own", names[again], "deployments", again, "name")
        return self


class Connection(Setting):
    """A provider outside Azure that applications may call."""

    name: Name = Field(description="of the connection")
    url: Annotated[str, StringConstraints(pattern=r"^https://\S+$")] = Field(
        description="of its API"
    )
    secret: SecretName = Field(
        description="name of the stack's secret setting (`pulumi config set --secret "
        "greenlight:NAME`) that holds its key; it goes to Key Vault"
    )
    expires: Date = Field(description="day by which the key has to be renewed; Key Vault warns")

    @model_validator(mode="after")
    def _expires_on_a_day(self) -> Connection:
        try:
            date.fromisoformat(self.expires)
        except ValueError as error:
            raise placed(f"a day: {error}", self.expires, "expires") from None
        return self


class Events(Setting):
    """Event Hubs."""

    hubs: tuple[Name, ...] = Field(
        min_length=1, max_length=10, description="names of the hubs; ten at most in this tier"
    )
    partitions: int = Field(4, ge=1, le=32, description="of each hub; cannot be changed later")
    retention_hours: int = Field(24, ge=1, le=168, description="hours that events are kept")
    throughput_units: int = Field(1, ge=1, le=40, description="1 MB/s in and 2 MB/s out each")
    most_throughput_units: int = Field(
        10, ge=1, le=40, description="up to which the namespace grows by itself before it throttles"
    )


class Alerts(Setting):
    """Who is told, and from what on."""

    emails: tuple[Annotated[str, StringConstraints(pattern=r"^\S+@\S+$")], ...] = Field(
        min_length=1, max_length=50, description="who is told; a budget takes 50 at most"
    )
    error_rate: float = Field(
        0.05, gt=0, le=1, description="share of requests, from which on somebody is told"
    )
    latency_p95_ms: int = Field(
        10_000, ge=1, description="milliseconds of the 95th percentile of a request"
    )
    gpu_utilization: float = Field(
        0.95, gt=0, le=1, description="share, from which on a GPU has no room"
    )
    capacity: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share: somebody is told from this much of a pool's largest size or of a key-"
        "value cache on, and when less of a deployment than this is up",
    )


class Budget(Setting):
    """What the stack may cost in a month."""

    amount: float = Field(gt=0, description="in the subscription's currency, a month")
    thresholds: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(
        (0.5, 0.9, 1.0),
        min_length=1,
        max_length=4,
        description="shares at which somebody is told; Azure takes five, one is for the forecast",
    )
    start: Annotated[str, StringConstraints(pattern=r"^20(2[4-9]|[3-9]\d)-(0[1-9]|1[0-2])-01$")] = (
        Field(
            description="first day of a month, 2024 or later: of that in which the stack is made, "
            "or at most a year ahead; Azure takes no other, and never changes it"
        )
    )


class Endpoint(Setting):
    """The endpoint of an application: its shell. Deployments and traffic are the pipeline's."""

    kind: Literal["managed", "kubernetes", "batch", "serverless"] = Field(
        "managed", description="managed and kubernetes are online endpoints"
    )
    instance_type: Size | None = Field(
        None, description="of a managed endpoint's machines, for the check of quota"
    )
    instances: int = Field(
        1, ge=1, le=50, description="of each slot; both slots and a fifth more have to fit"
    )
    model: CatalogModel = Field(
        "", description="of a serverless endpoint: azureml://registries/NAME/models/MODEL"
    )
    pool: str = Field("", description="of a kubernetes endpoint: the GPU pool")
    slots: tuple[Literal["blue", "green"], ...] = Field(
        ("blue", "green"),
        max_length=2,
        description="of a managed endpoint: slots whose deployments are watched for capacity and, "
        "where the size has GPUs, for those. Azure is asked not to look for the metrics when it "
        "makes the alerts, since a slot may be empty; empty: none are watched, should it refuse",
    )


class Application(Setting):
    """An application that runs in this stack."""

    name: Name = Field(description="as in its llm.yaml")
    owner: Tag = Field("", description="tag; empty: the platform's")
    endpoint: Endpoint | None = Field(None, description="without one it runs in the cluster alone")
    namespace: Label | None = Field(
        None,
        description="in the cluster, as in its llm.yaml; without one NAME-ENVIRONMENT, as there, "
        "and NAME for what Azure ML runs of a kubernetes endpoint; another application that comes "
        "to the same one has to name it too",
    )
    model_gib: float = Field(0.0, ge=0, description="GiB of its weights, for the check of storage")


def namespace(application: Application, environment: str) -> str:
    """Where the application runs in the cluster: by default where it is rendered to, as long as
    ``llm.yaml`` calls the environment as the stack does.
    """
    return application.namespace or default_namespace(application.name, environment)


def compute_namespace(application: Application) -> str:
    """Where Azure ML runs what serves its endpoint. By default not where ``ship`` does: that one is
    made by Greenlight, which enters no other, and every pod in it is closed.
    """
    return application.namespace or application.name


def namespaces(application: Application, environment: str) -> tuple[str, ...]:
    """All that pods of it may be in."""
    computed = application.endpoint and application.endpoint.kind == "kubernetes"
    spaces = (namespace(application, environment),
              *([compute_namespace(application)] if computed else []))  # fmt: skip
    return tuple(dict.fromkeys(spaces))


class AzureSettings(Setting):
    """A platform stack: one environment of one or more applications."""

    environment: Literal["dev", "test", "staging", "production"] = Field(
        description="tag, and part of every name"
    )
    workload: Word = Field(description="part of every name; at most 12 characters")
    location: Region = Field(description="Azure's name of the region, such as swedencentral")
    allowed_locations: tuple[Region, ...] = Field(
        min_length=1, description="regions that data may be in; location has to be one"
    )
    instance: Annotated[str, StringConstraints(pattern=r"^\d{3}$")] = Field(
        "001", description="tells stacks of the same workload and environment apart"
    )
    owner: Tag = Field(min_length=1, description="tag: the team that answers for it")
    cost_centre: Tag = Field(min_length=1, description="tag: who pays")
    data_classification: Literal["public", "internal", "confidential", "restricted"] = Field(
        "confidential", description="tag: how the data in it is to be handled"
    )
    log_retention_days: Days = Field(90, description="days that logs are kept")
    network: Network = Field(Network(), description="where everything is reached from")
    workspace: Workspace | None = Field(Workspace(), description="Azure ML; null: none")
    cluster: Cluster | None = Field(None, description="AKS; without it, none")
    openai: OpenAI | None = Field(None, description="Azure OpenAI; without it, none")
    connections: tuple[Connection, ...] = Field((), description="providers outside Azure")
    events: Events | None = Field(None, description="Event Hubs; without it, none")
    alerts: Alerts = Field(description="who is told, and from what on")
    budget: Budget = Field(description="what it may cost")
    applications: tuple[Application, ...] = Field((), description="what runs in this stack")

    @model_validator(mode="after")
    def _fits_together(self) -> AzureSettings:
        if self.location not in self.allowed_locations:
            allowed = ", ".join(self.allowed_locations)
            raise placed(f"one of allowedLocations: {allowed}", self.location, "location")
        _require_own_names(self)
        _require_namespaces_apart(self)
        for index, one in enumerate(self.applications):
            _require_own_namespace(self, one, ("applications", index))
            _require(self, one, ("applications", index))
        space = IPv4Network(self.network.address_space)
        if self.cluster and space.overlaps(IPv4Network(CLUSTER_ADDRESSES)):
            expected = f"addresses that leave {CLUSTER_ADDRESSES} to the cluster"
            raise placed(expected, str(space), "network", "addressSpace")
        if self.events and len(self.applications) > CONSUMER_GROUPS:
            expected = f"at most {CONSUMER_GROUPS} applications, each reads every hub"
            raise placed(expected, len(self.applications), "applications")
        return self


def _require_own_names(settings: AzureSettings) -> None:
    """What is told apart by a name has one of its own."""
    for group, key, values in (
        ("applications", "name", [one.name for one in settings.applications]),
        ("connections", "name", [one.name for one in settings.connections]),
        ("connections", "secret", [one.secret for one in settings.connections]),
    ):
        if (again := repeated(values)) is not None:
            raise placed(f"a {key} of its own", values[again], group, again, key)


def _require_own_namespace(
    settings: AzureSettings, application: Application, at: tuple[Key, ...]
) -> None:
    for space in namespaces(application, settings.environment):
        if is_the_clusters(space) or space in OF_EXTENSIONS:
            expected = "a namespace that is not one of the cluster's own"
            raise placed(expected, space, *at, _said_by(application))


def _require_namespaces_apart(settings: AzureSettings) -> None:
    """Who shares a namespace names it. One that ``ship`` makes by default closes every pod in it,
    another's too, and it enters none that is there already.
    """
    taken: dict[str, Application] = {}
    for index, one in enumerate(settings.applications):
        for space in namespaces(one, settings.environment):
            other = taken.setdefault(space, one)
            if other is not one and not (one.namespace and other.namespace):
                expected = (
                    f"a namespace that {other.name} does not come to, or one that both name: set "
                    "`namespace` of either, here and in its llm.yaml"
                )
                raise placed(expected, space, "applications", index, _said_by(one))


def _said_by(application: Application) -> str:
    """The key that its namespaces come from."""
    return "namespace" if application.namespace else "name"


def _require(settings: AzureSettings, application: Application, at: tuple[Key, ...]) -> None:
    """What an application's endpoint needs of the stack; the application is ``at`` this path."""
    endpoint, at = application.endpoint, (*at, "endpoint")
    if endpoint is None:
        return
    if settings.workspace is None:
        raise placed("none, or a workspace for it", endpoint.kind, *at, "kind")
    if settings.workspace.kind == "hub":
        expected = "none, or a default workspace or a project for it: a hub only shares"
        raise placed(expected, endpoint.kind, *at, "kind")
    if endpoint.kind == "kubernetes":
        pools = [pool.name for pool in settings.cluster.gpu_pools] if settings.cluster else []
        if endpoint.pool not in pools:
            expected = f"a GPU pool of the cluster: {', '.join(pools) or 'there is none'}"
            raise placed(expected, endpoint.pool, *at, "pool")
        if not (settings.cluster and settings.cluster.ml_domain):
            expected = f"a domain for the Kubernetes endpoint of {application.name}"
            raise placed(expected, "", "cluster", "mlDomain")
    if endpoint.kind == "serverless" and not endpoint.model:
        raise placed("a model for a serverless endpoint", endpoint.model, *at, "model")
    if endpoint.kind == "managed" and endpoint.instance_type is None:
        raise placed("an instanceType for a managed endpoint", None, *at, "instanceType")
