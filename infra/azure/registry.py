"""The container registry: images by digest, pulled by identities only.

Untagged images are kept on purpose: a release names its images by digest, so one that has lost its
tag may be the one that a rollback needs.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import containerregistry

from infra.azure.context import Context
from infra.azure.monitoring import Monitoring
from infra.azure.network import Network
from infra.azure.storage import WITHOUT_ZONES


class Registry(pulumi.ComponentResource):
    """Container registry, Premium: the tier with private endpoints and zones."""

    def __init__(
        self,
        name: str,
        context: Context,
        monitoring: Monitoring,
        network: Network,
    ) -> None:
        super().__init__("greenlight:azure:Registry", name)
        self._context = context
        self.registry = self._registry()
        self.id = self.registry.id
        self.login_server = self.registry.login_server
        monitoring.diagnostics("registry", self.id, self)
        network.private_endpoint("registry", self.id, "registry", self)
        self.register_outputs({"id": self.id, "login_server": self.login_server})

    def _registry(self) -> containerregistry.Registry:
        context = self._context
        return containerregistry.Registry(
            "registry",
            registry_name=context.names.solid("cr"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            sku=containerregistry.SkuArgs(name="Premium"),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            data_endpoint_enabled=True,
            zone_redundancy="Disabled" if context.location in WITHOUT_ZONES else "Enabled",
            public_network_access=context.public_access,
            network_rule_bypass_options="AzureServices",
            network_rule_set=containerregistry.NetworkRuleSetArgs(
                default_action=context.default_action
            ),
            policies=containerregistry.PoliciesArgs(
                export_policy=containerregistry.ExportPolicyArgs(
                    # Azure forbids copies to other registries only where public access is off.
                    status="disabled" if context.private else "enabled"
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )
