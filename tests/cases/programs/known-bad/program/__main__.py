"""One plan with all the mistakes, and a sound resource of each kind beside them.

A comment with a rule's id stands before each mistake: this rule refuses it, at the line below, and
no other does. What has no such comment is refused by none.
"""

from __future__ import annotations

from typing import Any

import pulumi
import sound
from pulumi_azure_native import (
    alertsmanagement,
    cognitiveservices,
    consumption,
    containerregistry,
    dashboard,
    eventhub,
    keyvault,
    kubernetesconfiguration,
    monitor,
    network,
    operationalinsights,
    resources,
    storage,
)
from pulumi_azure_native import containerservice as aks
from pulumi_azure_native import machinelearningservices as ml

UNREACHED, UNLOGGED, UNALERTED = "unreached", "unlogged", "online-unwatched"
PRIVATE = (
    storage.StorageAccount, keyvault.Vault, containerregistry.Registry, ml.Workspace, ml.Registry,
    cognitiveservices.Account, eventhub.Namespace,
)  # fmt: skip
LOGGED = (
    keyvault.Vault, containerregistry.Registry, ml.Workspace, ml.OnlineEndpoint, aks.ManagedCluster,
    cognitiveservices.Account, eventhub.Namespace, storage.BlobServiceProperties,
)  # fmt: skip
made: dict[str, Any] = {}


def declared(args: pulumi.ResourceTransformationArgs) -> None:
    """Remember the resource, for what belongs to it."""
    made[args.name] = args.resource


def sound_ones() -> None:
    """A resource of each kind that nothing is wrong with."""
    resources.ResourceGroup("sound", **{**sound.PLACED, "resource_group_name": sound.GROUP})
    storage.StorageAccount("sound-account", **sound.account("sound"))
    storage.BlobServiceProperties("sound-blobs", **sound.blobs("sound"))
    keyvault.Vault("sound-vault", **sound.vault("sound"))
    containerregistry.Registry("sound-registry", **sound.registry("sound"))
    operationalinsights.Workspace("sound-logs", workspace_name="logs", **sound.PLACED)
    dashboard.Grafana("sound-grafana", **sound.grafana("sound"))
    eventhub.Namespace("sound-events", **sound.events("sound"))
    cognitiveservices.Account("sound-openai", **sound.openai("sound"))
    cognitiveservices.Account("pair", **sound.openai("pair"))
    consumption.Budget("sound-budget", **sound.budget("sound"))
    monitor.ActionGroup("sound-told", **sound.action_group("told"))


def sound_models() -> None:
    """The same for Azure ML and Kubernetes."""
    ml.Workspace("sound-workspace", **sound.workspace("sound"))
    ml.Registry("sound-models", **sound.models("sound"))
    ml.OnlineEndpoint("online-sound", **sound.endpoint("online-sound"))
    ml.BatchEndpoint("batch-sound", **sound.endpoint("batch-sound"))
    ml.ServerlessEndpoint("sound-serverless", **sound.serverless("sound"))
    ml.WorkspaceConnection("sound-connection", **sound.connection("sound"))
    ml.Compute("sound-compute", **sound.compute("sound"))
    aks.ManagedCluster("sound-cluster", **sound.cluster("sound"))
    aks.AgentPool("sound-pool", **sound.pool("gpu"))
    kubernetesconfiguration.Extension("sound-extension", **sound.extension("sound"))
    for of in ("sound", "blind"):
        kubernetesconfiguration.FluxConfiguration(f"flux-{of}", **sound.flux("flux", of))
    for of in ("sound", "bare"):
        alertsmanagement.PrometheusRuleGroup(f"gpus-{of}", **sound.prometheus(f"gpus-{of}", of))


def what_belongs_to_them() -> None:
    """One private endpoint for all, and each one's logs and alert."""
    there = list(made.items())
    targets = [one.id for name, one in there if isinstance(one, PRIVATE) and name != UNREACHED]
    network.PrivateEndpoint("sound-endpoint", **sound.private_endpoint("sound", *targets))
    network.PrivateDnsZoneGroup("sound-dns", **sound.in_dns("sound"))
    for name, one in there:
        if isinstance(one, LOGGED) and name != UNLOGGED:
            monitor.DiagnosticSetting(f"logs-{name}", **sound.diagnostics(one.id))
        if isinstance(one, ml.OnlineEndpoint) and name != UNALERTED:
            monitor.MetricAlert(f"slow-{name}", **sound.alert(f"slow-{name}", of=name))
            failing = sound.alert(f"failing-{name}", of=name, slow=sound.FAILING)
            monitor.MetricAlert(f"failing-{name}", **failing)


pulumi.runtime.register_stack_transformation(declared)
sound_ones()
sound_models()

import clusters  # noqa: E402, F401 - each declares what it holds
import data  # noqa: E402, F401
import doors  # noqa: E402, F401
import keys  # noqa: E402, F401
import models  # noqa: E402, F401
import unwatched  # noqa: E402, F401

what_belongs_to_them()
