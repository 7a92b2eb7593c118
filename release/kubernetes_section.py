"""``kubernetes`` of an environment in ``llm.yaml``: where in a cluster it runs, and how.

Every default is the secure and quiet one. What has no field here is set by a patch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from release.git_section import Git
from release.sections import TIGHTENED, FilePath, Label, Section, Share

Host = Annotated[
    str, StringConstraints(pattern=r"^(?:\*\.)?[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$")
]
Image = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9](?:[a-z0-9._/:-]{0,400})@sha256:[0-9a-f]{64}$", max_length=500
    ),
]
"""By digest: a tag may be another image tomorrow."""


def _some(text: str) -> str:
    """For a container, zero is nothing asked for, and a limit of zero is none."""
    if not {*text} & {*"123456789"}:
        raise ValueError("must be more than zero")
    return text


Cores = Annotated[
    str,
    StringConstraints(pattern=r"^(?:[0-9]+(?:\.[0-9]{1,3})?|[0-9]+m)$"),
    AfterValidator(_some),
    TIGHTENED,
]
Bytes = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]+(?:\.[0-9]+)?(?:k|M|G|T|Ki|Mi|Gi|Ti)?$"),
    AfterValidator(_some),
    TIGHTENED,
]
"""Without m, which is for cores: 512m of memory is half a byte."""

Address = Annotated[
    str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[\w./-]*)?$")
]
"""Without a user or a password in it."""


def _network(text: str) -> str:
    """Without an interface, ``fe80::%eth0``: one of a machine's, which may hold any text."""
    if "%" not in text:
        with suppress(ValueError):
            return str(ip_network(text))
    raise ValueError("must be a network such as 10.224.0.0/24, without bits of a host")


Network = Annotated[str, AfterValidator(_network), TIGHTENED]
"""Addresses with a mask, in either version of the protocol."""

LabelKey = Annotated[
    str, StringConstraints(pattern=r"^(?:[a-z0-9.-]{1,253}/)?[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
]
LabelValue = Annotated[
    str, StringConstraints(pattern=r"^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")
]


OF_THE_CLUSTERS = re.compile(r"kube-.*|.*-system|default")
"""Namespaces of what runs the cluster: an application in one of them could stop it."""


def default_namespace(application: str, environment: str) -> str:
    """Where an environment is when nobody says."""
    return f"{application}-{environment}"


def is_the_clusters(namespace: str) -> bool:
    """Whether it is one that no application may be in, whoever asks for it."""
    return OF_THE_CLUSTERS.fullmatch(namespace) is not None


def _own(name: str) -> str:
    if is_the_clusters(name):
        raise ValueError(
            "must be a namespace of yours: default, kube-… and …-system are the cluster's own"
        )
    return name


class Resources(Section):
    """What a container asks for. Memory is its limit too; the processor has none, since a limit
    there only slows down what nobody else wants.
    """

    cpu: Cores = Field(description="cores: 500m is half of one")
    memory: Bytes = Field(description="bytes: 2Gi")


class Gateway(Section):
    """The Gateway API's Gateway that the route hangs on. The platform keeps it."""

    name: Label = Field("greenlight", description="the Gateway's name")
    namespace: Label = Field("gateways", description="the Gateway's namespace")
    hostnames: tuple[Host, ...] = Field((), max_length=16, description="none: the Gateway's own")
    pods: Label | None = Field(
        None,
        description="namespace of the pods that pass requests on, where it is another, as "
        "envoy-gateway-system is; None: the Gateway's",
    )
    addresses: tuple[Network, ...] = Field(
        (),
        max_length=16,
        description="networks that requests come from too, where the Gateway's proxies are outside "
        "the cluster's pods, such as the subnet of Application Gateway for Containers",
    )
    timeout_seconds: int | None = Field(
        0,
        ge=0,
        le=86_400,
        description="for a whole answer; 0: the route asks for none, since a long one takes "
        "its time and some gateways cut at 15 s; None: the Gateway's own, where it takes no "
        "timeouts",
    )
    cookie: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = Field(
        None,
        description="a cookie that pins its sender, with a tester's key, to the slot it names, "
        "where the Gateway takes regular expressions; None: the header alone",
    )


class Scaling(Section):
    """How many application pods a slot has, by what they have to do."""

    min: int = Field(2, ge=1, le=1000, description="pods: two, so that one may go")
    max: int = Field(10, ge=1, le=1000, description="pods")
    prometheus: Address | None = Field(
        None, description="where KEDA asks for requests in flight; None: by the processor's use"
    )
    in_flight: int = Field(32, ge=1, le=100_000, description="requests in flight a pod, with KEDA")

    @model_validator(mode="after")
    def _rises(self) -> Scaling:
        if self.min > self.max:
            raise ValueError("max of at least min")
        return self


class Gpu(Section):
    """The GPUs of one model server's pod, and the pool that has them."""

    count: int = Field(1, ge=1, le=16, description="GPUs a pod")
    resource: LabelKey = Field("nvidia.com/gpu", description="as the device plugin calls it")
    pool: LabelValue | None = Field(None, description="AKS agent pool; None: any with such GPUs")


class Volume(Section):
    """A file in a volume that the team fills; a release knows it by its digest."""

    claim: Label = Field(description="the PersistentVolumeClaim, in the same namespace")
    file: FilePath = Field(description="the file in it")


class ModelServer(Section):
    """The model servers of the environment."""

    image: Image | None = Field(None, description="None: llama.cpp in Greenlight's own image")
    replicas: int = Field(1, ge=1, le=1000, description="pods of one model server")
    resources: Resources | None = Field(
        None,
        description="beside the GPUs, of one pod; its limits are the same, and shared memory "
        "counts as memory; None: 2 cores and 4Gi, with GPUs 2 cores and 16Gi for each",
    )
    gpu: Gpu | None = Field(None, description="None: it computes on the processor")
    load_seconds: int = Field(
        600, ge=1, le=86_400, description="until weights are loaded and a prompt is answered"
    )
    weights: Volume | None = Field(
        None, description="where llama.cpp's file is; None: in the image, at /models/SHA256"
    )
    cache: Bytes | None = Field(
        None,
        description="size of a volume of each pod's own, for what is fetched and compiled, of the "
        "default storage class; None: 20Gi of the node's disk, beyond which a pod is evicted",
    )
    shared_memory: Bytes = Field("2Gi", description="by which the GPUs of a pod talk")

    @property
    def asked(self) -> Resources:
        """``resources``, or what stands for None: a process a GPU holds a part of the weights on
        its way there, and 4Gi would be over before the libraries are loaded.
        """
        if self.resources:
            return self.resources
        if self.gpu is None:
            return Resources(cpu="2", memory="4Gi")
        return Resources(cpu=f"{2 * self.gpu.count}", memory=f"{16 * self.gpu.count}Gi")


DirectoryId = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F-]{36}$")]


