"""Who may do what: Entra identities everywhere, no shared keys, no local accounts."""

from __future__ import annotations

import re
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.network import is_project
from policies.rules.azure.values import (
    all_of,
    equals,
    is_false,
    is_true,
    items_at,
    said,
    value_at,
    where,
)
from policies.rules.findings import shown
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

BROAD = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
}
"""Built-in roles that no workload needs: those that may do everything, or hand out rights.
https://learn.microsoft.com/azure/role-based-access-control/built-in-roles (2026-04-09)"""

ACROSS_GROUP = {
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "43d0d8ad-25c7-4714-9337-8ba259a9fe05": "Monitoring Reader",
    "73c42c96-874c-492b-b04d-ab87d138a893": "Log Analytics Reader",
}
"""Roles that may be given on a whole group: they read settings, metrics and logs, no data."""

ABOVE = re.compile(
    r"/|/?subscriptions/[^/]+/?|/?providers/microsoft\.management/managementgroups/[^/]+/?", re.I
)
GROUP = re.compile(r"(?:/?subscriptions/[^/]+/resourcegroups/[^/]+/?)?", re.I)
"""Scopes above a group, and those of one; a template that names none means its own group."""

LOCAL = {
    kinds.LOGS: "properties.features.disableLocalAuth",
    kinds.INSIGHTS: "properties.DisableLocalAuth",
}
"""Where a type says that it takes no keys, if it is not ``properties.disableLocalAuth``."""

EXCHANGE = "api://AzureADTokenExchange"


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (
        *_data_keys(),
        *_storage_users(),
        *_registry_keys(),
        *_dashboard_keys(),
        *_callers(),
        *_services(),
        *_cluster(),
        *_rights(),
    )


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _data_keys() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-001",
            title="Storage takes no shared key",
            types=(kinds.STORAGE,),
            expected="allowSharedKeyAccess: false",
            remedy="Set it, and give identities a role on the data.",
            source=f"{LEARN}/storage/common/shared-key-authorization-prevent",
            check=is_false("properties.allowSharedKeyAccess", default=True),
        ),
        Rule(
            id="GL-AZ-IDN-002",
            title="Local authentication is off",
            types=(kinds.EVENTS, kinds.ACCOUNT, kinds.LOGS, kinds.INSIGHTS, kinds.COMPUTE),
            expected="disableLocalAuth: true",
            remedy="Set it, and give identities a role on the data.",
            source=f"{LEARN}/ai-services/disable-local-auth",
            check=_local_authentication,
        ),
    )


def _storage_users() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-016",
            title="Storage has no users of its own",
            types=(kinds.STORAGE,),
            expected="isLocalUserEnabled and isSftpEnabled: false",
            remedy="Remove both or set them to false: local users come with passwords and keys.",
            source=f"{LEARN}/storage/blobs/secure-file-transfer-protocol-support",
            check=all_of(
                is_false("properties.isLocalUserEnabled"), is_false("properties.isSftpEnabled")
            ),
        ),
        Rule(
            id="GL-AZ-IDN-017",
            title="Storage is not copied into another tenant",
            types=(kinds.STORAGE,),
            expected="allowCrossTenantReplication: false",
            remedy="Remove it or set it to false.",
            source=f"{LEARN}/storage/blobs/object-replication-prevent-cross-tenant-policies",
            check=is_false("properties.allowCrossTenantReplication"),
        ),
    )


def _registry_keys() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-003",
            title="The container registry has no admin user",
            types=(kinds.REGISTRY,),
            expected="adminUserEnabled: false",
            remedy="Set it, and give identities AcrPull.",
            source=f"{LEARN}/container-registry/container-registry-authentication",
            check=is_false("properties.adminUserEnabled"),
        ),
        Rule(
            id="GL-AZ-IDN-004",
            title="Nobody pulls images anonymously",
            types=(kinds.REGISTRY,),
            expected="anonymousPullEnabled: false",
            remedy="Set it, and give identities AcrPull.",
            source=f"{LEARN}/container-registry/anonymous-pull-access",
            check=is_false("properties.anonymousPullEnabled"),
        ),
    )


def _dashboard_keys() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-005",
            title="Grafana has no API keys",
            types=(kinds.GRAFANA,),
            expected="apiKey: Disabled",
            remedy="Remove it or set it to Disabled.",
            source=f"{LEARN}/managed-grafana/how-to-service-accounts",
            check=equals("properties.apiKey", "Disabled", default="Disabled"),
        ),
    )


def _callers() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-006",
            title="Endpoints are called with Entra tokens",
            types=(kinds.ONLINE, kinds.BATCH),
            expected="authMode: AADToken",
            remedy="Set it, and give callers the role that scores.",
            source=f"{LEARN}/machine-learning/concept-endpoints-online-auth",
            check=equals("properties.authMode", "AADToken"),
        ),
        Rule(
            id="GL-AZ-IDN-007",
            title="Serverless endpoints are called with Entra tokens",
            types=(kinds.SERVERLESS,),
            expected="authMode: AAD",
            remedy="Set it, and give callers a role on the endpoint.",
            source=f"{LEARN}/machine-learning/how-to-deploy-models-serverless",
            check=equals("properties.authMode", "AAD"),
        ),
    )


