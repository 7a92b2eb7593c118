"""Azure ML in the cluster: what lets a workspace deploy to it, for Kubernetes endpoints alone."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import kubernetesconfiguration

from infra.azure.context import Context
from infra.azure.flux import CLUSTERS, PROVIDER
from infra.azure.settings import ML_NAMESPACE

SETTINGS = {
    "enableInference": "True",
    "enableTraining": "False",
    "inferenceRouterServiceType": "LoadBalancer",
    "internalLoadBalancerProvider": "azure",  # an address of the network, not a public one
    "sslSecret": "greenlight-inference-tls",
    "installPromOp": "False",  # Azure's Prometheus is there already
}
"""The secret of that name in the namespace azureml holds the certificate; its owner puts it there.
https://learn.microsoft.com/azure/machine-learning/how-to-deploy-kubernetes-extension"""


@dataclass(frozen=True)
class MlExtensionArgs:
    """``cluster_id`` and ``cluster``: its id and name; ``domain``: the certificate's name."""

    cluster_id: pulumi.Input[str]
    cluster: pulumi.Input[str]
    domain: str


class MlExtension(pulumi.ComponentResource):
    """The extension. ``attachable``: the cluster's id, known once the extension is there."""

    attachable: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        context: Context,
        args: MlExtensionArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:MlExtension", name, None, opts)
        extension = kubernetesconfiguration.Extension(
            name,
            extension_name="azureml",
            extension_type="Microsoft.AzureML.Kubernetes",
            cluster_name=args.cluster,
            cluster_rp=PROVIDER,
            cluster_resource_name=CLUSTERS,
            resource_group_name=context.group,
            identity=kubernetesconfiguration.IdentityArgs(
                type=kubernetesconfiguration.ResourceIdentityType.SYSTEM_ASSIGNED
            ),
            auto_upgrade_minor_version=True,
            release_train="stable",
            scope=kubernetesconfiguration.ScopeArgs(
                cluster=kubernetesconfiguration.ScopeClusterArgs(release_namespace=ML_NAMESPACE)
            ),
            configuration_settings=SETTINGS | {"sslCname": args.domain},
            opts=pulumi.ResourceOptions(parent=self),
        )
        both = pulumi.Output.all(args.cluster_id, extension.id)
        self.attachable = both.apply(lambda ids: str(ids[0]))
        self.register_outputs({"attachable": self.attachable})
