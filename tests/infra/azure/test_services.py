"""The cluster and the services beside it, as production and generated settings declare them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.azure.alerts import deployment_thresholds
from infra.azure.cluster_settings import Cluster, GpuPool
from infra.azure.identity import ROLES
from infra.azure.settings import Alerts, Application, AzureSettings
from infra.settings import require_own_domain
from manifests.model import Rendering
from manifests.watcher import watcher_name
from release.errors import BadInput
from tests.infra.azure import options
from tests.infra.azure.invariants import broken
from tests.infra.azure.recorded import Declared, Recorded, record, settings_of
from tests.manifests.making import settings as in_cluster_settings

pytestmark = pytest.mark.slow  # each records a whole stack, two seconds of it

GPU = "sku=gpu:NoSchedule"
CLUSTER = "containerservice:ManagedCluster"


OPENAI = {
    "deployments": [
        {"name": "chat", "model": "gpt-4o", "version": "2024-11-20", "capacity": 10},
        {"name": "embed", "model": "text-embedding-3-large", "version": "1", "capacity": 5},
        {"name": "small", "model": "gpt-4o-mini", "version": "2024-07-18", "capacity": 5},
    ]
}
SERVICES: Mapping[str, Any] = {
    "cluster": options.CLUSTER,
    "openai": OPENAI,
    "events": {"hubs": ["requests"]},
}


@cache
def production() -> Recorded:
    """Production as the repository has it."""
    return record(settings_of("production"))


def small(**changes: Any) -> AzureSettings:
    """A stack of few resources, with ``changes`` to its top level."""
    return options.stack(**({"workspace": None, "applications": [{"name": "writer"}]} | changes))


def the(kind: str, name: str = "", found: Recorded | None = None) -> Declared:
    """The only one of a type, or the one of that name."""
    (one,) = [one for one in (found or production()).of(kind) if name in ("", one.name)]
    return one


def waits(one: Declared, *others: Declared) -> bool:
    """Whether ``one`` is made after all the others."""
    ends = tuple(f"{other.token}::{other.name}" for other in others)
    return all(any(urn.endswith(end) for urn in one.waits_for) for end in ends)


def cluster_of(found: Recorded) -> Mapping[str, Any]:
    return the("containerservice:ManagedCluster", found=found).inputs


@pytest.mark.slow
def test_nobody_signs_in_to_the_cluster_but_through_entra() -> None:
    cluster = cluster_of(production())

    assert cluster["disableLocalAccounts"] is True
    assert cluster["enableRBAC"] is True
    assert cluster["aadProfile"]["enableAzureRBAC"] is True
    assert cluster["identity"]["type"] == "UserAssigned"
    assert "kubeletidentity" in cluster["identityProfile"]
    assert cluster["oidcIssuerProfile"]["enabled"] is True
    assert cluster["securityProfile"]["workloadIdentity"]["enabled"] is True


@pytest.mark.slow
def test_a_private_cluster_has_no_public_address_and_no_way_around() -> None:
    access = cluster_of(production())["apiServerAccessProfile"]

    assert access["enablePrivateCluster"] is True
    assert access["enablePrivateClusterPublicFQDN"] is False
    assert access["disableRunCommand"] is True
    assert "authorizedIPRanges" not in access


@pytest.mark.slow
def test_the_clusters_own_services_have_a_pool_of_their_own() -> None:
    (system,) = cluster_of(production())["agentPoolProfiles"]

    assert system["mode"] == "System"
    assert system["nodeTaints"] == ["CriticalAddonsOnly=true:NoSchedule"]
    work = the("containerservice:AgentPool", "work")
    assert "nodeTaints" not in work.inputs


@pytest.mark.slow
def test_the_cluster_is_made_after_its_identities_may_act() -> None:
    cluster = the("containerservice:ManagedCluster")
    grants = [
        one
        for one in production().of("authorization:RoleAssignment")
        if one.name.startswith(("control-", "kubelet-"))
    ]

    assert len(grants) == 3
    assert waits(cluster, *grants)


@pytest.mark.slow
def test_counts_are_the_autoscalers() -> None:
    pools = production().of("containerservice:AgentPool")

    assert all("count" in pool.ignored for pool in pools)
    cluster = the("containerservice:ManagedCluster")
    assert "agentPoolProfiles[0].count" in cluster.ignored


@pytest.mark.slow
def test_s17_deployments_of_one_account_are_made_one_after_the_other() -> None:
    chat, embed = production().of("cognitiveservices:Deployment")
    policy = the("cognitiveservices:RaiPolicy")

    assert waits(chat, policy)
    assert waits(embed, chat)
    assert chat.inputs["properties"]["versionUpgradeOption"] == "NoAutoUpgrade"


@pytest.mark.slow
def test_s17_nothing_else_touches_the_account_before_the_last_deployment() -> None:
    last = production().of("cognitiveservices:Deployment")[-1]

    for kind in ("network:PrivateEndpoint", "monitor:DiagnosticSetting"):
        (one,) = [one for one in production().of(kind) if one.name.startswith("openai-")]
        assert waits(one, last)


@pytest.mark.slow
def test_s20_a_pool_says_what_offers_its_gpus_and_an_alert_finds_nodes_that_offer_none() -> None:
    pools = production().outputs["cluster"]["gpu_pools"]
    group = the("alertsmanagement:PrometheusRuleGroup", "rules-gpu")
    alerts = {rule.get("alert") for rule in group.inputs["rules"]}

    assert {one["device_plugin"] for one in pools.values()} == {"nvidia-device-plugin"}
    assert {f"GpuNotOffered-{name}" for name in pools} <= alerts


@pytest.mark.slow
def test_an_application_in_the_cluster_is_trusted_by_the_accounts_that_are_rendered() -> None:
    """Its pods' and its watcher's; one after the other, as Azure wants an identity's written."""
    rendered = Rendering("analyst", "production", in_cluster_settings(), ())
    own, watcher = production().of("managedidentity:FederatedIdentityCredential")
    space = f"system:serviceaccount:{rendered.namespace}"

    assert own.inputs["subject"] == f"{space}:{rendered.application}"
    assert watcher.inputs["subject"] == f"{space}:{watcher_name(rendered)}"
    assert waits(own, the(CLUSTER))
    assert waits(watcher, own)
    assert {*own.inputs["audiences"], *watcher.inputs["audiences"]} == {
        "api://AzureADTokenExchange"
    }


