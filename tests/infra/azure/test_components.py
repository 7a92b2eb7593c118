"""What single settings do to single components."""

from __future__ import annotations

import functools
import ipaddress
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.azure.identity import ROLES
from infra.azure.names import Names
from infra.azure.network import subnets
from tests.infra.azure import options
from tests.infra.azure.recorded import HIDDEN, Recorded, record, settings_of

pytestmark = pytest.mark.slow  # each records a whole stack, two seconds of it

ROOT = Path(__file__).resolve().parents[3]


@functools.cache
def production() -> Recorded:
    """What the repository's production stack declares."""
    return record(settings_of("production"))


@functools.cache
def varied() -> Recorded:
    """A stack that differs from production in all that production does not show."""
    return record(
        options.stack(
            location="westus",
            allowedLocations=["westus"],
            network={"private": False},
            workspace={"kind": "project", "hub": options.HUB},
            applications=[options.application("bought")],
        )
    )


def test_nothing_takes_a_key() -> None:
    """Storage, registry, logs and endpoints know Entra identities alone."""
    found = production()

    assert found.one("storage:StorageAccount").at("allowSharedKeyAccess") is False
    assert found.one("containerregistry:Registry").at("adminUserEnabled") is False
    assert found.one("containerregistry:Registry").at("anonymousPullEnabled") is False
    assert found.one("operationalinsights:Workspace").at("features.disableLocalAuth") is True
    assert found.one("applicationinsights:Component").at("disableLocalAuth") is True
    workspace = found.one("machinelearningservices:Workspace")
    assert workspace.at("systemDatastoresAuthMode") == "Identity"
    modes = [one.at("properties.authMode") for one in _endpoints(found)]
    assert sorted(modes) == ["AAD", "AADToken", "AADToken", "AADToken"]


def test_the_vault_keeps_what_is_deleted_and_roles_decide_who_reads_it() -> None:
    """Purge protection, 90 days, Azure RBAC; a secret has a type and a day to be renewed by."""
    vault = production().one("keyvault:Vault").inputs["properties"]
    secret = production().one("keyvault:Secret").inputs["properties"]

    assert vault["enablePurgeProtection"]
    assert vault["enableRbacAuthorization"]
    assert vault["softDeleteRetentionInDays"] == 90
    assert secret["value"] == HIDDEN
    assert secret["contentType"] == "API key of anthropic"
    assert secret["attributes"]["expires"] == 1814313600  # 2027-06-30T00:00Z


def test_no_identity_has_a_broad_role_or_two_times_the_same() -> None:
    """Every role is one of the table's, none of them Owner or Contributor; Azure refuses a grant
    that is there already."""
    grants = [one.inputs for one in production().of("authorization:RoleAssignment")]
    roles = {one["roleDefinitionId"].rpartition("/")[2] for one in grants}

    assert roles <= set(ROLES.values())
    assert not any(name in ("Owner", "Contributor") for name in ROLES)
    keys = [(one["principalId"], one["roleDefinitionId"], one["scope"]) for one in grants]
    assert len(set(keys)) == len(keys)


def test_an_application_reads_the_keys_of_providers_and_no_other_secret() -> None:
    """Its role is on each secret, not on the vault, which holds the workspace's as well."""
    found = production()
    reader = ROLES["Key Vault Secrets User"]
    scopes = {
        one.at("scope")
        for one in found.of("authorization:RoleAssignment")
        if one.at("roleDefinitionId").endswith(reader)
    }

    assert scopes == {found.one("keyvault:Secret").id}


def test_the_managed_network_lets_out_to_what_is_named_and_to_providers() -> None:
    """Hosts of settings and connections; private endpoints to registry, storage and models."""
    rules = production().one("machinelearningservices:Workspace").at("managedNetwork.outboundRules")
    hosts = {one["destination"] for one in rules.values() if one["type"] == "FQDN"}
    private = {
        one["destination"]["subresourceTarget"]
        for one in rules.values()
        if one["type"] == "PrivateEndpoint"
    }

    assert hosts == {"pypi.org", "files.pythonhosted.org", "api.anthropic.com"}
    assert private == {"account", "amlregistry", "queue", "table"}


def test_a_project_has_its_hubs_network_storage_and_keys() -> None:
    """None of its own is in its declaration."""
    workspace = varied().one("machinelearningservices:Workspace")

    assert workspace.at("hubResourceId") == options.HUB
    own = {"storageAccount", "keyVault", "managedNetwork", "publicNetworkAccess"}
    assert not own & set(workspace.inputs)


def test_a_model_of_another_company_is_bought_before_its_endpoint() -> None:
    """The endpoint waits for the subscription; Microsoft's own models need none."""
    (subscription,) = varied().of("machinelearningservices:MarketplaceSubscription")
    endpoint = varied().one("machinelearningservices:ServerlessEndpoint")

    assert subscription.at("properties.modelId") == options.BOUGHT
    assert any(urn.endswith(f"::{subscription.name}") for urn in endpoint.waits_for)
    assert not production().of("machinelearningservices:MarketplaceSubscription")


