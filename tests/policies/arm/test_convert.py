"""From azure-native's inputs to Azure's own shape: what is renamed, kept and refused."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.arm.convert import to_arm
from policies.arm.resource import UNKNOWN, Source
from policies.arm.table import Shape, row, tokens
from release.errors import BadInput
from tests.policies.making import untimed

ID = "/subscriptions/s/resourceGroups/rg-a/providers"
IDENTITY = f"{ID}/Microsoft.ManagedIdentity/userAssignedIdentities/id-a"

RENAMED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "storage:StorageAccount",
        {
            "sku": {"name": "Standard_LRS"},
            "enableHttpsTrafficOnly": True,
            "networkRuleSet": {
                "defaultAction": "Deny",
                "ipRules": [{"iPAddressOrRange": "10.0.0.1", "action": "Allow"}],
            },
            "encryption": {
                "keySource": "Microsoft.Keyvault",
                "keyVaultProperties": {"keyName": "k"},
                "encryptionIdentity": {"encryptionUserAssignedIdentity": IDENTITY},
            },
        },
        {
            "sku": {"name": "Standard_LRS"},
            "properties": {
                "supportsHttpsTrafficOnly": True,
                "networkAcls": {
                    "defaultAction": "Deny",
                    "ipRules": [{"value": "10.0.0.1", "action": "Allow"}],
                },
                "encryption": {
                    "keySource": "Microsoft.Keyvault",
                    "keyvaultproperties": {"keyname": "k"},
                    "identity": {"userAssignedIdentity": IDENTITY},
                },
            },
        },
    ),
    (
        "keyvault:Secret",
        {"properties": {"value": "[secret]", "attributes": {"expires": 2, "notBefore": 1}}},
        {"properties": {"value": "[secret]", "attributes": {"exp": 2, "nbf": 1}}},
    ),
    (
        "applicationinsights:Component",
        {"kind": "web", "applicationType": "web", "disableLocalAuth": True},
        {"kind": "web", "properties": {"Application_Type": "web", "DisableLocalAuth": True}},
    ),
    (
        "containerservice:ManagedCluster",
        {"autoScalerProfile": {"scanInterval": "10s"}, "kubernetesVersion": "1.33"},
        {
            "properties": {
                "autoScalerProfile": {"scan-interval": "10s"},
                "kubernetesVersion": "1.33",
            }
        },
    ),
    (
        "containerservice:AgentPool",
        {"type": "VirtualMachineScaleSets", "nodeTaints": ["sku=gpu:NoSchedule"]},
        {"properties": {"type": "VirtualMachineScaleSets", "nodeTaints": ["sku=gpu:NoSchedule"]}},
    ),
    (
        "machinelearningservices:OnlineEndpoint",
        {
            "location": "westeurope",
            "identity": {"type": "UserAssigned", "userAssignedIdentities": [IDENTITY]},
            "properties": {"authMode": "AADToken"},
        },
        {
            "location": "westeurope",
            "identity": {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}},
            "properties": {"authMode": "AADToken"},
        },
    ),
    (
        "machinelearningservices:WorkspaceConnection",
        {"properties": {"authType": "ApiKey", "credentials": {"key": "[secret]"}}},
        {"properties": {"authType": "ApiKey", "credentials": {"key": "[secret]"}}},
    ),
    (
        "monitor:MetricAlert",
        {
            "criteria": {
                "odataType": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                "allOf": [{"criterionType": "StaticThresholdCriterion", "name": "errors"}],
            }
        },
        {
            "properties": {
                "criteria": {
                    "odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                    "allOf": [{"criterionType": "StaticThresholdCriterion", "name": "errors"}],
                }
            }
        },
    ),
    (
        "network:PrivateEndpoint",
        {
            "subnet": {"id": f"{ID}/Microsoft.Network/virtualNetworks/vnet/subnets/endpoints"},
            "privateLinkServiceConnections": [{"name": "pep", "groupIds": ["vault"]}],
        },
        {
            "properties": {
                "subnet": {"id": f"{ID}/Microsoft.Network/virtualNetworks/vnet/subnets/endpoints"},
                "privateLinkServiceConnections": [
                    {"name": "pep", "properties": {"groupIds": ["vault"]}}
                ],
            }
        },
    ),
    (
        "network:VirtualNetwork",
        {
            "subnets": [
                {
                    "name": "aks",
                    "addressPrefix": "10.0.0.0/24",
                    "networkSecurityGroup": {
                        "securityRules": [{"name": "deny", "access": "Deny", "priority": 100}]
                    },
                    "ipamPoolPrefixAllocations": [{"id": "pool", "numberOfIpAddresses": "8"}],
                }
            ]
        },
        {
            "properties": {
                "subnets": [
                    {
                        "name": "aks",
                        "properties": {
                            "addressPrefix": "10.0.0.0/24",
                            "networkSecurityGroup": {
                                "properties": {
                                    "securityRules": [
                                        {
                                            "name": "deny",
                                            "properties": {"access": "Deny", "priority": 100},
                                        }
                                    ]
                                }
                            },
                            "ipamPoolPrefixAllocations": [
                                {"pool": {"id": "pool"}, "numberOfIpAddresses": "8"}
                            ],
                        },
                    }
                ]
            }
        },
    ),
    (
        "eventhub:EventHub",
        {"captureDescription": {"destination": {"name": "blob", "blobContainer": "events"}}},
        {
            "properties": {
                "captureDescription": {
                    "destination": {"name": "blob", "properties": {"blobContainer": "events"}}
                }
            }
        },
    ),
    (
        "dashboard:Grafana",
        {"sku": {"name": "Standard"}, "properties": {"grafanaPlugins": ["a", "b"]}},
        {"sku": {"name": "Standard"}, "properties": {"grafanaPlugins": {"a": {}, "b": {}}}},
    ),
]


@pytest.mark.parametrize(("token", "inputs", "body"), RENAMED, ids=[one[0] for one in RENAMED])
def test_an_input_ends_where_azure_has_it(
    token: str, inputs: dict[str, Any], body: dict[str, Any]
) -> None:
    """Flattened, renamed and keyed inputs come back in Azure's own shape, and nothing else does."""
    assert to_arm(f"azure-native:{token}", inputs).body == body


