"""User-assigned identities and what each may do: built-in roles, as narrow as the work allows.

Azure's own pages ask for Contributor on what a workspace uses; the roles here are those parts of
it that the work needs. None of them can hand out rights.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_azure_native import authorization, managedidentity

from infra.azure.context import Context

ROLES = {
    "AcrPull": "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    "AcrPush": "8311e382-0749-4cb8-b61a-304f252e45ec",
    "Azure AI Enterprise Network Connection Approver": "b556d68e-0be0-4f35-a333-ad7ee1ce17ea",
    "Azure Event Hubs Data Receiver": "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
    "Azure Event Hubs Data Sender": "2b629674-e913-4c01-ae53-ef4638d8f975",
    "Azure Machine Learning Workspace Connection Secrets Reader": (
        "ea01e6af-a1c1-4350-9563-ad00f8c72ec5"
    ),
    "AzureML Data Scientist": "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    "AzureML Metrics Writer (preview)": "635dd51f-9968-44d3-b7fb-6d9a6bd613ae",
    "AzureML Registry User": "1823dd4f-9b8c-4ab6-ab4e-7397a3684615",
    "Cognitive Services OpenAI User": "5e0bd9bd-7b93-4f28-af87-19fc36ad61bd",
    "Grafana Admin": "22926164-76b3-42b3-bc55-97df8dab3e41",
    "Key Vault Contributor": "f25e0fa2-a7c8-4377-a976-54943a77a395",
    "Key Vault Secrets Officer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "Key Vault Secrets User": "4633458b-17de-408a-b874-0445c86b69e6",
    "Managed Identity Operator": "f1a07417-d97a-45cb-824c-7a7467783830",
    "Monitoring Data Reader": "b0d8363b-8ddd-447d-831f-62ca05bff136",
    "Monitoring Metrics Publisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "Monitoring Reader": "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
    "Network Contributor": "4d97b98b-1d4f-4787-a291-c67834d212e7",
    "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "Storage Account Contributor": "17d1049b-9a84-46fb-8f53-869881c3d3ab",
    "Storage Blob Data Contributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "Storage Blob Data Reader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    "Storage File Data Privileged Contributor": "69566ab7-960f-475b-8e7c-b3118f30c6bd",
}
"""Ids of Azure's built-in roles, the same in every tenant.
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles (2026-04-09) lists all
but UNLISTED."""

UNLISTED = (
    "Azure Machine Learning Workspace Connection Secrets Reader",
    "Monitoring Data Reader",
)
"""Roles that the page leaves out. Their ids are those of Azure's own samples and templates; not
verified against a page of Microsoft's."""


@dataclass(frozen=True)
class IdentityArgs:
    """``part`` of its Azure name, an application's name or nothing, and its tags."""

    part: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Principal:
    """Who is given a role: an object id of Entra, and what it is of."""

    id: pulumi.Input[str]
    kind: Literal["ServicePrincipal", "Group"]


class Identity(pulumi.ComponentResource):
    """An identity. ``grants`` are its rights: who acts as it waits for them."""

    def __init__(self, name: str, context: Context, args: IdentityArgs) -> None:
        super().__init__("greenlight:azure:Identity", name)
        self._context = context
        self.grants: list[authorization.RoleAssignment] = []
        self.identity = managedidentity.UserAssignedIdentity(
            name,
            resource_name_=context.names.of("id", args.part),
            resource_group_name=context.group,
            location=context.location,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id = self.identity.id
        self.client_id = self.identity.client_id
        self.register_outputs({"id": self.id, "client_id": self.client_id})

    def allow(self, role: str, on: str, scope: pulumi.Input[str]) -> None:
        """Give it the built-in ``role`` on ``scope``, a resource's id; ``on`` names it in the plan.

        ValueError for a role that is not in ROLES.
        """
        if role not in ROLES:
            raise ValueError(f"expected a role among {', '.join(ROLES)}, found {role}")
        name = (
            f"{self.pulumi_resource_name}-{role.partition(' (')[0].replace(' ', '-').lower()}-{on}"
        )
        who = Principal(self.identity.principal_id, "ServicePrincipal")
        self.grants.append(assign(name, self._context, role, who, scope, self))


def assign(
    name: str,
    context: Context,
    role: str,
    principal: Principal,
    scope: pulumi.Input[str],
    parent: pulumi.Resource,
) -> authorization.RoleAssignment:
    """Give ``principal`` the built-in ``role``, a key of ROLES, on ``scope``, a resource's id."""
    return authorization.RoleAssignment(
        name,
        role_assignment_name=_assignment(context, name),
        role_definition_id=_definition(context, role),
        principal_id=principal.id,
        principal_type=principal.kind,
        scope=scope,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _assignment(context: Context, name: str) -> str:
    """A name, which Azure wants as a UUID: always the same one, so that creating it twice is
    creating it once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{context.subscription}/{context.names}/{name}"))


def _definition(context: Context, role: str) -> str:
    provider = "providers/Microsoft.Authorization/roleDefinitions"
    return f"/subscriptions/{context.subscription}/{provider}/{ROLES[role]}"
