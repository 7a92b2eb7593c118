"""``preview``: what a stack would be, what is wrong with it, and whether it would fit.

Everything is judged in Azure's own shape: by our rules, by checkov's, and by the limits that
Azure would only tell of after minutes. Findings name the Python line that declared a resource.
"""

from __future__ import annotations

import json
import os
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pipelines.azure_facts import azure_facts, named_subscription
from pipelines.exported import State, read_state
from pipelines.planning import StackPlan, plan_stack
from pipelines.reporting import SILENT, Reporter
from pipelines.stack_settings import TARGET, read_settings, stack_file
from policies import gate
from policies.arm.convert import template
from policies.arm.resource import ArmResource
from policies.limits.capacity import CapacityRow
from policies.limits.check import check_limits
from policies.limits.names import names_to_ask
from policies.limits.request import Deployment, Model, Request
from policies.redaction import redacted
from policies.rules.azure.bounds import AZURE, Bounds, read_bounds
from policies.rules.azure.credentials import without_credentials
from policies.rules.findings import Finding, by_place
from policies.suppressions import Sorted, suppressed_today
from release.documents import Place, read_document
from release.errors import BadInput, Problem

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
NOTHING = Sorted((), ())
NOWHERE: Mapping[str, Place] = {}


Require = Callable[[Path, date], None]
"""Raises BadInput where a program could not take a stack's settings on a day."""


def engine_tells(file: Path, today: date) -> None:
    """Without a reader of the settings, the program itself says what is wrong with them."""


@dataclass(frozen=True)
class Preview:
    """A stack's plan, judged, without what it shows in the clear. ``found`` is everything,
    ``judged`` what is left after suppression. ``origin`` says what the limits rest on.
    """

    plan: StackPlan
    found: tuple[Finding, ...] = ()
    judged: Sorted = NOTHING
    capacity: tuple[CapacityRow, ...] = ()
    origin: str = ""

    @property
    def template(self) -> dict[str, Any]:
        """The plan as a deployment template."""
        return template(self.plan.resources)


def preview(
    root: Path,
    stack: str,
    *,
    state: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    today: date | None = None,
    reporter: Reporter = SILENT,
    require: Require = engine_tells,
) -> Preview:
    """Plan ``stack`` and judge it. ``state``: what ``pulumi stack export`` said of it as it is.
    ``require`` reads the settings of an Azure stack before the engine starts.

    BadInput for a stack, a setting or a resource type that is not known.
    """
    file = stack_file(root, stack)
    if read_settings(file)["config"].get(TARGET) == "azure":
        require(file, today or datetime.now(UTC).date())
    before = read_state(state, stack) if state else State()  # first: it costs no plan
    reporter.step(f"planning {stack} with the Pulumi engine; nothing of Azure's is called")
    plan = plan_stack(root, stack, _subscription(before, environment))
    azure = read_settings(file)["config"].get(AZURE)
    if azure is None:  # a stack of this machine: nothing of it is Azure's
        return Preview(plan)
    reporter.step(f"judging {len(plan.resources)} resources")
    asked_in = _asked_in(root, file, azure)
    return judged(plan, azure, read_bounds(file), before.resources, environment, today, asked_in)


def judged(
    plan: StackPlan,
    azure: Mapping[str, Any],
    bounds: Bounds,
    state: Sequence[ArmResource] = (),
    environment: Mapping[str, str] = os.environ,
    today: date | None = None,
    asked_in: Mapping[str, Place] = NOWHERE,
) -> Preview:
    """``plan`` with all that is against it. ``azure`` are the settings that it was made of;
    ``asked_in`` is where in them each application stands, whose deployments are still to come.
    """
    facts = azure_facts(environment, azure["location"], names_to_ask(plan.resources))
    harmless = replace(plan, resources=tuple(map(redacted, plan.resources)))
    limits = check_limits(plan.resources, facts, _request(azure, state))
    ours = gate.judge(plan.resources, bounds)
    placed = [_in_settings(one, asked_in) for one in limits.findings]
    everything = (*ours, *placed, *by_checkov(harmless.resources))
    found = by_place(map(_harmless, everything))
    left = suppressed_today(found, whole=False, today=today)
    return Preview(harmless, found, left, limits.capacity, facts.origin)


def _harmless(finding: Finding) -> Finding:
    """``finding`` without a credential that its resource has for a name."""
    told = without_credentials(finding.found)
    return replace(finding, found=told, resource=without_credentials(finding.resource))