@pytest.mark.parametrize(
    ("token", "inputs", "name", "scope", "group"),
    [
        ("resources:ResourceGroup", {"resourceGroupName": "rg-a"}, "rg-a", "", ""),
        (
            "machinelearningservices:OnlineEndpoint",
            {"resourceGroupName": "rg-a", "workspaceName": "mlw-a", "endpointName": "chat"},
            "mlw-a/chat",
            "",
            "rg-a",
        ),
        (
            "storage:BlobServiceProperties",
            {"resourceGroupName": "rg-a", "accountName": "sta"},
            "sta/default",
            "",
            "rg-a",
        ),
        (
            "monitor:DiagnosticSetting",
            {"name": "logs", "resourceUri": f"{ID}/Microsoft.KeyVault/vaults/kv"},
            "logs",
            f"{ID}/Microsoft.KeyVault/vaults/kv",
            "",
        ),
        (
            "authorization:RoleAssignment",
            {"scope": "/subscriptions/s/resourceGroups/rg-a"},
            UNKNOWN,
            "/subscriptions/s/resourceGroups/rg-a",
            "",
        ),
        (
            "kubernetesconfiguration:FluxConfiguration",
            {
                "resourceGroupName": "rg-a",
                "clusterRp": "Microsoft.ContainerService",
                "clusterResourceName": "managedClusters",
                "clusterName": "aks-a",
                "fluxConfigurationName": "gitops",
            },
            "gitops",
            "Microsoft.ContainerService/managedClusters/aks-a",
            "rg-a",
        ),
        (
            "network:PrivateDnsZoneGroup",
            {"privateEndpointName": "pep", "privateDnsZoneGroupName": "dns", "name": "dns"},
            "pep/dns",
            "",
            "",
        ),
    ],
)
def test_an_address_becomes_name_scope_and_group_and_leaves_the_body(
    token: str, inputs: dict[str, Any], name: str, scope: str, group: str
) -> None:
    """Parents come first; what azure-native would make up is unknown."""
    resource = to_arm(f"azure-native:{token}", inputs)

    assert (resource.name, resource.scope, resource.group) == (name, scope, group)
    assert resource.body == {}


