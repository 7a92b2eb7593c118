"""An Azure ML registry: the shelf from which every environment takes the same models.

It is made by one stack and named by the others, because a registry's name belongs to one tenant
only once. Azure makes and owns the storage and the container registry behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import machinelearningservices as ml

from infra.azure.context import Context
from infra.azure.monitoring import Monitoring
from infra.azure.network import Network
from infra.azure.storage import WITHOUT_ZONES


@dataclass(frozen=True)
class ModelRegistryArgs:
    """``name`` of the registry, 3 to 33 characters, unique in the tenant."""

    name: str


class ModelRegistry(pulumi.ComponentResource):
    """The registry, in the stack's region alone, with its private endpoint."""

    def __init__(
        self,
        name: str,
        context: Context,
        monitoring: Monitoring,
        network: Network,
        args: ModelRegistryArgs,
    ) -> None:
        super().__init__("greenlight:azure:ModelRegistry", name)
        self._context = context
        self.registry = self._registry(args.name)
        self.id = self.registry.id
        monitoring.diagnostics("models", self.id, self)
        network.private_endpoint("models", self.id, "amlregistry", self)
        self.register_outputs({"id": self.id})

    def _registry(self, name: str) -> ml.Registry:
        context = self._context
        return ml.Registry(
            "models",
            registry_name=name,
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            # The registry acts on what Azure made for it: an identity that lives and dies with it.
            identity=ml.ManagedServiceIdentityArgs(type="SystemAssigned"),
            public_network_access=context.public_access,
            region_details=[self._region()],
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )

    def _region(self) -> ml.RegistryRegionArmDetailsArgs:
        location = self._context.location
        kept = "Standard_LRS" if location in WITHOUT_ZONES else "Standard_ZRS"
        images = ml.SystemCreatedAcrAccountArgs(acr_account_sku="Premium")
        files = ml.SystemCreatedStorageAccountArgs(
            storage_account_type=kept,
            storage_account_hns_enabled=False,
            allow_blob_public_access=False,
        )
        return ml.RegistryRegionArmDetailsArgs(
            location=location,
            acr_details=[ml.AcrDetailsArgs(system_created_acr_account=images)],
            storage_account_details=[
                ml.StorageAccountDetailsArgs(system_created_storage_account=files)
            ],
        )