def test_a_region_without_zones_keeps_data_in_one_place() -> None:
    """Where there are zones, data is in three of them; never in another region."""
    sku = "sku.name"

    assert production().one("storage:StorageAccount").at(sku) == "Standard_ZRS"
    assert varied().one("storage:StorageAccount").at(sku) == "Standard_LRS"
    assert varied().one("containerregistry:Registry").at("zoneRedundancy") == "Disabled"


def test_in_production_what_holds_data_or_answers_cannot_be_deleted() -> None:
    """The engine refuses to delete it; elsewhere a stack can be destroyed."""
    kinds = (
        "storage:StorageAccount", "keyvault:Vault", "containerregistry:Registry",
        "operationalinsights:Workspace", "machinelearningservices:Workspace",
        "machinelearningservices:Registry", "machinelearningservices:OnlineEndpoint",
    )  # fmt: skip

    assert all(one.protect for one in production().of(*kinds))
    assert not any(one.protect for one in varied().resources)


def test_an_endpoint_in_the_cluster_is_attached_to_one_namespace_alone() -> None:
    """One compute an application, which acts as that application. Not where ``ship`` runs it, who
    enters no namespace that somebody else has made, and closes its own.
    """
    compute = production().one("machinelearningservices:Compute")

    assert compute.at("properties.properties.namespace") == "analyst"
    assert compute.at("properties.disableLocalAuth") is True
    assert compute.at("tags.owner") == "analytics"


def test_outputs_name_each_applications_endpoint() -> None:
    """Kind, name, id and where it answers, for the pipelines."""
    endpoints = production().outputs["endpoints"]

    assert set(endpoints) == {"support-bot", "analyst", "nightly-tagger", "drafts"}
    assert endpoints["support-bot"]["kind"] == "managed"
    assert endpoints["support-bot"]["scoring_uri"] == "https://endpoint-support-bot/score"
    assert endpoints["support-bot"]["name"].startswith("support-bot-prod-")


@given(st.integers(12, 22), st.integers(0, 2**20))
def test_subnets_share_the_address_space_without_overlap(prefix: int, number: int) -> None:
    """Each is within it, none within another, whatever private space is given."""
    first = int(ipaddress.IPv4Address("10.0.0.0"))
    start = first + (number << (32 - prefix)) % 2**24
    space = ipaddress.IPv4Network((start, prefix))
    nets = [ipaddress.IPv4Network(one) for one in subnets(str(space)).values()]

    assert all(one.subnet_of(space) for one in nets)
    assert not any(a.overlaps(b) for a in nets for b in nets if a is not b)


def test_applications_that_begin_alike_have_endpoints_of_their_own() -> None:
    """A name that is cut keeps its application in the hash (S16)."""
    names = Names("assist", "production", "swedencentral", "001", "subscription")
    long = ["customer-support-bot-one", "customer-support-bot-two"]

    assert len({names.endpoint(one) for one in long}) == 2
    assert len({names.compute(one) for one in long}) == 2
    assert all(len(names.endpoint(one)) <= 32 for one in long)


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": {"addressSpace": "10.0.0.1/16"}},
        {"network": {"addressSpace": "8.0.0.0/16"}},
        {"network": {"addressSpace": "10.0.0.0/26"}},
        {"workspace": {"kind": "project"}},
        {"workspace": {"hub": options.HUB}},
        {"workspace": {"registry": "models", "registryId": options.SHELF}},
        {"workspace": {"kind": "hub"}, "applications": [options.application("batch")]},
        {"workspace": None, "applications": [options.application("batch")]},
        {"connections": [options.CONNECTION, options.CONNECTION | {"name": "other"}]},
        {"logRetentionDays": 7},
    ],
    ids=str,
)
def test_settings_that_azure_would_refuse_are_refused_first(wrong: dict[str, Any]) -> None:
    """Before anything is declared."""
    with pytest.raises(ValidationError):
        options.stack(**wrong)


USED = {
    "applicationinsights", "authorization", "consumption", "containerregistry", "keyvault",
    "managedidentity", "monitor", "network", "operationalinsights", "privatedns", "resources",
    "storage",
}  # fmt: skip
"""azure-native's modules that the foundation, alerts and the budget are made from."""

BUILD = """
from tests.infra.azure import options
from tests.infra.azure.recorded import record
record(options.stack(workspace=None, applications=[options.application("none")]))
"""


@pytest.mark.parametrize(
    ("script", "expected"), [("import infra.azure.stack", set()), (BUILD, USED)]
)
def test_only_those_modules_are_loaded_that_something_is_made_from(
    script: str, expected: set[str]
) -> None:
    """azure-native has hundreds; without a workspace nobody waits for Azure ML's classes."""
    assert _loaded(script) == expected


def _loaded(script: str) -> set[str]:
    # A module that was not used is in sys.modules as well, as a promise: without its submodules.
    script = f"{script}\nimport json, sys; print(json.dumps(list(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names = [name.split(".") for name in json.loads(ran.stdout)]
    return {name[1] for name in names if name[0] == "pulumi_azure_native" and len(name) > 2}


def _endpoints(found: Recorded) -> list[Any]:
    kinds = ("OnlineEndpoint", "BatchEndpoint", "ServerlessEndpoint")
    return found.of(*(f"machinelearningservices:{kind}" for kind in kinds))