def test_what_is_known_of_the_program_comes_along() -> None:
    """Type, URN, line and dependencies are those that were given."""
    source = Source("infra/azure/vault.py", 12)
    resource = to_arm(
        "azure-native:keyvault:Vault", {}, urn="urn:a", source=source, depends_on=["urn:b"]
    )

    assert (resource.type, resource.api) == ("Microsoft.KeyVault/vaults", "2024-11-01")
    assert (resource.token, resource.urn) == ("azure-native:keyvault:Vault", "urn:a")
    assert (resource.source, resource.depends_on) == (source, ("urn:b",))


@pytest.mark.parametrize(
    "token",
    [
        "azure-native:redis:Redis",
        "azure-native:keyvault:vault",
        "azure-native:keyvault/v20230701:Vault",
        "azure:keyvault:Vault",
        "",
    ],
)
def test_a_type_without_a_row_is_refused_by_name(token: str) -> None:
    """The error names type, resource, file and line, and says what to add."""
    with pytest.raises(BadInput) as refusal:
        to_arm(token, {}, urn="urn:cache", source=Source("infra/azure/cache.py", 7))

    (problem,) = refusal.value.problems
    assert (problem.file, problem.line, problem.path) == ("infra/azure/cache.py", 7, "urn:cache")
    assert problem.found == f"'{token}'"
    assert "Add a row" in problem.remedy
    assert "types.yaml" in problem.expected


@pytest.mark.parametrize("value", ["[secret]", UNKNOWN])
@pytest.mark.parametrize("token", tokens())
def test_a_hidden_value_stays_hidden_wherever_it_stands(token: str, value: str) -> None:
    """Text in place of an object or list is neither opened nor taken for keys."""
    shape = row(token)
    known = {
        "key0",
        *(shape.top or ()),
        *shape.renamed,
        *shape.nested,
        *shape.keyed,
    } - shape.address
    body = to_arm(token, dict.fromkeys(known, value)).body

    assert list(leaves(body)) == [value] * len(known)


KEYS = st.sampled_from([f"key{i}" for i in range(5)])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=4,
)


def objects(shape: Shape, left_out: frozenset[str] = frozenset()) -> st.SearchStrategy[Any]:
    """Inputs for ``shape``: keys that it knows, and some that it does not."""
    known = {*(shape.top or ()), *shape.renamed} - set(shape.keyed)
    values: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(sorted(known), JSON)
    for key, below in shape.nested.items():
        one = st.deferred(lambda below=below: objects(below))  # type: ignore[misc]
        values[key] = one | st.lists(one, max_size=2)
    optional = {key: one for key, one in values.items() if key not in {*left_out, *shape.dropped}}
    inputs = st.fixed_dictionaries({}, optional=optional)
    return st.builds(lambda some, rest: {**rest, **some}, inputs, st.dictionaries(KEYS, JSON))


def leaves(value: Any) -> Iterator[str]:
    """The text of all that is in ``value`` and is no object or list with something in it."""
    if isinstance(value, dict | list) and value:
        for one in value.values() if isinstance(value, dict) else value:
            yield from leaves(one)
    else:
        yield str(value)


@untimed
@given(st.data())
def test_nothing_that_a_program_sets_is_lost_or_changed(data: st.DataObject) -> None:
    """Whatever the inputs, each of their values is in the body once, and they are untouched."""
    token = data.draw(st.sampled_from(tokens()))
    inputs = data.draw(objects(row(token), row(token).address))
    before = copy.deepcopy(inputs)

    body = to_arm(token, inputs).body

    assert sorted(leaves(body)) == sorted(leaves(inputs))
    assert inputs == before
