"""An application's pods act as its identity, without a key: its service account is trusted.

They exchange their Kubernetes token for Azure's, so nothing has to be kept or rotated, and what
one application may do, no other may.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from infra.azure.context import Context
from infra.azure.identity import Identity
from infra.azure.settings import Application

AUDIENCE = "api://AzureADTokenExchange"


@dataclass(frozen=True)
class WorkloadIdentityArgs:
    """``issuer``: the cluster's, of its service accounts' tokens; ``identity``: who they are."""

    application: Application
    identity: Identity
    issuer: pulumi.Input[str]


class WorkloadIdentity(pulumi.ComponentResource):
    """The trust between an application's service account and its identity."""

    def __init__(
        self,
        name: str,
        context: Context,
        args: WorkloadIdentityArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:WorkloadIdentity", name, None, opts)
        managedidentity.FederatedIdentityCredential(
            name,
            federated_identity_credential_resource_name=f"aks-{args.application.name}",
            resource_name_=args.identity.identity.name,
            resource_group_name=context.group,
            issuer=args.issuer,
            subject=subject(args.application),
            audiences=[AUDIENCE],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"clientId": args.identity.client_id})


def namespace(application: Application) -> str:
    """Where the application runs in the cluster."""
    return application.namespace or application.name


def subject(application: Application) -> str:
    """Its service account, named as the application, as Kubernetes writes it into tokens."""
    return f"system:serviceaccount:{namespace(application)}:{application.name}"