class Identity(Section):
    """Microsoft Entra Workload ID: the watcher is this identity, and nodes read a Key Vault as it.
    There is no key, and pods that serve have no token.
    """

    client_id: DirectoryId = Field(
        alias="clientId", description="of the managed identity (the stack's outputs have it)"
    )
    tenant_id: DirectoryId = Field(alias="tenantId", description="of the directory that it is in")


class KeyVault(Section):
    """An Azure Key Vault, read on the node by the Secrets Store CSI driver as ``identity``."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$")] = (
        Field(description="the vault's name")
    )
    tenant_id: DirectoryId | None = Field(
        None, alias="tenantId", description="of the vault; None: the identity's"
    )


class ExternalStore(Section):
    """A store of External Secrets, which the platform keeps."""

    store: Label = Field(description="its name")
    kind: Literal["SecretStore", "ClusterSecretStore"] = Field(
        "SecretStore", description="of this namespace, or of the cluster"
    )


class SecretSource(Section):
    """Where secrets come from: one of the two."""

    key_vault: KeyVault | None = Field(None, alias="keyVault", description="Azure Key Vault")
    external: ExternalStore | None = Field(None, description="External Secrets")

    @model_validator(mode="after")
    def _one(self) -> SecretSource:
        if (self.key_vault is None) == (self.external is None):
            raise ValueError("either keyVault or external")
        return self


Variable = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]


class Secret(Section):
    """One secret: always a file of the model server, ``/secrets/NAME``. No value is ever here."""

    name: Label = Field(description="the file's name")
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,250}$")] = Field(
        description="its name in the vault or the store"
    )
    env: Variable | None = Field(
        None, description="a variable with the value too, such as HF_TOKEN; a file shows it to less"
    )
    file_env: Variable | None = Field(
        None, alias="fileEnv", description="a variable with the file's path, as HF_TOKEN_PATH"
    )


class Secrets(Section):
    """What model servers are given in secret, such as a token for gated weights."""

    source: SecretSource = Field(alias="from", description="where the values are")
    items: tuple[Secret, ...] = Field(min_length=1, max_length=32, description="which of them")

    @model_validator(mode="after")
    def _once(self) -> Secrets:
        names = [one.name for one in self.items]
        variables = [each for one in self.items for each in (one.env, one.file_env) if each]
        if len({*names}) < len(names) or len({*variables}) < len(variables):
            raise ValueError("each name and each variable once")
        if self.source.key_vault and any({*one.key} & {*"._/"} for one in self.items):
            raise ValueError("keys of a Key Vault, which are of letters, digits and dashes")
        return self


class NodePool(Section):
    """A pool of nodes that an autoscaler makes larger."""

    name: LabelValue = Field(min_length=1, description="as the label of its nodes says it")
    max: int = Field(ge=1, le=5000, description="nodes")
    cpu: Cores = Field(description="cores of one node that pods may ask for")
    memory: Bytes = Field(description="bytes of one node that pods may ask for")
    gpus: int = Field(0, ge=0, le=16, description="GPUs of one node")


class Capacity(Section):
    """What the cluster could be. Which nodes there are, it says itself."""

    pools: tuple[NodePool, ...] = Field(
        (), max_length=32, description="beside what the cluster autoscaler's status says"
    )


class Watcher(Section):
    """Two small pods, of which one stands by while a rollout is under way."""

    resources: Resources = Field(
        Resources(cpu="50m", memory="256Mi"), description="of each of its two pods"
    )
    environment_from: Label | None = Field(
        None,
        alias="environmentFrom",
        description="a Secret with the variables by which the ledger's store is reached; None: "
        "the identity's",
    )


class Patch(Section):
    """A merge patch (RFC 7396) of what is rendered, for what has no field."""

    kind: str = Field(min_length=1, max_length=63, description="such as Deployment")
    name: str = Field(min_length=1, max_length=253, description="the object's name; * is any text")
    patch: Mapping[str, Any] = Field(description="null takes a key away")


class Kubernetes(Section):
    """Where in a cluster an environment runs."""

    image: Image = Field(description="Greenlight's serving image, by digest")
    context: str | None = Field(None, max_length=253, description="of KUBECONFIG; None: current")
    namespace: Annotated[Label, AfterValidator(_own), TIGHTENED] | None = Field(
        None,
        description="that it has, or shares, by name; None: NAME-ENVIRONMENT, which Greenlight "
        "makes, and which is refused where somebody else has made it",
    )
    gateway: Gateway = Field(Gateway(), description="what traffic comes through")
    application: Resources = Field(
        Resources(cpu="250m", memory="512Mi"), description="of one pod of the prompt application"
    )
    scaling: Scaling = Field(Scaling(), description="of the prompt application")
    server: ModelServer = Field(ModelServer(), description="of the model")
    watcher: Watcher = Field(Watcher(), description="what brings traffic back by itself")
    identity: Identity | None = Field(None, description="None: nobody has one")
    secrets: Secrets | None = Field(None, description="None: model servers are given none")
    monitors: Literal["operator", "azure", "none"] = Field(
        "operator",
        description="who reads metrics. operator: the Prometheus operator, by a PodMonitor, with "
        "a PrometheusRule; azure: Azure Monitor's managed Prometheus, by a PodMonitor of its own "
        "group, and alerts are the stack's; none: the platform sees to both",
    )
    monitoring: Label | None = Field(
        None,
        description="namespace that metrics are read from; None: monitoring, with monitors: azure "
        "kube-system",
    )
    prometheus: Address | None = Field(
        None, description="where slots are measured, as seen from here; None: scaling's"
    )
    priority: Literal["serving", "none"] = Field(
        "serving", description="serving: pods come before what has no class of its own"
    )
    settle_seconds: int = Field(
        5, ge=0, le=300,
        description="from a pod's leaving the endpoints to its being told to stop: gateways learn "
        "of it late",
    )  # fmt: skip
    max_unavailable: Annotated[Share, Field(gt=0), TIGHTENED] = Field(
        0.25,
        description="share of pods that may be taken away at once, whole per cents upwards; with "
        "none, no node could ever be renewed",
    )
    when_full: Literal["wait", "smaller", "outage"] = Field(
        "wait",
        alias="whenFull",
        description="where a new release has no room beside the old one. wait: nothing begins; "
        "smaller: it begins with the pods that have room, and with no larger share of the "
        "requests; outage: the old one is stopped first, and nobody is answered until the new one "
        "is ready",
    )
    capacity: Capacity = Field(Capacity(), description="what autoscaled pools may still add")
    git: Git | None = Field(None, description="None: Greenlight acts on the cluster directly")
    patches: tuple[Patch, ...] = Field((), max_length=64, description="in order")

    @model_validator(mode="after")
    def _known(self) -> Kubernetes:
        if self.secrets and self.secrets.source.key_vault and self.identity is None:
            raise ValueError("identity, as whom the Key Vault of secrets is read")
        return self

    def namespace_of(self, application: str, environment: str) -> str:
        """The namespace that everything is in. By default its name can have no dot, so two may
        come to one: then whoever finds it as another's stays out (``Shell``).
        """
        return self.namespace or default_namespace(application, environment)

    @property
    def read_from(self) -> str:
        """The namespace that metrics are read from: where the pods that scrape are by default."""
        return self.monitoring or ("kube-system" if self.monitors == "azure" else "monitoring")

    @property
    def measured_at(self) -> str | None:
        """The Prometheus that slots are measured by. None: nobody has said, and none is guessed.

        The address for KEDA is a cluster's own, which may not be reachable from elsewhere; but who
        gives only that one means the same server. The reverse would bring KEDA in unasked.
        """
        return self.prometheus or self.scaling.prometheus
