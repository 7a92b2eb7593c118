"""What every component needs to know of the stack it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from infra.azure.names import Names
from infra.azure.settings import AzureSettings


@dataclass(frozen=True)
class Context:
    """The stack. ``group`` is the resource group's name; ``secrets`` hold what settings name."""

    settings: AzureSettings
    names: Names
    tags: Mapping[str, str]
    group: pulumi.Input[str]
    tenant: str
    subscription: str
    secrets: Mapping[str, pulumi.Output[str]]

    @property
    def location(self) -> str:
        """Azure's name of the region."""
        return self.settings.location

    @property
    def private(self) -> bool:
        """Whether everything is reached through private endpoints alone."""
        return self.settings.network.private

    @property
    def public_access(self) -> str:
        """What Azure's ``publicNetworkAccess`` is set to: the one switch, in Azure's words."""
        return "Disabled" if self.private else "Enabled"

    @property
    def default_action(self) -> str:
        """What network rules do with whom they do not name."""
        return "Deny" if self.private else "Allow"

    @property
    def keeps(self) -> bool:
        """Whether what holds data, or answers, is protected from deletion by an update."""
        return self.settings.environment == "production"
