"""Mistakes with keys, identities, rights and secrets."""

from __future__ import annotations

import pulumi
import sound
from pulumi_azure_native import (
    authorization,
    cognitiveservices,
    containerregistry,
    dashboard,
    eventhub,
    keyvault,
    kubernetesconfiguration,
    managedidentity,
    operationalinsights,
    storage,
)
from pulumi_azure_native import containerservice as aks
from pulumi_azure_native import machinelearningservices as ml

# GL-AZ-IDN-001: whoever has the key has everything
storage.StorageAccount("shared-key", **sound.account("shared-key", allow_shared_key_access=True))

# GL-AZ-IDN-002: an OpenAI account that takes keys
cognitiveservices.Account("local-auth", **sound.openai("local-auth", disable_local_auth=False))

# GL-AZ-IDN-002: a namespace that takes keys
eventhub.Namespace("sas", **sound.events("sas", disable_local_auth=False))

# GL-AZ-IDN-002: logs are written by whoever has the workspace's key
operationalinsights.Workspace("keyed-logs", **sound.logs("keyed", features=None))

# GL-AZ-IDN-002: machines that take passwords
ml.Compute("keyed-compute", **sound.compute("keyed", local=True))

# GL-AZ-IDN-016: users with passwords of their own
storage.StorageAccount("sftp", **sound.account("sftp", is_local_user_enabled=True))

# GL-AZ-IDN-017: another tenant has a copy
storage.StorageAccount("copied-out", **sound.account("copied", allow_cross_tenant_replication=True))

# GL-AZ-IDN-003: one password for everybody who pushes
containerregistry.Registry("admin", **sound.registry("admin", admin_user_enabled=True))

# GL-AZ-IDN-004: images for everybody
containerregistry.Registry(
    "anonymous-pull", **sound.registry("pulled", anonymous_pull_enabled=True)
)

# GL-AZ-IDN-005: keys for dashboards
dashboard.Grafana("keyed", **sound.grafana("keyed", api_key="Enabled"))

# GL-AZ-IDN-006: the model is called with a key
ml.OnlineEndpoint("online-keyed", **sound.endpoint("online-keyed", auth_mode="Key"))

# GL-AZ-IDN-006: jobs are started with a key
ml.BatchEndpoint("batch-keyed", **sound.endpoint("batch-keyed", auth_mode="Key"))

# GL-AZ-IDN-007: a catalog model is called with a key
ml.ServerlessEndpoint("serverless-keyed", **sound.serverless("serverless-keyed", auth_mode="Key"))

# GL-AZ-IDN-008: nobody knows as whom the cluster acts
aks.ManagedCluster("nobody", **sound.cluster("nobody", identity=None))

# GL-AZ-IDN-009: the workspace keeps the storage's key
ml.Workspace("keeper", **sound.workspace("keeper", system_datastores_auth_mode="AccessKey"))

# GL-AZ-IDN-010: Azure's roles do not count in the cluster
aks.ManagedCluster(
    "own-rbac", **sound.cluster("own-rbac", aad_profile={"enable_azure_rbac": False})
)

# GL-AZ-IDN-011: an administrator's certificate that goes past Entra
aks.ManagedCluster("local-accounts", **sound.cluster("local", disable_local_accounts=False))

# GL-AZ-IDN-012: pods need secrets to reach Azure
aks.ManagedCluster(
    "no-issuer", **sound.cluster("no-issuer", oidc_issuer_profile={"enabled": False})
)

ROLES = f"{sound.SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
SCOPE = f"{sound.SUBSCRIPTION}/resourceGroups/{sound.GROUP}"
RIGHT = {"scope": SCOPE, "principal_id": sound.GUID}
RESOURCE = {**RIGHT, "scope": f"{sound.PROVIDERS}/Microsoft.KeyVault/vaults/kv-sound"}
OWNER, READER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "acdd72a7-3385-48ef-bd42-f606fba81ae7"
SECRETS = "4633458b-17de-408a-b874-0445c86b69e6"

authorization.RoleAssignment("reads", role_definition_id=f"{ROLES}/{READER}", **RIGHT)

# GL-AZ-IDN-013: a workload that owns its vault
authorization.RoleAssignment("owns", role_definition_id=f"{ROLES}/{OWNER}", **RESOURCE)

# GL-AZ-IDN-018: a workload that reads the whole subscription
authorization.RoleAssignment(
    "reads-all", role_definition_id=f"{ROLES}/{READER}", **{**RIGHT, "scope": sound.SUBSCRIPTION}
)

# GL-AZ-IDN-018: a workload that reads every secret of the group
authorization.RoleAssignment("unlocks", role_definition_id=f"{ROLES}/{SECRETS}", **RIGHT)

managedidentity.UserAssignedIdentity("acting", resource_name_="acting", **sound.PLACED)
TRUST = {
    "resource_name_": "acting",
    "resource_group_name": sound.GROUP,
    "issuer": "https://issuer.example.com/",
    "audiences": ["api://AzureADTokenExchange"],
}
managedidentity.FederatedIdentityCredential("one", subject="system:serviceaccount:a:b", **TRUST)

# GL-AZ-IDN-014: every pod of every namespace
managedidentity.FederatedIdentityCredential("any", subject="system:serviceaccount:*:*", **TRUST)

# GL-AZ-IDN-015: access policies, which no role takes back
keyvault.Vault("policies", **sound.vault("policies", enable_rbac_authorization=False))

# GL-AZ-SEC-001: a password for whoever reads the plan
kubernetesconfiguration.Extension(
    "telling",
    **sound.extension("telling", configuration_protected_settings={"git.pat": "made-up"}),
)

KEPT = {"resource_group_name": sound.GROUP, "vault_name": "kv-sound", "tags": sound.TAGS}
keyvault.Secret(
    "kept", secret_name="kept", properties={"value": pulumi.Output.secret("made-up")}, **KEPT
)

# GL-AZ-SEC-002: the vault's secret stands in the program
keyvault.Secret("written", secret_name="written", properties={"value": "made-up"}, **KEPT)

# GL-AZ-SEC-003: a provider's key stands in the program
ml.WorkspaceConnection(
    "provider",
    **sound.connection(
        "provider", authType="CustomKeys", credentials={"keys": {"provider": "made-up"}}
    ),
)

LABELLED = {**sound.TAGS, "note": pulumi.Output.secret("made-up")}

# GL-AZ-SEC-004: a secret that everybody may read who may list the vaults
keyvault.Vault("labelled", **{**sound.vault("labelled"), "tags": LABELLED})

TOKEN = {"url": "https://made-up@git.example.com/it"}

# GL-AZ-SEC-005: a token in a repository's address
kubernetesconfiguration.FluxConfiguration(
    "cloned", **sound.flux("cloned", "sound", git_repository=TOKEN)
)

TWICE = {**sound.TAGS, "Owner": "another"}

# GL-AZ-GEN-002: two owners, of which Azure takes one
keyvault.Vault("owned", **{**sound.vault("owned"), "tags": TWICE})
