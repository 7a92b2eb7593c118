"""The arithmetic of limits, for all numbers, and what a plan in a file cannot say."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policies.arm.resource import ArmResource, Source
from policies.limits.asks import DEPLOYED, POOLED, Ask, cores, instances
from policies.limits.capacity import capacity
from policies.limits.check import check_limits
from policies.limits.facts import GIB, AzureFacts, Quota, Size, family_key
from policies.limits.fixed import immutable_changes
from policies.limits.model import MIG_MEMORY, disk_fit, memory_fit
from policies.limits.names import names_to_ask
from policies.limits.request import Deployment, Model, Request
from policies.limits.tables import document, endpoint_limits, name_rules, table
from policies.limits.traffic import removal_complaints, traffic_complaints
from tests.policies.limits.cases import TYPES, resources
from tests.policies.making import untimed

LIMITS = endpoint_limits()
SIZES = sorted(table().sizes.values(), key=lambda size: size.name)
GPUS = [size for size in SIZES if size.gpus]
counts = st.integers(0, 200)
slots = st.integers(1, 4)


def ask(size: Size, count: int, at_once: int = 1, what: str = DEPLOYED) -> Ask:
    return Ask(what, "mlw-a/bot", "bot", "ml", "swedencentral", size.name, count, slots=at_once)


def live(quota: int, total: int, family: str) -> AzureFacts:
    quotas = {
        ("swedencentral", "ml", family_key(family)): Quota(quota, 0),
        ("swedencentral", "ml", "total"): Quota(total, 0),
    }
    return replace(table(), live=True, whole=frozenset({"swedencentral"}), quotas=quotas)  # type: ignore[arg-type]


@untimed
@given(st.sampled_from(SIZES), counts, slots)
def test_S04_quota_is_never_counted_below_what_runs(size: Size, count: int, at_once: int) -> None:
    """Every instance of every slot has its cores, whatever the reserve."""
    found = cores(ask(size, count, at_once), size, LIMITS)
    assert found is not None
    assert found >= count * size.vcpus * at_once


@untimed
@given(st.sampled_from(SIZES), counts, counts, slots, slots)
def test_S04_asking_for_more_never_counts_as_less(
    size: Size, few: int, more: int, here: int, there: int
) -> None:
    """Cores grow with instances and with slots."""
    low = cores(ask(size, min(few, more), min(here, there)), size, LIMITS)
    high = cores(ask(size, max(few, more), max(here, there)), size, LIMITS)
    assert low is not None
    assert high is not None
    assert low <= high


@given(counts)
def test_S04_the_reserve_is_a_fifth_rounded_up_without_a_slip_of_floating_point(count: int) -> None:
    """5 instances need 6, not 7: 1.2 is not a binary fraction."""
    assert instances(count, LIMITS.reserve) == count + ceil(Fraction(count, 5))
    assert instances(count, Fraction(1)) == count


def test_S04_the_example_of_azures_own_page() -> None:
    """10 instances of Standard_DS3_v2 need 48 cores."""
    size = table().sizes["standard_ds3_v2"]
    assert cores(ask(size, 10), size, LIMITS) == 48
    assert cores(ask(size, 10, what=POOLED), size, LIMITS) == 40


@untimed
@given(st.sampled_from(SIZES), st.integers(1, 50), st.integers(0, 20_000), st.integers(0, 20_000))
def test_S04_a_row_passes_only_if_both_quotas_hold_all_of_it(
    size: Size, count: int, quota: int, total: int
) -> None:
    """The verdict is the comparison, and more quota never turns a pass into a failure."""
    request = Request("swedencentral", deployments=(Deployment("bot", size.name, count),))
    row = capacity((), live(quota, total, size.family), request)[0]
    assert row.cores is not None
    assert row.verdict == ("pass" if row.cores <= min(quota, total) else "fail")
    richer = capacity((), live(quota + 1, total + 1, size.family), request)[0]
    assert not (row.verdict == "pass" and richer.verdict != "pass")


@untimed
@given(st.sampled_from(SIZES), st.integers(1, 50))
def test_S04_without_quota_nothing_passes(size: Size, count: int) -> None:
    """The table knows no quota, so every row is unknown and every one is said."""
    request = Request("swedencentral", deployments=(Deployment("bot", size.name, count),))
    row = capacity((), table(), request)[0]
    assert row.verdict == "unknown"
    limits = check_limits((), table(), request)
    assert limits.capacity == (row,)
    assert "GL-QUOTA-002" in {finding.rule for finding in limits.findings}


gib = st.floats(0.1, 2000)


@untimed
@given(st.sampled_from(GPUS), gib, gib)
def test_S04_a_smaller_model_fits_wherever_a_larger_one_does(
    size: Size, one: float, other: float
) -> None:
    """And none fits that is larger than the memory itself."""
    small, large = sorted((one, other))
    if memory_fit(Model(large), size).verdict == "pass":
        assert memory_fit(Model(small), size).verdict == "pass"
        assert size.gpu_memory_gib is not None
        assert large <= size.gpu_memory_gib


@untimed
@given(st.sampled_from(GPUS), gib, st.sampled_from(sorted(MIG_MEMORY)))
def test_S04_an_instance_of_a_divided_gpu_has_no_more_than_the_gpu(
    size: Size, model: float, profile: str
) -> None:
    """A copy of the model does not spread over several instances."""
    assume(size.gpu is not None and size.gpu.mig)
    divided = memory_fit(Model(model), size, profile).there
    whole = memory_fit(Model(model), size).there
    assert divided is not None
    assert whole is not None
    assert divided <= whole


def test_S04_dbrx_needs_four_gpus_of_80_gb_or_eight_of_40() -> None:
    """132 billion weights of 2 bytes are 264 GB."""
    dbrx = Model(264e9 / GIB)
    fitting = {size.name for size in GPUS if memory_fit(dbrx, size).verdict == "pass"}
    assert fitting == {
        "Standard_NC96ads_A100_v4",
        "Standard_ND96asr_v4",
        "Standard_ND96amsr_A100_v4",
        "Standard_ND96isr_H100_v5",
        "Standard_ND96isr_H200_v5",
    }


@given(gib, st.floats(0, 4000), st.floats(0, 100))
def test_S04_weights_and_images_share_what_is_usable_of_a_disk(
    model: float, disk: float, image: float
) -> None:
    """A disk that is not known is never large enough."""
    assert disk_fit(Model(model), None, image).verdict == "unknown"
    if disk_fit(Model(model), disk, image).verdict == "pass":
        assert model + image < disk or disk == 0


shares = st.dictionaries(st.sampled_from(["blue", "green", "red"]), st.integers(-20, 130))


@untimed
@given(shares, shares, st.booleans())
def test_traffic_without_complaint_is_what_azure_takes(
    traffic: dict[str, int], mirror: dict[str, int], managed: bool
) -> None:
    """The rules, said the other way round."""
    if not traffic_complaints(traffic, mirror, {"blue", "green"}, managed=managed):
        assert sum(traffic.values()) in (0, 100)
        assert all(share >= 0 for share in traffic.values())
        assert len(mirror) <= 1
        assert managed or not mirror
        assert all(
            0 <= share <= 50 and not (share and traffic.get(n)) for n, share in mirror.items()
        )
        assert {*traffic, *mirror} <= {"blue", "green"}


def test_traffic_to_a_deployment_that_does_not_exist_is_refused() -> None:
    """Where it is known which exist."""
    found = traffic_complaints({"blue": 100}, {"grene": 10}, {"blue", "green"})
    assert [complaint.rule for complaint in found] == ["GL-TRAFFIC-010"]
    assert not traffic_complaints({"blue": 100}, {"grene": 10})


def test_a_deployment_with_traffic_cannot_be_deleted() -> None:
    """Neither while it is live nor while it is mirrored to."""
    assert removal_complaints("blue", {"blue": 1}, {})[0].rule == "GL-TRAFFIC-008"
    assert removal_complaints("blue", {}, {"blue": 1})
    assert not removal_complaints("blue", {"blue": 0, "green": 100}, {})


def test_S18_a_resource_that_gets_another_name_is_replaced() -> None:
    """Pulumi keeps its URN, Azure renames nothing."""
    before = ArmResource(TYPES["storage"], "x", "sta", urn="urn:a")
    after = replace(before, name="stb", source=Source("infra/azure/ml.py", 7))
    (found,) = immutable_changes([before], [after])
    assert (found.rule, found.severity) == ("GL-FIXED-002", "refuse")
    assert (found.file, found.line) == ("infra/azure/ml.py", 7)


def test_S16_more_endpoints_and_deployments_than_azure_has_are_refused() -> None:
    """100 endpoints a region, 20 deployments an endpoint."""
    many = resources([["endpoint", f"mlw-a/bot-{number}"] for number in range(101)])
    deployments = [["deployment", f"mlw-a/bot-1/d{number:03}"] for number in range(21)]
    limits = check_limits((*many, *resources(deployments)), table(), Request("swedencentral"))
    rules = {finding.rule for finding in limits.findings}
    assert {"GL-ENDPOINT-003", "GL-ENDPOINT-004"} <= rules
    fewer = check_limits(
        (*many[1:], *resources(deployments[1:])), table(), Request("swedencentral")
    )
    assert not {"GL-ENDPOINT-003", "GL-ENDPOINT-004"} & {finding.rule for finding in fewer.findings}


def test_S16_names_are_asked_for_only_if_new_good_and_shared_with_strangers() -> None:
    """Others would be a call for nothing."""
    plan = resources(
        [
            ["endpoint", "mlw-a/bot"],
            ["storage", "sta1"],
            ["storage", "st-bad"],
            ["storage", "stold"],
            ["workspace", "mlw-a"],
        ]
    )
    asked = names_to_ask(plan, resources([["storage", "stold"]]))
    assert asked == ((TYPES["endpoint"], "bot"), (TYPES["storage"], "sta1"))


@pytest.mark.parametrize("name", ["sizes", "regions", "endpoints", "names", "fixed", "facts"])
def test_every_table_is_dated_and_every_row_has_a_page(name: str) -> None:
    """A figure without a source is a guess."""
    data = document(name)
    assert str(data["read"]) >= "2026-11-22"
    named = data.get("sources", {})
    pages = [*named.values(), *([data["source"]] if "source" in data else [])]
    for row in data.get("families", []) + data.get("rules", []):
        pages.append(row["source"] if isinstance(row["source"], dict) else named[row["source"]])
    assert pages
    assert all(page["url"].startswith("https://") for page in pages)


def test_regions_without_zones_are_among_the_known_ones() -> None:
    """The pages' order is kept, so a slip of spelling would go unseen."""
    assert set(document("regions")["without_zones"]) < set(document("regions")["regions"])


def test_sizes_are_told_whatever_letters_they_are_in() -> None:
    """Azure ML writes them in capitals, AKS does not."""
    assert table().size("STANDARD_NC24ADS_A100_V4") == table().size("standard_nc24ads_a100_v4")


@pytest.mark.parametrize("rule", sorted({rule.words for rule in name_rules().values()}))
def test_patterns_of_names_hold_for_names_as_long_as_allowed(rule: str) -> None:
    """No pattern takes long to say no: names come from settings."""
    for one in (r for r in name_rules().values() if r.words == rule):
        assert one.pattern.fullmatch("a" * one.longest)
        assert not one.pattern.fullmatch("a" * one.longest + "!")