def _services() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-008",
            title="What acts has a managed identity",
            types=(kinds.WORKSPACE, kinds.MODELS, kinds.ONLINE, kinds.CLUSTER),
            expected="identity.type with UserAssigned or SystemAssigned",
            remedy="Give it a user-assigned identity and the roles that it needs.",
            source=f"{LEARN}/machine-learning/how-to-identity-based-service-authentication",
            check=_identity,
        ),
        Rule(
            id="GL-AZ-IDN-009",
            title="The workspace reads its storage as itself",
            types=(kinds.WORKSPACE,),
            expected="systemDatastoresAuthMode: Identity",
            remedy="Set it: the default keeps the storage's key in the workspace.",
            source=f"{LEARN}/machine-learning/how-to-disable-local-auth-storage",
            check=where(
                lambda one: not is_project(one),
                equals(
                    "properties.systemDatastoresAuthMode",
                    "Identity",
                    "UserDelegationSAS",
                    default="AccessKey",
                ),
            ),
        ),
    )


def _cluster() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-010",
            title="Entra and Azure RBAC decide in the cluster",
            types=(kinds.CLUSTER,),
            expected="enableRBAC, aadProfile.managed and aadProfile.enableAzureRBAC: true",
            remedy="Set them, and give groups their roles in Azure.",
            source=f"{LEARN}/aks/manage-entra-id-authorization",
            check=all_of(
                is_true("properties.enableRBAC", default=True),
                is_true("properties.aadProfile.managed"),
                is_true("properties.aadProfile.enableAzureRBAC"),
            ),
        ),
        Rule(
            id="GL-AZ-IDN-011",
            title="The cluster has no local accounts",
            types=(kinds.CLUSTER,),
            expected="disableLocalAccounts: true",
            remedy="Set it: the local admin's certificate goes past Entra.",
            source=f"{LEARN}/aks/local-accounts",
            check=is_true("properties.disableLocalAccounts"),
        ),
        Rule(
            id="GL-AZ-IDN-012",
            title="Pods act as workload identities",
            types=(kinds.CLUSTER,),
            expected="oidcIssuerProfile.enabled and securityProfile.workloadIdentity.enabled: true",
            remedy="Set both, and federate a user-assigned identity.",
            source=f"{LEARN}/aks/workload-identity-overview",
            check=all_of(
                is_true("properties.oidcIssuerProfile.enabled"),
                is_true("properties.securityProfile.workloadIdentity.enabled"),
            ),
        ),
    )


def _rights() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IDN-013",
            title="No workload is an owner",
            types=(kinds.ROLE,),
            expected=f"a role for what is done, none of {', '.join(BROAD.values())}",
            remedy="Take the narrowest built-in role, such as Storage Blob Data Contributor.",
            source=f"{LEARN}/role-based-access-control/best-practices",
            check=_broad,
        ),
        Rule(
            id="GL-AZ-IDN-018",
            title="Rights are on what they are for",
            types=(kinds.ROLE,),
            expected="a resource as scope; a group for roles that read alone "
            f"({', '.join(ACROSS_GROUP.values())}); nothing above it",
            remedy="Name the resource, or answer for it in policies/suppressions.yaml.",
            source=f"{LEARN}/role-based-access-control/scope-overview",
            check=_wide,
        ),
        Rule(
            id="GL-AZ-IDN-014",
            title="A federated credential trusts one subject",
            types=(kinds.FEDERATED,),
            expected=f"an https issuer, one exact subject, and the audience {EXCHANGE}",
            remedy="Name the service account: system:serviceaccount:NAMESPACE:NAME.",
            source=f"{LEARN}/aks/workload-identity-overview",
            check=_federation,
        ),
        Rule(
            id="GL-AZ-IDN-015",
            title="Roles decide who reads the vault",
            types=(kinds.VAULT,),
            expected="enableRbacAuthorization: true",
            remedy="Set it, and replace access policies by roles.",
            source=f"{LEARN}/key-vault/general/rbac-guide",
            check=is_true("properties.enableRbacAuthorization"),
        ),
    )


def _identity(resource: ArmResource) -> str | None:
    kind = value_at(resource, "identity.type", "None")
    if kind != UNKNOWN and "assigned" in str(kind).lower():
        return None
    return said("identity.type", kind)


def _broad(resource: ArmResource) -> str | None:
    role = value_at(resource, "properties.roleDefinitionId", UNKNOWN)
    if not isinstance(role, str) or role == UNKNOWN:
        return "a role that is not known yet"
    name = BROAD.get(role.rpartition("/")[2].lower())
    return f"the role {name}" if name else None


def _wide(assignment: ArmResource) -> str | None:
    scope = assignment.scope
    if ABOVE.fullmatch(scope):
        return f"the scope {shown(scope)}"
    role = str(value_at(assignment, "properties.roleDefinitionId", UNKNOWN))
    listed = role.rpartition("/")[2].lower() in ACROSS_GROUP
    return (
        f"the role {shown(role)} on a whole group"
        if GROUP.fullmatch(scope) and not listed
        else None
    )


def _local_authentication(resource: ArmResource) -> str | None:
    return is_true(LOCAL.get(resource.type, "properties.disableLocalAuth"))(resource)


def _federation(resource: ArmResource) -> str | None:
    subject = value_at(resource, "properties.subject", "")
    audiences: list[Any] = items_at(resource, "properties.audiences")
    if subject == UNKNOWN or not subject or "*" in str(subject):
        return said("subject", subject)
    if audiences != [EXCHANGE]:
        return said("audiences", audiences)
    issuer = value_at(resource, "properties.issuer", "")  # made by the cluster: known after it
    return None if issuer == UNKNOWN or str(issuer).startswith("https://") else "another issuer"
