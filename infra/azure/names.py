"""Azure names after the Cloud Adoption Framework: TYPE-WORKLOAD-ENVIRONMENT-REGION-INSTANCE.

The abbreviations are those of
https://learn.microsoft.com/azure/cloud-adoption-framework/ready/azure-best-practices/resource-abbreviations
Some names are shorter or have no dashes by Azure's own rules; those that are unique in the whole
world carry a few letters of a hash, so that another tenant's stack of the same name does not
take them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

REGIONS = {
    "swedencentral": "sdc", "westeurope": "weu", "northeurope": "neu", "francecentral": "frc",
    "germanywestcentral": "gwc", "uksouth": "uks", "switzerlandnorth": "szn", "italynorth": "itn",
    "norwayeast": "noe", "polandcentral": "plc", "spaincentral": "spc", "eastus": "eus",
    "eastus2": "eus2", "centralus": "cus", "southcentralus": "scus", "northcentralus": "ncus",
    "westus": "wus", "westus2": "wus2", "westus3": "wus3", "canadacentral": "cnc",
    "canadaeast": "cne", "brazilsouth": "brs", "japaneast": "jpe", "koreacentral": "krc",
    "southeastasia": "sea", "australiaeast": "ae", "southindia": "ins", "uaenorth": "uan",
    "southafricanorth": "san",
}  # fmt: skip
"""Short names of regions: Azure Backup's geo codes, but weu, neu and noe for its we, ne and nwe.
Not verified: Microsoft publishes the codes in a file to download only."""

ENVIRONMENTS = {"dev": "dev", "test": "test", "staging": "stg", "production": "prod"}


@dataclass(frozen=True)
class Names:
    """The names of one stack's resources. ``subscription`` makes global names the stack's own."""

    workload: str
    environment: str
    location: str
    instance: str
    subscription: str

    def of(self, kind: str, part: str = "") -> str:
        """``mlw-assist-prod-sdc-001``; ``part`` tells several of a kind apart."""
        words = [kind, self.workload, part, self._environment, self._region, self.instance]
        return "-".join(word for word in words if word)

    def short(self, kind: str, part: str = "") -> str:
        """At most 24 characters, as Key Vault wants it: ``kv-assist-prod-sdc-1f3a9``."""
        return (
            f"{kind}-{self.workload}{part}"[:14].rstrip("-")
            + f"-{self._environment[0]}-{self._own}"
        )

    def solid(self, kind: str, part: str = "") -> str:
        """Letters and digits, at most 24: storage accounts and registries."""
        return f"{kind}{self.workload}{part}"[:15] + f"{self._environment}{self._own}"

    def endpoint(self, application: str) -> str:
        """Of an endpoint, unique in its region: 3 to 32 characters, single dashes.

        A name that is cut has its application in the hash: two that begin alike stay two.
        """
        own = self._own if len(application) <= 18 else self._hash(application)
        return f"{application[:18].rstrip('-')}-{self._environment}-{own}"

    def compute(self, application: str) -> str:
        """Of the cluster as an application's compute in the workspace: at most 16 characters.

        Azure also refuses one that ends in a dash and digits.
        """
        return f"{application[:6].rstrip('-')}-{self._hash(application)}-aks"

    @property
    def _environment(self) -> str:
        return ENVIRONMENTS[self.environment]

    @property
    def _region(self) -> str:
        return REGIONS[self.location]

    @property
    def _own(self) -> str:
        """Five letters that are this stack's: subscription, workload, region, instance."""
        return self._hash()

    def _hash(self, *more: str) -> str:
        text = "/".join([self.subscription, self.workload, self.location, self.instance, *more])
        return hashlib.sha256(text.encode()).hexdigest()[:5]
