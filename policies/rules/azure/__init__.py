"""The rules for what the program makes in Azure, one module a concern.

Each is a value made for a stack's bounds; the doors in ``policies`` (gate, checkov, Pulumi's
policy pack) ask the same values.
"""

from __future__ import annotations

from policies.rules.azure import (
    alerts,
    cluster,
    cost,
    diagnostics,
    encryption,
    gpu,
    identity,
    images,
    machine_learning,
    network,
    openai,
    placement,
    private_links,
    secrets,
    spelling,
)
from policies.rules.azure.bounds import Bounds
from policies.rules.rule import PlanRule, Rule

CONCERNS = (
    network, private_links, identity, secrets, encryption, diagnostics, images, cluster, gpu,
    machine_learning, openai, alerts, cost, placement, spelling,
)  # fmt: skip


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """Every rule over one resource."""
    return tuple(rule for concern in CONCERNS for rule in concern.rules(bounds))


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """Every rule over a whole plan."""
    return tuple(rule for concern in CONCERNS for rule in concern.plan_rules(bounds))
