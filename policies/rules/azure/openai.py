"""Azure OpenAI: filtered, pinned, and made one deployment after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from policies.arm.resource import ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.links import Missing, Plan, depends, of_type
from policies.rules.azure.values import (
    all_of,
    differs,
    equals,
    is_unknown,
    items_at,
    present,
    value_at,
    value_in,
)
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

HARMS = ("hate", "sexual", "violence", "selfharm")
"""Categories of Azure's content filter that count in prompts and in completions."""

SEVERITIES = ("low", "medium")
"""Thresholds that keep medium severity out; High lets it pass."""

ATTACKS = ("jailbreak", "indirectattack")
"""Filters of prompts that turn a model against its instructions; Azure writes "Indirect Attack"."""

BUILT_IN = ("microsoft.default", "microsoft.defaultv2")


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_deployments(), *_account())


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan."""
    return (
        PlanRule(
            id="GL-AZ-OAI-005",
            title="Deployments of one account are made one after the other",
            expected="each deployment of an account to depend on the one before it",
            remedy="Chain them with depends_on: two at once fail with 409, on delete too.",
            source="https://github.com/hashicorp/terraform-provider-azurerm/issues/22607",
            check=_at_once,
        ),
        PlanRule(
            id="GL-AZ-OAI-006",
            title="A deployment's content filter exists",
            expected="a raiPolicyName that is in the plan, or Microsoft.DefaultV2",
            remedy="Make the policy in the same plan, and let the deployment depend on it.",
            source=f"{LEARN}/ai-foundry/openai/how-to/content-filters",
            check=_no_such_filter,
        ),
    )


def _deployments() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-OAI-001",
            title="A deployment names its content filter",
            types=(kinds.OPENAI_DEPLOYMENT,),
            expected="raiPolicyName",
            remedy="Name the stack's policy: what Azure takes when it is absent may change.",
            source=f"{LEARN}/ai-foundry/openai/concepts/content-filter",
            check=present("properties.raiPolicyName"),
        ),
        Rule(
            id="GL-AZ-OAI-002",
            title="A content filter filters",
            types=(kinds.FILTER,),
            expected=f"{', '.join(HARMS)} enabled and blocking, for Prompt and Completion, with "
            "severityThreshold Low or Medium",
            remedy="Add the filters that are missing, and lower a threshold of High.",
            source=f"{LEARN}/ai-foundry/openai/concepts/content-filter",
            check=all_of(_unfiltered, differs("properties.mode", "Asynchronous_filter")),
        ),
        Rule(
            id="GL-AZ-OAI-007",
            title="A content filter stops attacks",
            types=(kinds.FILTER,),
            expected="Jailbreak and Indirect Attack enabled and blocking, for Prompt",
            remedy="Add the filters that are missing.",
            source=f"{LEARN}/ai-foundry/openai/concepts/content-filter-prompt-shields",
            check=_unshielded,
        ),
        Rule(
            id="GL-AZ-OAI-003",
            title="A deployment serves one exact version",
            types=(kinds.OPENAI_DEPLOYMENT,),
            expected="model.version, and versionUpgradeOption: NoAutoUpgrade",
            remedy="Set both: a new version is a release, and is evaluated before it is live.",
            source=f"{LEARN}/ai-foundry/openai/concepts/model-versions",
            check=all_of(
                present("properties.model.version"),
                equals(
                    "properties.versionUpgradeOption",
                    "NoAutoUpgrade",
                    default="OnceCurrentVersionExpired",
                ),
            ),
        ),
    )


def _account() -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-OAI-004",
            title="The account has a name of its own",
            types=(kinds.ACCOUNT,),
            expected="customSubDomainName",
            remedy="Set it: Entra tokens and private endpoints need it, and it never changes.",
            source=f"{LEARN}/ai-services/cognitive-services-custom-subdomains",
            check=present("properties.customSubDomainName"),
        ),
    )


def _unfiltered(resource: ArmResource) -> str | None:
    blocking = {
        _what(one)
        for one in _blocking(resource)
        if str(value_in(one, "severityThreshold", "")).lower() in SEVERITIES
    }
    for harm in HARMS:
        for source in ("prompt", "completion"):
            if (harm, source) not in blocking:
                return f"no blocking filter of {harm} in the {source} from medium severity on"
    return None


def _unshielded(resource: ArmResource) -> str | None:
    blocking = {_what(one) for one in _blocking(resource)}
    missing = [attack for attack in ATTACKS if (attack, "prompt") not in blocking]
    return f"no blocking filter of {missing[0]} in the prompt" if missing else None


def _blocking(resource: ArmResource) -> Iterator[Any]:
    """The filters that are on, and stop what they find."""
    for one in items_at(resource, "properties.contentFilters"):
        if value_in(one, "enabled") is True and value_in(one, "blocking") is True:
            yield one


def _what(one: Any) -> tuple[str, str]:
    """What a filter looks for, and where."""
    name = str(value_in(one, "name", "")).replace(" ", "").lower()
    return name, str(value_in(one, "source", "")).lower()


def _at_once(plan: Plan) -> Missing:
    # By name: the engine shows the resources of a stack in another order than its plan has.
    named = sorted(of_type(plan, kinds.OPENAI_DEPLOYMENT), key=lambda one: one.name)
    deployments = [(one, depends(plan, one)) for one in named]
    for (one, ahead), (other, behind) in combinations(deployments, 2):
        same = one.name.partition("/")[0].lower() == other.name.partition("/")[0].lower()
        chained = bool(one.urn) and (one.urn in behind or other.urn in ahead)
        if same and not chained:
            yield other, f"no dependency between it and {one.name}"


def _no_such_filter(plan: Plan) -> Missing:
    made = {one.name.lower() for one in of_type(plan, kinds.FILTER)}
    for deployment in of_type(plan, kinds.OPENAI_DEPLOYMENT):
        name = value_at(deployment, "properties.raiPolicyName", "")
        account = deployment.name.partition("/")[0]
        known = str(name).lower() in BUILT_IN or f"{account}/{name}".lower() in made
        if name and not known and not (is_unknown(name) and _waits_for_filter(plan, deployment)):
            yield deployment, f"raiPolicyName {name}, which is not in the plan"


def _waits_for_filter(plan: Plan, deployment: ArmResource) -> bool:
    return any(one.urn in deployment.depends_on for one in of_type(plan, kinds.FILTER) if one.urn)