@pytest.mark.slow
def test_no_service_takes_keys() -> None:
    account = the("cognitiveservices:Account").inputs["properties"]

    assert account["disableLocalAuth"] is True
    assert the("eventhub:Namespace").inputs["disableLocalAuth"] is True
    assert the("dashboard:Grafana").inputs["properties"]["apiKey"] == "Disabled"


@pytest.mark.slow
def test_content_is_filtered_both_ways() -> None:
    filters = the("cognitiveservices:RaiPolicy").inputs["properties"]["contentFilters"]

    assert all(one["blocking"] and one["enabled"] for one in filters)
    harms = [(one["name"], one["source"]) for one in filters if "severityThreshold" in one]
    assert len(set(harms)) == 8


@pytest.mark.slow
def test_each_concern_of_an_application_has_one_alert() -> None:
    alerts = production().of("monitor:MetricAlert") + production().of("monitor:ScheduledQueryRule")
    of_bot = sorted(one.name for one in alerts if one.name.startswith("support-bot-"))

    assert of_bot == [
        "support-bot-capacity-blue",
        "support-bot-capacity-green",
        "support-bot-errors",
        "support-bot-gpu-blue",
        "support-bot-gpu-green",
        "support-bot-latency",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["staging", "production"])
def test_the_repositorys_stacks_watch_gpus_and_capacity_of_both_slots(stack: str) -> None:
    """Azure is asked not to look for metrics of a deployment that may not be there yet."""
    found = production() if stack == "production" else record(settings_of(stack))
    alerts = {one.name: one for one in found.of("monitor:MetricAlert")}

    for slot in ("blue", "green"):
        for concern in ("gpu", "capacity"):
            alert = alerts[f"support-bot-{concern}-{slot}"]
            assert alert.inputs["scopes"][0].endswith(f"/deployments/{slot}")
            assert alert.at("criteria")["allOf"][0]["skipMetricValidation"] is True
    assert "skipMetricValidation" not in alerts["support-bot-latency"].at("criteria")["allOf"][0]


