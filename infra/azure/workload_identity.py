"""An application acts as its identity, without a key: its service accounts are trusted.

Their Kubernetes token is exchanged for Azure's, so nothing has to be kept or rotated, and what one
application may do, no other may. Its watcher has an account of its own, and reads and writes the
ledger's store. The other account is its pods': as it a node reads what they mount of a Key Vault,
which no stack knows beforehand. They hold no token themselves (manifests/watcher.py, TRUSTED).
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from infra.azure.context import Context
from infra.azure.identity import Identity
from infra.azure.settings import Application, namespace

AUDIENCE = "api://AzureADTokenExchange"


@dataclass(frozen=True)
class WorkloadIdentityArgs:
    """``issuer``: the cluster's, of its service accounts' tokens; ``identity``: who they are."""

    application: Application
    identity: Identity
    issuer: pulumi.Input[str]


class WorkloadIdentity(pulumi.ComponentResource):
    """The trust between an application's service accounts and its identity."""

    def __init__(
        self,
        name: str,
        context: Context,
        args: WorkloadIdentityArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:WorkloadIdentity", name, None, opts)
        self._context, self._args = context, args
        own = args.application.name
        first = self._trust(name, own)
        self._trust(f"{name}.watcher", f"{own}-watcher", first)
        self.register_outputs({"clientId": args.identity.client_id})

    def _trust(
        self, name: str, account: str, *after: pulumi.Resource
    ) -> managedidentity.FederatedIdentityCredential:
        """One after the other: Azure refuses two writes to one identity's at the same time
        (https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations).
        """
        context, args = self._context, self._args
        space = namespace(args.application, context.settings.environment)
        return managedidentity.FederatedIdentityCredential(
            name,
            federated_identity_credential_resource_name=f"aks-{account}",
            resource_name_=args.identity.identity.name,
            resource_group_name=context.group,
            issuer=args.issuer,
            subject=f"system:serviceaccount:{space}:{account}",
            audiences=[AUDIENCE],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*after]),
        )
