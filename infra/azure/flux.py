"""GitOps: the cluster follows a Git repository with what was rendered for it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import kubernetesconfiguration as flux

from infra.azure.cluster_settings import Flux as Settings
from infra.azure.context import Context
from infra.azure.settings import FLUX_NAMESPACE

PROVIDER, CLUSTERS = "Microsoft.ContainerService", "managedClusters"
"""What a cluster's name is of: AKS, not a cluster elsewhere."""


@dataclass(frozen=True)
class FluxArgs:
    """``cluster``: the cluster's name."""

    settings: Settings
    cluster: pulumi.Input[str]


class Flux(pulumi.ComponentResource):
    """Flux in the cluster, and what it follows. ``public_key``: a deploy key for ssh addresses."""

    public_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        context: Context,
        args: FluxArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:Flux", name, None, opts)
        extension = self._extension(name, context, args)
        followed = self._configuration(name, context, args, extension)
        self.public_key = followed.repository_public_key
        self.register_outputs({"publicKey": self.public_key})

    def _extension(self, name: str, context: Context, args: FluxArgs) -> flux.Extension:
        return flux.Extension(
            name,
            extension_name="flux",
            extension_type="microsoft.flux",
            cluster_name=args.cluster,
            cluster_rp=PROVIDER,
            cluster_resource_name=CLUSTERS,
            resource_group_name=context.group,
            auto_upgrade_minor_version=True,
            release_train="Stable",
            scope=flux.ScopeArgs(cluster=flux.ScopeClusterArgs(release_namespace="flux-system")),
            # A namespace's objects act as that namespace's account, never as Flux itself.
            configuration_settings={"multiTenancy.enforce": "true"},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _configuration(
        self, name: str, context: Context, args: FluxArgs, extension: flux.Extension
    ) -> flux.FluxConfiguration:
        settings = args.settings
        return flux.FluxConfiguration(
            name,
            flux_configuration_name="greenlight",
            cluster_name=args.cluster,
            cluster_rp=PROVIDER,
            cluster_resource_name=CLUSTERS,
            resource_group_name=context.group,
            scope=flux.ScopeType.CLUSTER,
            namespace=FLUX_NAMESPACE,
            source_kind=flux.SourceKindType.GIT_REPOSITORY,
            git_repository=flux.GitRepositoryDefinitionArgs(
                url=settings.url,
                repository_ref=flux.RepositoryRefDefinitionArgs(branch=settings.branch),
                sync_interval_in_seconds=settings.interval_seconds,
                timeout_in_seconds=600,
            ),
            kustomizations={"applications": _kustomization(settings)},
            suspend=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[extension]),
        )


def _kustomization(settings: Settings) -> flux.KustomizationDefinitionArgs:
    return flux.KustomizationDefinitionArgs(
        path=settings.path,
        prune=True,
        force=False,
        wait=False,
        sync_interval_in_seconds=settings.interval_seconds,
        retry_interval_in_seconds=60,
        timeout_in_seconds=600,
    )
