"""The AKS cluster: the shell that pools of GPU nodes and the applications come into.

Nobody signs in to it but through Entra ID, its nodes have no keys, and its own services have a
pool of their own, so that an application that fills its nodes does not take the cluster along.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerservice as aks

from infra.azure.cluster_settings import Cluster as Settings
from infra.azure.context import Context
from infra.azure.identity import Identity, IdentityArgs

MAX_PODS = 110
SYSTEM_TAINT = "CriticalAddonsOnly=true:NoSchedule"
PODS, SERVICES, DNS = "10.244.0.0/16", "10.245.0.0/16", "10.245.0.10"
"""Inside settings.CLUSTER_ADDRESSES; in overlay mode no address of the network goes to a pod."""

_FEATURES = re.compile(r"^Standard_[A-Z]+\d+(?:-\d+)?([a-z]*)")


@dataclass(frozen=True)
class ClusterArgs:
    """``nodes``: the id of the subnet; ``logs``: of the Log Analytics workspace.

    ``registry``: the id of a container registry that nodes pull from, if there is one.
    """

    settings: Settings
    nodes: pulumi.Input[str]
    logs: pulumi.Input[str]
    registry: pulumi.Input[str] | None = None


class Cluster(pulumi.ComponentResource):
    """A cluster with its identities and its system and work pools."""

    cluster_id: pulumi.Output[str]
    cluster_name: pulumi.Output[str]
    issuer: pulumi.Output[str]
    node_group: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        context: Context,
        args: ClusterArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:Cluster", name, None, opts)
        self._context, self._args = context, args
        self._control = Identity("control", context, IdentityArgs("cluster", context.tags))
        self._kubelet = Identity("kubelet", context, IdentityArgs("kubelet", context.tags))
        cluster = self._cluster(name, self._grants())
        self._work_pool(cluster)
        self._maintenance(cluster)
        self.cluster_id, self.cluster_name = cluster.id, cluster.name
        self.issuer = cluster.oidc_issuer_profile.apply(
            lambda profile: (profile.issuer_url or "") if profile else ""
        )
        self.node_group = cluster.node_resource_group.apply(lambda group: group or "")
        self.register_outputs({"clusterId": self.cluster_id, "issuer": self.issuer})

    def _grants(self) -> list[pulumi.Resource]:
        """What the identities need before there is a cluster."""
        control, kubelet, args = self._control, self._kubelet, self._args
        control.allow("Network Contributor", "nodes", args.nodes)
        control.allow("Managed Identity Operator", "kubelet", kubelet.id)
        if args.registry is not None:
            kubelet.allow("AcrPull", "registry", args.registry)
        return [*control.grants, *kubelet.grants]

    def _cluster(self, name: str, grants: Sequence[pulumi.Resource]) -> aks.ManagedCluster:
        context, settings = self._context, self._args.settings
        return aks.ManagedCluster(
            name,
            resource_name_=context.names.of("aks"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            sku=aks.ManagedClusterSKUArgs(name="Base", tier=settings.tier),
            kubernetes_version=settings.kubernetes_version,
            dns_prefix=context.names.of("aks"),
            node_resource_group=context.names.of("rg", "nodes"),
            node_resource_group_profile=aks.ManagedClusterNodeResourceGroupProfileArgs(
                restriction_level=aks.RestrictionLevel.READ_ONLY
            ),
            identity=self._control_identity(),
            identity_profile={"kubeletidentity": self._kubelet_identity()},
            enable_rbac=True,
            disable_local_accounts=True,
            aad_profile=_sign_in(settings, context.tenant),
            api_server_access_profile=_api_server(settings),
            oidc_issuer_profile=aks.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            agent_pool_profiles=[self._system_pool()],
            network_profile=_network(),
            security_profile=_security(settings, self._args.logs),
            addon_profiles=_addons(self._args.logs),
            azure_monitor_profile=_metrics(),
            workload_auto_scaler_profile=_keda(),
            auto_upgrade_profile=_upgrades(),
            auto_scaler_profile=_scaling(),
            opts=self._options(grants),
        )

    def _options(self, grants: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self,
            depends_on=list(grants),
            # The count is the autoscaler's. A refresh before an update brings in what it is.
            ignore_changes=["agentPoolProfiles[0].count"],
            protect=self._context.keeps,
        )

    def _control_identity(self) -> aks.ManagedClusterIdentityArgs:
        return aks.ManagedClusterIdentityArgs(
            type=aks.ResourceIdentityType.USER_ASSIGNED,
            user_assigned_identities=[self._control.id],
        )

    def _kubelet_identity(self) -> aks.UserAssignedIdentityArgs:
        return aks.UserAssignedIdentityArgs(
            resource_id=self._kubelet.id,
            client_id=self._kubelet.client_id,
            object_id=self._kubelet.identity.principal_id,
        )

    def _system_pool(self) -> aks.ManagedClusterAgentPoolProfileArgs:
        settings = self._args.settings
        pool = settings.system
        return aks.ManagedClusterAgentPoolProfileArgs(
            name="npsystem",
            mode=aks.AgentPoolMode.SYSTEM,
            type=aks.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
            vm_size=pool.size,
            os_type=aks.OSType.LINUX,
            os_sku=aks.OSSKU.AZURE_LINUX,
            os_disk_type=os_disk(pool.size),
            enable_auto_scaling=True,
            count=pool.min_count,
            min_count=pool.min_count,
            max_count=pool.max_count,
            availability_zones=list(pool.zones),
            max_pods=MAX_PODS,
            node_taints=[SYSTEM_TAINT],
            vnet_subnet_id=self._args.nodes,
            enable_encryption_at_host=settings.encryption_at_host,
            enable_node_public_ip=False,
            upgrade_settings=aks.AgentPoolUpgradeSettingsArgs(max_surge="33%"),
            tags=self._context.tags,
        )

    def _work_pool(self, cluster: aks.ManagedCluster) -> None:
        settings = self._args.settings
        pool = settings.work
        aks.AgentPool(
            "work",
            agent_pool_name="work",
            resource_name_=cluster.name,
            resource_group_name=self._context.group,
            mode=aks.AgentPoolMode.USER,
            type=aks.AgentPoolType.VIRTUAL_MACHINE_SCALE_SETS,
            vm_size=pool.size,
            os_type=aks.OSType.LINUX,
            os_sku=aks.OSSKU.AZURE_LINUX,
            os_disk_type=os_disk(pool.size),
            enable_auto_scaling=True,
            count=pool.min_count,
            min_count=pool.min_count,
            max_count=pool.max_count,
            availability_zones=list(pool.zones),
            max_pods=MAX_PODS,
            vnet_subnet_id=self._args.nodes,
            enable_encryption_at_host=settings.encryption_at_host,
            enable_node_public_ip=False,
            upgrade_settings=aks.AgentPoolUpgradeSettingsArgs(max_surge="33%"),
            tags=self._context.tags,
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["count"]),
        )

    def _maintenance(self, cluster: aks.ManagedCluster) -> None:
        """One window for Kubernetes, one for the nodes: AKS knows them by these names."""
        window = self._args.settings.maintenance
        for name in ("aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule"):
            aks.MaintenanceConfiguration(
                name,
                config_name=name,
                resource_name_=cluster.name,
                resource_group_name=self._context.group,
                maintenance_window=aks.MaintenanceWindowArgs(
                    schedule=aks.ScheduleArgs(
                        weekly=aks.WeeklyScheduleArgs(day_of_week=window.day, interval_weeks=1)
                    ),
                    start_time=window.start,
                    duration_hours=window.hours,
                    utc_offset="+00:00",
                ),
                opts=pulumi.ResourceOptions(parent=self),
            )


def os_disk(size: str) -> aks.OSDiskType:
    """Ephemeral where machines of ``size`` have a local disk, which Azure's names say by a d.

    https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions
    """
    features = _FEATURES.match(size)
    local = features is not None and "d" in features[1]
    return aks.OSDiskType.EPHEMERAL if local else aks.OSDiskType.MANAGED


def _sign_in(settings: Settings, tenant: str) -> aks.ManagedClusterAADProfileArgs:
    return aks.ManagedClusterAADProfileArgs(
        managed=True,
        enable_azure_rbac=True,
        admin_group_object_ids=list(settings.admin_groups),
        tenant_id=tenant,
    )


def _api_server(settings: Settings) -> aks.ManagedClusterAPIServerAccessProfileArgs:
    if not settings.private:
        return aks.ManagedClusterAPIServerAccessProfileArgs(
            enable_private_cluster=False,
            authorized_ip_ranges=list(settings.authorized_ranges),
            disable_run_command=True,
        )
    return aks.ManagedClusterAPIServerAccessProfileArgs(
        enable_private_cluster=True,
        enable_private_cluster_public_fqdn=False,
        private_dns_zone="system",
        # Run-command is a way around the private network for whoever may write to the cluster.
        disable_run_command=True,
    )


def _network() -> aks.ContainerServiceNetworkProfileArgs:
    return aks.ContainerServiceNetworkProfileArgs(
        network_plugin=aks.NetworkPlugin.AZURE,
        network_plugin_mode=aks.NetworkPluginMode.OVERLAY,
        network_dataplane=aks.NetworkDataplane.CILIUM,
        network_policy=aks.NetworkPolicy.CILIUM,
        pod_cidr=PODS,
        service_cidr=SERVICES,
        dns_service_ip=DNS,
        load_balancer_sku=aks.LoadBalancerSku.STANDARD,
        outbound_type=aks.OutboundType.LOAD_BALANCER,
    )


def _security(settings: Settings, logs: pulumi.Input[str]) -> aks.ManagedClusterSecurityProfileArgs:
    defender = aks.ManagedClusterSecurityProfileDefenderArgs(
        log_analytics_workspace_resource_id=logs,
        security_monitoring=aks.ManagedClusterSecurityProfileDefenderSecurityMonitoringArgs(
            enabled=True
        ),
    )
    return aks.ManagedClusterSecurityProfileArgs(
        defender=defender if settings.defender else None,
        image_cleaner=aks.ManagedClusterSecurityProfileImageCleanerArgs(
            enabled=True, interval_hours=48
        ),
        workload_identity=aks.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True),
    )


def _addons(logs: pulumi.Input[str]) -> dict[str, aks.ManagedClusterAddonProfileArgs]:
    """The dashboard is named to be off: a check that finds nothing of it takes it for on."""
    return {
        "omsagent": aks.ManagedClusterAddonProfileArgs(
            enabled=True,
            config={"logAnalyticsWorkspaceResourceID": logs, "useAADAuth": "true"},
        ),
        "azurepolicy": aks.ManagedClusterAddonProfileArgs(enabled=True),
        "azureKeyvaultSecretsProvider": aks.ManagedClusterAddonProfileArgs(
            enabled=True, config={"enableSecretRotation": "true", "rotationPollInterval": "2m"}
        ),
        "kubeDashboard": aks.ManagedClusterAddonProfileArgs(enabled=False),
    }


def _metrics() -> aks.ManagedClusterAzureMonitorProfileArgs:
    return aks.ManagedClusterAzureMonitorProfileArgs(
        metrics=aks.ManagedClusterAzureMonitorProfileMetricsArgs(enabled=True)
    )


def _keda() -> aks.ManagedClusterWorkloadAutoScalerProfileArgs:
    return aks.ManagedClusterWorkloadAutoScalerProfileArgs(
        keda=aks.ManagedClusterWorkloadAutoScalerProfileKedaArgs(enabled=True)
    )


def _upgrades() -> aks.ManagedClusterAutoUpgradeProfileArgs:
    """Patches come by themselves, in the maintenance window; a minor version is a decision."""
    return aks.ManagedClusterAutoUpgradeProfileArgs(
        upgrade_channel=aks.UpgradeChannel.PATCH,
        node_os_upgrade_channel=aks.NodeOSUpgradeChannel.NODE_IMAGE,
    )


def _scaling() -> aks.ManagedClusterPropertiesAutoScalerProfileArgs:
    """A GPU node needs long to come, with its driver and images, and costs much when idle."""
    return aks.ManagedClusterPropertiesAutoScalerProfileArgs(
        expander=aks.Expander.LEAST_WASTE,
        max_node_provision_time="30m",
        scale_down_unneeded_time="10m",
    )