def _asked_in(root: Path, file: Path, azure: Mapping[str, Any]) -> dict[str, Place]:
    """Where ``file`` says of each application what endpoint it has."""
    document = read_document(file)
    known = enumerate(azure.get("applications") or [])
    places = {
        one["name"]: document.place(("config", AZURE, "applications", index, "endpoint"))
        for index, one in known
    }
    return {name: (_below(root, there), line) for name, (there, line) in places.items()}


def _below(root: Path, file: str) -> str:
    return Path(file).relative_to(root).as_posix()


def _in_settings(finding: Finding, asked_in: Mapping[str, Place]) -> Finding:
    """``finding`` about an application at the line that asks for it."""
    if finding.file or finding.resource not in asked_in:
        return finding
    file, line = asked_in[finding.resource]
    return replace(finding, file=file, line=line)


def _request(azure: Mapping[str, Any], state: Sequence[ArmResource]) -> Request:
    """What applications will ask for beside the plan, from the stack's settings."""
    applications = azure.get("applications") or []
    endpoints = [(one, one.get("endpoint") or {}) for one in applications]
    managed = [(one, e) for one, e in endpoints if e.get("kind", "managed") == "managed" and e]
    return Request(
        region=azure["location"],
        deployments=tuple(
            Deployment(one["name"], e.get("instanceType", ""), e.get("instances", 1))
            for one, e in managed
        ),
        models={
            e.get("pool") or one["name"]: Model(one["modelGib"])
            for one, e in endpoints
            if one.get("modelGib")
        },
        device_plugin=True,
        state=state,
    )


def _subscription(before: State, environment: Mapping[str, str]) -> str:
    """Where the stack is, or would be: names that have to be unique are made of it."""
    named = named_subscription(environment)
    if named and before.subscription.lower() not in ("", named.lower()):
        remedy = "Sign in to that one, or export the stack that is in this one."
        found = f"resources in '{before.subscription}'"
        raise BadInput(Problem(f"a state of subscription '{named}'", found, remedy, path="--state"))
    return before.subscription or named


def by_checkov(resources: Sequence[ArmResource]) -> tuple[Finding, ...]:
    """What checkov's own checks for ARM have against ``resources``, at the lines of the program."""
    from policies.scan.kinds import classify
    from policies.scan.running import scan

    if not resources:
        return ()
    text, starts = _flat(resources)
    with tempfile.TemporaryDirectory(prefix="gl-") as folder:
        file = Path(folder) / "plan.json"
        file.write_text(text)
        scannable = classify(str(file), text.encode())
        found = scan([scannable]) if scannable else ()
    return tuple(_placed(one, resources[_meant(one, resources, starts)]) for one in found)


def _meant(finding: Finding, resources: Sequence[ArmResource], starts: Sequence[int]) -> int:
    """Which resource a finding is about: of those with its name the one that begins nearest to its
    line, for a graph check of checkov's gives a line above. Without a name, the line alone tells.
    """
    line = finding.line or 0
    named = [
        (abs(start - line), index)
        for index, (one, start) in enumerate(zip(resources, starts, strict=True))
        if f"{one.type}.{one.name}" == finding.resource
    ]
    return min(named)[1] if named else max(bisect_right(starts, line) - 1, 0)


def _flat(resources: Sequence[ArmResource]) -> tuple[str, list[int]]:
    """A template of one level, for checkov looks at each resource by itself; and the line at which
    each resource begins, by which a finding is told to be about it: names may be there twice.
    """
    head = f'{{"$schema": "{SCHEMA}", "contentVersion": "1.0.0.0", "resources": ['
    parts, starts, line = [], [], 2
    for one in resources:
        entry = {"type": one.type, "apiVersion": one.api, "name": one.name, **one.body}
        parts.append(json.dumps(entry, indent=1))
        starts.append(line)
        line += parts[-1].count("\n") + 1
    return "\n".join([head, ",\n".join(parts), "]}"]), starts


def _placed(finding: Finding, one: ArmResource) -> Finding:
    """``finding`` as one about the resource, where the program declared it."""
    source = one.source
    return replace(
        finding,
        resource=one.urn,
        file=source.file if source else "",
        line=source.line if source else None,
        found=finding.found.replace(finding.resource, _called(one)),
    )


def _called(one: ArmResource) -> str:
    """Type and name; the type alone where the finding says that name by itself."""
    return one.type if one.urn.rpartition("::")[2] == one.name else f"{one.type} {one.name}"
