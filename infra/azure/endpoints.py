"""The shell of an application's endpoint: name, identity, who may call, where from.

Deployments and traffic are the pipeline's and never written here. A tag that changes must not
touch a rollout, and that takes three things together:

1. the program gives neither ``traffic`` nor ``mirrorTraffic`` (nor a batch endpoint's default);
2. ``ignore_changes`` keeps the engine from planning a change of them when a refresh has read them;
3. a refresh before every update puts the live values into the state, because azure-native updates
   by a full PUT from the state: without the refresh the ignored value that it sends is the old
   one, which after the first ``up`` is ``{}``.

The third is in Pulumi.yaml (``refresh: always``); infra/azure/live_traffic.py refuses an update in
mid-rollout and a delete of what has traffic. Callers authenticate with Entra tokens; no endpoint
has keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from infra.azure import live_traffic
from infra.azure.context import Context
from infra.azure.identity import Identity
from infra.azure.monitoring import Monitoring
from infra.azure.settings import Application, compute_namespace
from infra.azure.settings import Endpoint as EndpointSettings
from infra.azure.workspace import Workspace

if TYPE_CHECKING:  # at import it would load all of Azure ML's classes
    Shell: TypeAlias = ml.OnlineEndpoint | ml.BatchEndpoint | ml.ServerlessEndpoint

LIVE = ("properties.traffic", "properties.mirrorTraffic")
"""What the pipeline writes on an online endpoint, in azure-native's spelling."""

LIVE_BATCH = ("properties.defaults",)
"""What the pipeline writes on a batch endpoint: which deployment answers."""

MICROSOFT = frozenset({"azureml", "azureml-msr", "azure-openai"})
"""Registries of Microsoft's own models; those of others are bought through Azure Marketplace.
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-models-serverless"""


@dataclass(frozen=True)
class EndpointArgs:
    """Whose endpoint it is, where, and what it acts as.

    ``cluster`` is the id of the AKS cluster with Azure ML's extension: a Kubernetes endpoint needs
    it.
    """

    application: Application
    settings: EndpointSettings
    workspace: Workspace
    identity: Identity
    tags: Mapping[str, str]
    cluster: pulumi.Input[str] | None = None