@pytest.mark.parametrize(
    ("endpoint", "concerns"),
    [
        ({"kind": "managed", "instance_type": "Standard_NC4as_T4_v3"}, {"gpu", "capacity"}),
        ({"kind": "managed", "instance_type": "Standard_DS3_v2"}, {"capacity"}),
        ({"kind": "managed", "instance_type": "Standard_Unheard_v9"}, {"gpu", "capacity"}),
        ({"kind": "managed", "instance_type": "Standard_DS3_v2", "slots": ()}, set()),
        ({"kind": "kubernetes", "pool": "a100"}, set()),
        ({"kind": "batch"}, set()),
    ],
)
def test_gpus_are_watched_where_there_may_be_some(
    endpoint: dict[str, Any], concerns: set[str]
) -> None:
    """A metric that is never sent says nothing; a Kubernetes endpoint's GPUs are the cluster's."""
    application = Application.model_validate({"name": "bot", "endpoint": endpoint})
    limits = Alerts.model_validate({"emails": ("a@example.com",)})

    found = list(deployment_thresholds(application, limits))

    assert {threshold.concern.partition("-")[0] for _, threshold in found} == concerns


OTHERS = [f"00000000-0000-0000-0000-0000000000{one}" for one in ("b1", "b2")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "admins"),
    [({}, options.CLUSTER["adminGroups"]), ({"grafanaAdminGroups": OTHERS}, OTHERS)],
)
def test_groups_administer_the_dashboards(given: dict[str, Any], admins: list[str]) -> None:
    """The cluster's, or others: a Grafana that nobody administers lets nobody in."""
    found = record(small(cluster={**options.CLUSTER, **given}))
    grants = [
        one
        for one in found.of("authorization:RoleAssignment")
        if one.at("roleDefinitionId").endswith(ROLES["Grafana Admin"])
    ]

    assert [one.at("principalId") for one in grants] == list(admins)
    assert {one.at("principalType") for one in grants} == {"Group"}
    assert {one.at("scope") for one in grants} == {the("dashboard:Grafana", found=found).id}


def test_a_kubernetes_endpoint_needs_a_domain_of_the_platforms_own() -> None:
    cluster = {name: value for name, value in options.CLUSTER.items() if name != "mlDomain"}

    with pytest.raises(ValueError, match="a domain for the Kubernetes endpoint of support-bot"):
        small(
            cluster=cluster,
            workspace={},
            applications=[options.application("kubernetes")],
        )


@pytest.mark.parametrize(
    ("domain", "reserved"),
    [
        ("inference.example.com", True),
        ("example.org", True),
        ("ml.test", True),
        ("a.invalid", True),
        ("inference.my-example.com", False),
        ("inference.example.io", False),
        ("", False),
    ],
)
def test_an_update_takes_no_domain_that_nobody_can_have(
    tmp_path: Path, domain: str, reserved: bool
) -> None:
    """With file and line; a preview takes the repository's stacks as they are."""
    file = tmp_path / "Pulumi.production.yaml"
    file.write_text(f"config:\n  greenlight:azure:\n    cluster: {{mlDomain: {domain or '~'}}}\n")
    settings = small(cluster={**options.CLUSTER, "mlDomain": domain})

    said = pytest.raises(BadInput, match=rf"{file}:3.*mlDomain.*{domain}")
    with said if reserved else nullcontext():
        require_own_domain(settings, {"cluster": {"mlDomain": domain}}, file)


