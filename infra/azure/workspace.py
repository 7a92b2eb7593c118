"""The Azure ML workspace: default, hub or project.

It acts as a user-assigned identity and reads its storage as that identity, so no key of anything
is kept in it. Its managed network decides what deployments and jobs reach. A project has its hub's
network, storage, keys and private endpoint, and none of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from infra.azure import settings
from infra.azure.context import Context
from infra.azure.identity import Identity
from infra.azure.monitoring import Monitoring
from infra.azure.network import Network
from infra.azure.registry import Registry
from infra.azure.storage import Storage
from infra.azure.vault import Vault

if TYPE_CHECKING:  # at import it would load all of Azure ML's classes
    OutboundRule: TypeAlias = (
        ml.FqdnOutboundRuleArgs | ml.ServiceTagOutboundRuleArgs | ml.PrivateEndpointOutboundRuleArgs
    )

KINDS = {"default": "Default", "hub": "Hub", "project": "Project"}
ISOLATION = {
    "disabled": "Disabled",
    "internet": "AllowInternetOutbound",
    "approved": "AllowOnlyApprovedOutbound",
}
APPROVER = "Azure AI Enterprise Network Connection Approver"


@dataclass(frozen=True)
class Reached:
    """A resource that the managed network has a private endpoint to: its id and its group id."""

    id: pulumi.Input[str]
    group: str


@dataclass(frozen=True)
class WorkspaceArgs:
    """What the workspace stands on. ``hosts`` and ``reaches`` are what its network lets out to.

    Azure itself adds what every workspace needs, its own storage, vault and registry included:
    https://learn.microsoft.com/azure/machine-learning/how-to-managed-network
    """

    settings: settings.Workspace
    identity: Identity
    storage: Storage
    vault: Vault
    registry: Registry
    hosts: tuple[str, ...]
    reaches: Mapping[str, Reached]


class Workspace(pulumi.ComponentResource):
    """The workspace, the rights of its identity and its private endpoint."""

    def __init__(
        self,
        name: str,
        context: Context,
        monitoring: Monitoring,
        network: Network,
        args: WorkspaceArgs,
    ) -> None:
        super().__init__("greenlight:azure:Workspace", name)
        self._context = context
        self._args = args
        project = args.settings.kind == "project"
        if not project:
            self._allow_before(monitoring)
        self.workspace = self._workspace(self._project() if project else self._own(monitoring))
        self.id, self.name = self.workspace.id, self.workspace.name
        args.identity.allow("AzureML Data Scientist", "workspace", self.id)
        monitoring.diagnostics("workspace", self.id, self)
        if not project:
            network.private_endpoint("workspace", self.id, "amlworkspace", self)
        self.register_outputs({"id": self.id, "name": self.name})

    def _allow_before(self, monitoring: Monitoring) -> None:
        """The rights that the workspace needs to be made.
        https://learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication
        """
        args, allow = self._args, self._args.identity.allow
        for role in (
            "Storage Account Contributor",
            "Storage Blob Data Contributor",
            "Storage File Data Privileged Contributor",
            APPROVER,
        ):
            allow(role, "storage", args.storage.id)
        for role in ("Key Vault Contributor", "Key Vault Secrets Officer", APPROVER):
            allow(role, "vault", args.vault.id)
        for role in ("AcrPush", APPROVER):
            allow(role, "registry", args.registry.id)
        for role in ("Reader", "Monitoring Metrics Publisher"):
            allow(role, "insights", monitoring.insights.id)
        for number, endpoint in enumerate(args.storage.private_endpoints):
            # Studio's way to storage without public access leads over these endpoints.
            allow("Reader", f"storage-endpoint-{number}", endpoint.id)
        for name, reached in args.reaches.items():
            if reached.id is not args.storage.id:  # Azure refuses the same grant a second time
                allow(APPROVER, name, reached.id)

    def _workspace(self, more: Mapping[str, Any]) -> ml.Workspace:
        context, identity = self._context, self._args.identity
        return ml.Workspace(
            "workspace",
            workspace_name=context.names.of("mlw"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            kind=KINDS[self._args.settings.kind],
            sku=ml.SkuArgs(name="Basic", tier=ml.SkuTier.BASIC),
            identity=ml.ManagedServiceIdentityArgs(
                type="UserAssigned", user_assigned_identities=[identity.id]
            ),
            primary_user_assigned_identity=identity.id,
            **more,
            opts=pulumi.ResourceOptions(
                parent=self, protect=context.keeps, depends_on=list(identity.grants)
            ),
        )

    def _project(self) -> dict[str, Any]:
        return {"hub_resource_id": self._args.settings.hub}

    def _own(self, monitoring: Monitoring) -> dict[str, Any]:
        context, args = self._context, self._args
        return {
            "storage_account": args.storage.id,
            "key_vault": args.vault.id,
            "container_registry": args.registry.id,
            "application_insights": monitoring.insights.id,
            "system_datastores_auth_mode": "Identity",
            "public_network_access": context.public_access,
            "v1_legacy_mode": False,
            # Keeps diagnostics that Microsoft collects free of what is in the workspace.
            "hbi_workspace": context.settings.data_classification in ("confidential", "restricted"),
            "managed_network": self._managed_network(),
            # At once: else the first deployment waits half an hour for it.
            "provision_network_now": args.settings.isolation != "disabled",
        }

    def _managed_network(self) -> ml.ManagedNetworkSettingsArgs:
        args = self._args
        isolation = args.settings.isolation
        rules: dict[str, OutboundRule] = {}
        if isolation != "disabled":
            rules |= {name: _private(one) for name, one in args.reaches.items()}
        if isolation == "approved":
            rules |= {_rule_name("host", host): _host(host) for host in args.hosts}
            tags = args.settings.outbound_tags
            rules |= {_rule_name("tag", tag): _service_tag(tag) for tag in tags}
        firewall = args.settings.firewall if isolation == "approved" and args.hosts else None
        return ml.ManagedNetworkSettingsArgs(
            isolation_mode=ISOLATION[isolation],
            outbound_rules=dict(rules),
            firewall_sku=firewall,
        )


def _private(reached: Reached) -> ml.PrivateEndpointOutboundRuleArgs:
    return ml.PrivateEndpointOutboundRuleArgs(
        type="PrivateEndpoint",
        category="UserDefined",
        destination=ml.PrivateEndpointDestinationArgs(
            service_resource_id=reached.id, subresource_target=reached.group, spark_enabled=False
        ),
    )


def _host(host: str) -> ml.FqdnOutboundRuleArgs:
    return ml.FqdnOutboundRuleArgs(type="FQDN", category="UserDefined", destination=host)


def _service_tag(tag: str) -> ml.ServiceTagOutboundRuleArgs:
    return ml.ServiceTagOutboundRuleArgs(
        type="ServiceTag",
        category="UserDefined",
        destination=ml.ServiceTagDestinationArgs(
            service_tag=tag, protocol="TCP", port_ranges="443", action="Allow"
        ),
    )


def _rule_name(kind: str, destination: str) -> str:
    """At most 33 characters of letters, digits and dashes, different for each destination."""
    readable = "".join(letter if letter.isalnum() else "-" for letter in destination)[:20]
    return f"{kind}-{readable.strip('-')}-{hashlib.sha256(destination.encode()).hexdigest()[:5]}"