class Endpoint(pulumi.ComponentResource):
    """An endpoint of any kind. ``scoring_uri`` is None where Azure has not said it."""

    def __init__(
        self, name: str, context: Context, monitoring: Monitoring, args: EndpointArgs
    ) -> None:
        super().__init__("greenlight:azure:Endpoint", name)
        self._context = context
        self._args = args
        self._monitoring = monitoring
        self.endpoint = self._made(args.settings.kind)
        self.id, self.name = self.endpoint.id, self.endpoint.name
        self.scoring_uri = _scoring_uri(self.endpoint)
        self.register_outputs({"id": self.id, "scoring_uri": self.scoring_uri})

    def _made(self, kind: str) -> Shell:
        makers: dict[str, Callable[[], Shell]] = {
            "managed": self._managed,
            "kubernetes": self._kubernetes,
            "batch": self._batch,
            "serverless": self._serverless,
        }
        return makers[kind]()

    def _managed(self) -> ml.OnlineEndpoint:
        return self._online(
            ml.OnlineEndpointPropertiesArgs(
                auth_mode="AADToken", public_network_access=self._context.public_access
            ),
            kind="Managed",
        )

    def _kubernetes(self) -> ml.OnlineEndpoint:
        compute = self._compute()
        properties = ml.OnlineEndpointPropertiesArgs(auth_mode="AADToken", compute=compute.id)
        return self._online(properties)

    def _online(
        self, properties: ml.OnlineEndpointPropertiesArgs, kind: str | None = None
    ) -> ml.OnlineEndpoint:
        endpoint = ml.OnlineEndpoint(
            self.pulumi_resource_name,
            endpoint_name=self._context.names.endpoint(self._args.application.name),
            workspace_name=self._args.workspace.name,
            resource_group_name=self._context.group,
            location=self._context.location,
            tags=self._args.tags,
            kind=kind,
            identity=self._identity(),
            properties=properties,
            opts=pulumi.ResourceOptions.merge(
                self._options(LIVE), pulumi.ResourceOptions(hooks=live_traffic.hooks())
            ),
        )
        self._monitoring.diagnostics(self.pulumi_resource_name, endpoint.id, self)
        return endpoint

    def _batch(self) -> ml.BatchEndpoint:
        # No identity: jobs act as their caller or their compute.
        return ml.BatchEndpoint(
            self.pulumi_resource_name,
            endpoint_name=self._context.names.endpoint(self._args.application.name),
            workspace_name=self._args.workspace.name,
            resource_group_name=self._context.group,
            location=self._context.location,
            tags=self._args.tags,
            properties=ml.BatchEndpointPropertiesArgs(auth_mode="AADToken"),
            opts=self._options(LIVE_BATCH),
        )

    def _serverless(self) -> ml.ServerlessEndpoint:
        model = self._args.settings.model
        bought = [] if _registry(model) in MICROSOFT else [self._subscription(model)]
        return ml.ServerlessEndpoint(
            self.pulumi_resource_name,
            name=self._context.names.endpoint(self._args.application.name),
            workspace_name=self._args.workspace.name,
            resource_group_name=self._context.group,
            location=self._context.location,
            tags=self._args.tags,
            sku=ml.SkuArgs(name="Consumption"),
            properties=ml.ServerlessEndpointPropertiesArgs(
                auth_mode="AAD",
                model_settings=ml.ModelSettingsArgs(model_id=model),
                content_safety=ml.ContentSafetyArgs(content_safety_status="Enabled"),
            ),
            opts=self._options(after=bought),
        )

    def _subscription(self, model: str) -> ml.MarketplaceSubscription:
        return ml.MarketplaceSubscription(
            f"{self.pulumi_resource_name}-subscription",
            name=self._context.names.endpoint(self._args.application.name),
            workspace_name=self._args.workspace.name,
            resource_group_name=self._context.group,
            properties=ml.MarketplaceSubscriptionPropertiesArgs(model_id=model),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _compute(self) -> ml.Compute:
        """The cluster as a compute of this application: attached to one namespace alone."""
        application, cluster = self._args.application, self._args.cluster
        if cluster is None:
            raise ValueError(f"expected a cluster for the endpoint of {application.name}")
        return ml.Compute(
            f"{self.pulumi_resource_name}-compute",
            compute_name=self._context.names.compute(application.name),
            workspace_name=self._args.workspace.name,
            resource_group_name=self._context.group,
            location=self._context.location,
            tags=self._args.tags,
            identity=self._identity(),
            properties=ml.KubernetesArgs(
                compute_type="Kubernetes",
                resource_id=cluster,
                disable_local_auth=True,
                properties=ml.KubernetesPropertiesArgs(namespace=compute_namespace(application)),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _identity(self) -> ml.ManagedServiceIdentityArgs:
        return ml.ManagedServiceIdentityArgs(
            type="UserAssigned", user_assigned_identities=[self._args.identity.id]
        )

    def _options(
        self, live: tuple[str, ...] = (), after: list[ml.MarketplaceSubscription] | None = None
    ) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            protect=self._context.keeps,
            ignore_changes=list(live),
            depends_on=[*self._args.identity.grants, *(after or [])],
        )


def _registry(model: str) -> str:
    """``azureml-cohere`` of ``azureml://registries/azureml-cohere/models/...``."""
    return model.removeprefix("azureml://registries/").partition("/")[0]


def _scoring_uri(endpoint: Shell) -> pulumi.Output[str | None]:
    if isinstance(endpoint, ml.ServerlessEndpoint):
        return endpoint.properties.apply(
            lambda properties: getattr(properties.inference_endpoint, "uri", None)
        )
    return endpoint.properties.apply(lambda properties: properties.scoring_uri)