@pytest.mark.slow
def test_every_alert_and_the_budget_reach_somebody() -> None:
    told = the("monitor:ActionGroup")
    kinds = ("monitor:MetricAlert", "monitor:ScheduledQueryRule", "consumption:Budget")

    assert all(waits(one, told) for kind in kinds for one in production().of(kind))
    for group in production().of("alertsmanagement:PrometheusRuleGroup"):
        alerts = [rule for rule in group.inputs["rules"] if "alert" in rule]
        assert alerts
        assert all(rule["actions"] for rule in alerts)
        assert len(group.inputs["rules"]) <= 20  # Azure's limit of a group


@pytest.mark.slow
def test_a_budget_tells_five_times_at_most() -> None:
    told = the("consumption:Budget").inputs["notifications"]

    assert sorted(told) == ["forecast100", "spent100", "spent50", "spent90"]


@pytest.mark.slow
def test_what_holds_data_is_protected_in_production() -> None:
    kinds = (
        "containerservice:ManagedCluster", "eventhub:Namespace", "eventhub:EventHub",
        "monitor:AzureMonitorWorkspace",
    )  # fmt: skip

    assert all(one.protect for kind in kinds for one in production().of(kind))


POOLS = st.builds(
    lambda **values: {key: value for key, value in values.items() if value is not None},
    size=st.sampled_from(["Standard_NC24ads_A100_v4", "Standard_ND96isr_H100_v5"]),
    maxCount=st.integers(1, 9),
    spot=st.booleans(),
    zones=st.sampled_from([[], ["1"], ["1", "2", "3"]]),
    migProfile=st.sampled_from([None, "MIG1g", "MIG7g"]),
    driver=st.sampled_from(["install", "none"]),
    labels=st.sampled_from([{}, {"model": "dbrx", "greenlight.dev/gpu-driver": "hidden"}]),
    taints=st.sampled_from([[], ["team=a:NoExecute"], [GPU, "model=dbrx:NoSchedule"]]),
    osDiskGib=st.sampled_from([64, 2048]),
)

CLUSTERS = st.builds(
    lambda pools, **values: (
        values
        | {
            "adminGroups": ["00000000-0000-0000-0000-0000000000aa"],
            "gpuPools": [pool | {"name": f"gpu{at}"} for at, pool in enumerate(pools)],
        }
    ),
    pools=st.lists(POOLS, max_size=3),
    private=st.booleans(),
    tier=st.sampled_from(["Free", "Standard", "Premium"]),
    defender=st.booleans(),
    encryptionAtHost=st.booleans(),
    flux=st.sampled_from([None, {"url": "ssh://git@example.com/x"}]),
)


@pytest.mark.slow
@settings(max_examples=8)
@given(cluster=CLUSTERS, private=st.booleans())
def test_whatever_the_settings_gpu_nodes_are_kept_for_what_needs_them(
    cluster: dict[str, Any], private: bool
) -> None:
    wanted = small(cluster=cluster, network={"private": private})
    found = record(wanted)

    assert wanted.cluster is not None
    made = {one.name: one.inputs for one in found.of("containerservice:AgentPool")}
    for pool in wanted.cluster.gpu_pools:
        _check_pool(pool, made.pop(pool.name))
    assert list(made) == ["work"]
    assert broken(wanted, found) == []


def _check_pool(pool: GpuPool, made: Mapping[str, Any]) -> None:
    assert made["nodeTaints"][0] == GPU
    assert set(pool.taints) <= set(made["nodeTaints"])
    assert len(made["nodeTaints"]) == len(set(made["nodeTaints"]))
    assert made["nodeLabels"]["greenlight.dev/gpu-driver"] == pool.driver
    assert made["gpuProfile"]["driver"] == ("Install" if pool.driver == "install" else "None")
    assert ("scaleSetEvictionPolicy" in made) == pool.spot
    assert made["count"] == made["minCount"] == 0
    assert made["osSKU"] == "Ubuntu"


PAIRS = [
    {"cluster": None, "openai": None, "events": None, "private": False},
    {"cluster": None, "openai": 1, "events": 1, "private": True},
    {"cluster": 1, "openai": None, "events": 1, "private": False},
    {"cluster": 1, "openai": 1, "events": None, "private": True},
    {"cluster": 1, "openai": 1, "events": 1, "private": False},
    {"cluster": 1, "openai": None, "events": None, "private": True},
    {"cluster": None, "openai": 1, "events": None, "private": False},
]
"""Every pair of what a stack may have and how it is reached."""


