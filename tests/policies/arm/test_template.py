"""A plan as one ARM template: its level, what is nested, who waits for whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policies.arm.convert import template, to_arm
from policies.arm.resource import ArmResource
from tests.policies.making import untimed

GROUP_ID = "/subscriptions/s/resourceGroups/rg-a"
GROUP = to_arm("azure-native:resources:ResourceGroup", {"resourceGroupName": "rg-a"}, urn="rg")
VAULT = to_arm(
    "azure-native:keyvault:Vault",
    {"resourceGroupName": "rg-a", "vaultName": "kv-a", "location": "westeurope"},
    urn="vault",
    depends_on=["rg"],
)
SECRET = to_arm(
    "azure-native:keyvault:Secret",
    {
        "resourceGroupName": "rg-a",
        "vaultName": "kv-a",
        "secretName": "key",
        "properties": {"value": "[secret]"},
    },
    urn="secret",
    depends_on=["rg", "vault", "urn:pulumi:a-component", "vault"],
)
LOGS = to_arm(
    "azure-native:monitor:DiagnosticSetting",
    {"name": "logs", "resourceUri": f"{GROUP_ID}/providers/Microsoft.KeyVault/vaults/kv-a"},
    urn="logs",
    depends_on=["vault"],
)
BUDGET = to_arm(
    "azure-native:consumption:Budget",
    {"budgetName": "month", "scope": "/subscriptions/s", "amount": 100},
    urn="budget",
    depends_on=["vault"],
)
VAULT_ID = "[resourceId('Microsoft.KeyVault/vaults', 'kv-a')]"
RG_ID = "[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'rg-a')]"
NESTED_ID = "[resourceId('rg-a', 'Microsoft.Resources/deployments', 'rg-a')]"


def test_what_lies_in_one_group_is_a_group_level_template() -> None:
    """Each resource stands at the top, with its body, and waits for those of the plan by id."""
    document = template([VAULT, SECRET])

    assert document["$schema"].endswith("/2019-04-01/deploymentTemplate.json#")
    assert document["contentVersion"] == "1.0.0.0"
    assert document["resources"] == [
        {
            "type": "Microsoft.KeyVault/vaults",
            "apiVersion": "2024-11-01",
            "name": "kv-a",
            "location": "westeurope",
        },
        {
            "type": "Microsoft.KeyVault/vaults/secrets",
            "apiVersion": "2024-11-01",
            "name": "kv-a/key",
            "properties": {"value": "[[secret]"},
            "dependsOn": [VAULT_ID],
        },
    ]


def test_what_hangs_on_a_resource_lies_in_its_group_and_names_its_scope() -> None:
    """A diagnostic setting needs no group of its own."""
    _, logs = template([VAULT, LOGS])["resources"]

    assert logs["scope"] == LOGS.scope
    assert logs["dependsOn"] == [VAULT_ID]


def test_a_role_on_the_group_itself_has_no_scope() -> None:
    """The deployment is at that level already."""
    role = to_arm("azure-native:authorization:RoleAssignment", {"scope": GROUP_ID})
    document = template([VAULT, role])

    assert document["$schema"].endswith("/deploymentTemplate.json#")
    assert "scope" not in document["resources"][1]


def test_a_group_and_what_hangs_on_the_subscription_need_a_template_of_that_level() -> None:
    """The group's resources are in a nested deployment, which waits for the group."""
    document = template([GROUP, VAULT, SECRET, BUDGET])
    group, budget, nested = document["resources"]

    assert document["$schema"].endswith("/2018-05-01/subscriptionDeploymentTemplate.json#")
    assert (group["type"], group["name"]) == ("Microsoft.Resources/resourceGroups", "rg-a")
    assert (nested["type"], nested["resourceGroup"]) == ("Microsoft.Resources/deployments", "rg-a")
    assert nested["dependsOn"] == [RG_ID]
    assert nested["properties"]["template"] == template([VAULT, SECRET])
    assert (budget["dependsOn"], "scope" in budget) == ([NESTED_ID], False)


def test_an_id_says_what_an_extension_hangs_on() -> None:
    """A cluster's extension is named below the cluster, one of a resource below its id."""
    cluster = {
        "resourceGroupName": "rg-a",
        "clusterRp": "Microsoft.ContainerService",
        "clusterResourceName": "managedClusters",
        "clusterName": "aks-a",
    }
    flux = to_arm(
        "azure-native:kubernetesconfiguration:Extension",
        {**cluster, "extensionName": "flux"},
        urn="flux",
        depends_on=["logs"],
    )
    gitops = to_arm(
        "azure-native:kubernetesconfiguration:FluxConfiguration",
        {**cluster, "fluxConfigurationName": "gitops"},
        depends_on=["flux"],
    )
    _, second, third = template([LOGS, flux, gitops])["resources"]

    assert third["scope"] == "Microsoft.ContainerService/managedClusters/aks-a"
    assert third["dependsOn"] == [
        "[extensionResourceId(resourceId('Microsoft.ContainerService/managedClusters', 'aks-a'), "
        "'Microsoft.KubernetesConfiguration/extensions', 'flux')]"
    ]
    assert second["dependsOn"] == [
        f"[extensionResourceId('{LOGS.scope}', 'Microsoft.Insights/diagnosticSettings', 'logs')]"
    ]


def test_a_quote_in_a_name_cannot_end_an_expression() -> None:
    """ARM's escape is a second quote; text in brackets is no expression either."""
    odd = ArmResource("A/b", "1", "x'y", {"tags": {"a": ["[b]", "[c", "[[d]"]}}, urn="u", group="g")
    first, second = template([odd, ArmResource("A/b", "1", "z", depends_on=("u",), group="g")])[
        "resources"
    ]

    assert second["dependsOn"] == ["[resourceId('A/b', 'x''y')]"]
    assert first["tags"] == {"a": ["[[b]", "[c", "[[[d]"]}


def test_an_empty_plan_is_an_empty_template() -> None:
    """There is nothing that would need a level of its own."""
    assert template([])["resources"] == []


@st.composite
def plans(draw: st.DrawFn) -> list[ArmResource]:
    """Resources in several groups and above them, each waiting for some of those before it."""
    plan: list[ArmResource] = []
    for number in range(draw(st.integers(0, 6))):
        before = [one.urn for one in plan]
        waits = draw(st.lists(st.sampled_from(before), unique=True)) if before else []
        group = draw(st.sampled_from(["", "a", "b"]))
        name = f"n{number}"
        plan.append(ArmResource("T/t", "1", name, urn=name, depends_on=tuple(waits), group=group))
    return plan


def deployments(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A template and those nested in it."""
    yield document
    for entry in document["resources"]:
        if "template" in entry.get("properties", {}):
            yield from deployments(entry["properties"]["template"])


@untimed
@given(plans())
def test_every_resource_is_deployed_once_and_waits_for_what_it_can_see(
    plan: list[ArmResource],
) -> None:
    """No resource is lost between the levels; an id in dependsOn is one of the same template."""
    names: list[str] = []
    for document in deployments(template(plan)):
        entries = document["resources"]
        names += [entry["name"] for entry in entries if entry["type"] == "T/t"]
        waits = [wait for entry in entries for wait in entry.get("dependsOn", [])]
        assert all(any(f"'{entry['name']}')]" in wait for entry in entries) for wait in waits)

    assert sorted(names) == sorted(one.name for one in plan)
