"""All limits over one plan, in one call: what ``preview`` asks for.

The capacity table is counted once, and given back: the findings are read from its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from policies.arm.resource import ArmResource
from policies.limits.asks import Ask
from policies.limits.capacity import CapacityRow, capacity
from policies.limits.endpoints import deployment_findings, endpoint_findings
from policies.limits.facts import AzureFacts
from policies.limits.fixed import immutable_changes
from policies.limits.found import about
from policies.limits.gpu import pool_findings
from policies.limits.model import Fit
from policies.limits.names import name_findings
from policies.limits.request import Request
from policies.limits.sizes import region_findings, size_finding, zone_findings
from policies.limits.tables import document
from policies.limits.traffic import traffic_findings
from policies.rules.findings import Finding


@dataclass(frozen=True)
class Limits:
    """What limits have against a plan, and the table that those of capacity rest on."""

    findings: tuple[Finding, ...]
    capacity: tuple[CapacityRow, ...]


def check_limits(plan: Sequence[ArmResource], facts: AzureFacts, request: Request) -> Limits:
    """What Azure would refuse of ``plan``, and what nobody can tell before it does.

    Refusals have severity ``refuse``. What is not known has an id of found.UNKNOWN_RULES and is
    inconclusive, never a pass.
    """
    rows = capacity(plan, facts, request)
    findings = (
        *name_findings(plan, facts, request.state),
        *region_findings(plan, facts),
        *traffic_findings(plan, request.state),
        *endpoint_findings(plan, request, facts),
        *(_named(finding, row.ask) for row in rows for finding in _of_row(row, facts, request)),
        *immutable_changes(request.state, plan),
    )
    return Limits(findings, rows)


def _named(finding: Finding, ask: Ask) -> Finding:
    """``finding`` about an application that the plan has no resource of: by the name it has."""
    return finding if finding.resource or ask.resource else replace(finding, resource=ask.app)


def _of_row(row: CapacityRow, facts: AzureFacts, request: Request) -> Iterator[Finding]:
    ask = row.ask
    wrong = size_finding(ask.resource, ask.size, ask.region, facts)
    if wrong:
        yield wrong
    if row.size is None:
        return
    yield from deployment_findings(ask, facts)
    if ask.pool:
        zones = ask.pool.at("availabilityZones", ())
        yield from zone_findings(ask.pool.resource, zones, row.size, ask.region, facts)
        yield from pool_findings(ask.pool, row.size, request)
    yield from _quota(row, facts)
    yield from _model(ask, "GPU memory" if row.size.gpus else "memory", row.memory, "GL-MODEL-001")
    yield from _model(ask, "disk", row.disk, "GL-MODEL-002")


def _quota(row: CapacityRow, facts: AzureFacts) -> Iterator[Finding]:
    if row.quota == "pass":
        return
    size, asked = row.size, "an unknown number of" if row.cores is None else str(row.cores)
    family = row.ask.family(size) if size else ""
    yield about(
        row.ask.resource,
        "GL-QUOTA-001" if row.quota == "fail" else "GL-QUOTA-002",
        f"quota for {asked} cores of {row.ask.size} in {row.ask.region} {_counted(row)}",
        "; ".join(row.why),
        _remedy(row, family, facts),
        guideline=document("endpoints")["source"]["url"],
    )


def _counted(row: CapacityRow) -> str:
    count = "an unknown number of" if row.ask.count is None else str(row.ask.count)
    slots = f", {row.ask.slots} slots at once" if row.ask.slots > 1 else ""
    return f"for {count} instances{slots}"


def _remedy(row: CapacityRow, family: str, facts: AzureFacts) -> str:
    wanted = "" if row.together is None else f" for {row.together} cores"
    if row.quota == "fail":
        return f"Ask Azure for quota of {family}{wanted}, or for fewer or smaller instances"
    first = document("endpoints")["gpu_quota_at_first"]
    gpu = row.size is not None and row.size.gpus
    start = f" A subscription starts with {first} for GPUs." if gpu and not facts.live else ""
    return f"Look it up with Azure credentials before the deploy{wanted}.{start}"


def _model(ask: Ask, what: str, fit: Fit | None, rule: str) -> Iterator[Finding]:
    if fit is None or fit.verdict == "pass":
        return
    unknown = fit.there is None
    yield about(
        ask.resource,
        "GL-MODEL-003" if unknown else rule,
        f"{fit.needed:.0f} GiB of {what} for the model of '{ask.app}'",
        "unknown" if fit.there is None else f"{fit.there:.0f} GiB on {ask.size}",
        "Use a size with more, more GPUs a node, a larger disk, or a model of fewer bits",
        guideline=document("sizes")["sources"]["mig"]["url"] if ask.mig else "",
    )