@pytest.mark.slow
@pytest.mark.parametrize("has", PAIRS, ids=lambda has: "-".join(k for k, v in has.items() if v))
def test_any_services_go_together(has: dict[str, Any]) -> None:
    chosen = {name: value if has[name] else None for name, value in SERVICES.items()}
    wanted = small(**chosen, network={"private": has["private"]})
    found = record(wanted)

    assert broken(wanted, found) == []
    assert {name for name in chosen if name in found.outputs} == {
        name for name in chosen if has[name]
    }


@pytest.mark.parametrize(
    ("pool", "complaint"),
    [
        ({"size": "Standard_ND96isr_H100_v5", "os": "AzureLinux"}, "Ubuntu"),
        ({"size": "Standard_ND96isr_H200_v5", "os": "AzureLinux"}, "Ubuntu"),
        ({"size": "Standard_NC4as_T4_v3", "mig_profile": "MIG1g"}, "cannot be cut"),
        ({"size": "Standard_NC4as_T4_v3", "min_count": 3}, "at most maxCount, 2"),
        ({"size": "Standard_NC4as_T4_v3", "taints": ("gpu",)}, "taints"),
    ],
)
def test_a_pool_that_could_not_offer_its_gpus_is_refused(
    pool: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        GpuPool.model_validate({"name": "gpu", "max_count": 2} | pool)


@pytest.mark.parametrize(
    "pool",
    [
        {"size": "Standard_NC24ads_A100_v4", "os": "AzureLinux"},
        {"size": "Standard_ND96asr_v4", "mig_profile": "MIG1g"},
    ],
)
def test_a_pool_that_azures_pages_list_is_taken(pool: dict[str, Any]) -> None:
    """Its A100 need not be in a size's name, and Azure Linux 3 supports it."""
    assert GpuPool.model_validate({"name": "gpu", "max_count": 2} | pool)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"network": {"addressSpace": "10.240.0.0/12"}}, "leave 10.244.0.0/15"),
        ({"applications": [{"name": f"app-{at}"} for at in range(21)]}, "at most 20"),
        ({"events": {"hubs": [f"hub-{at}" for at in range(11)]}}, "hubs"),
        ({"budget": {"amount": 1, "start": "2026-12-01", "thresholds": [0]}}, "thresholds"),
    ],
)
def test_settings_that_azure_would_refuse_are_refused_first(
    change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        small(**({"cluster": options.CLUSTER, "events": SERVICES["events"]} | change))


def test_a_private_cluster_takes_no_authorized_ranges() -> None:
    with pytest.raises(ValueError, match="no authorizedRanges"):
        Cluster.model_validate({"admin_groups": (OTHERS[0],), "authorized_ranges": ("10.0.0.0/8",)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("cluster", {"containerservice"}),
        ("gpu_pools", {"containerservice"}),
        ("workload_identity", {"managedidentity"}),
        ("flux", {"kubernetesconfiguration"}),
        ("ml_extension", {"kubernetesconfiguration"}),
        ("prometheus", {"alertsmanagement", "monitor", "managedidentity"}),
        ("grafana", {"dashboard"}),
        ("openai", {"cognitiveservices"}),
        ("events", {"eventhub"}),
        ("alerts", {"monitor"}),
        ("budget", {"consumption"}),
    ],
)
def test_importing_a_component_loads_only_what_it_uses(module: str, loaded: set[str]) -> None:
    code = (
        f"import sys, infra.azure.{module}\n"
        "print(*{name.split('.')[1] for name, module in sys.modules.items()"
        " if name.startswith('pulumi_azure_native.')"
        " and type(module) is type(sys)})"  # what is not loaded yet is of a type of its own
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    found = {name for name in done.stdout.split() if not name.startswith("_")}

    # Identities and their grants are every component's.
    assert found - {"provider"} <= loaded | {"authorization", "managedidentity"}
