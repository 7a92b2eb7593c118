"""Write docs/policies.md from the rules: ``python docs/policy_table.py``. A test compares them.

Not named after the page: run as a script, it would take the place of the package ``policies``.
"""

from __future__ import annotations

from pathlib import Path

from policies.rules.azure import CONCERNS
from policies.rules.azure.bounds import Bounds
from policies.rules.rule import PlanRule, Rule

FILE = Path(__file__).parent / "policies.md"
BOUNDS = Bounds(environment="production", regions=("the stack's allowedLocations",))
EASED = Bounds(environment="staging", regions=BOUNDS.regions, private=False)

HEAD = """# Policies

What Greenlight has against a plan or a deployment template for Azure, before anything is created.
Each rule is a pure function over a resource, or over the whole plan, in `policies/rules/azure`;
three doors ask the same values:

| door | how | what it judges |
|---|---|---|
| gate | `greenlight preview` | every rule |
| checkov | `greenlight check`, of deployment templates; `policies/checks` | rules over a resource |
| Pulumi | `pulumi preview --policy-pack policies/pack/greenlight-policies` | every rule |

Absent means what Azure takes it for. A value that is not known before the plan runs is a finding,
and so are a rule that falls over, a type that no rule knows and a policy that does not load.

**refuse** stops a plan, **warn** is shown. *Production* after it: elsewhere the rule warns.
*Private*: with `network.private: false` the rule warns.

## What `check` looks at

A path that holds a Pulumi program or lies in one has the whole program planned and judged, for each
of its Azure stacks. A program without any is said (GL-CHECK-002, a warning): nothing in it was
judged. What only Azure could tell is a warning too, and `check` ends with 0: a pull request has no
credentials. `preview` ends with 4.

In a folder every `.json`, `.yaml` and `.yml` is looked at, whatever the case of its suffix. Passed
by are hidden folders except `.github`, `node_modules`, `__pycache__`, links to folders, and files
that are neither template nor manifest nor workflow. Only regular files are opened: a pipe, or a
link to what is not there, is said (GL-CHECK-001, a warning), and is bad input (exit 2) when it is
named. What checkov would take for something else is bad input, with the place: a suffix in
capitals, a template in `.jsonc`, `Resources` for `resources`, resources without `$schema` and
`contentVersion`. So is a template or manifest over 4 MB, any file over 20 MB, and YAML whose
aliases, written out, are more than 100,000 values.

## Deployment templates

`greenlight check PATH…` judges the deployment templates (ARM, JSON) that it finds, by checkov's
checks and by these rules. `--stack STACK` says which stack they are for. Without it a template
could be deployed to any of Azure's stacks, and has to do for each: regions and registries are those
that all of them allow, production or private is what one of them is, and the tag `environment` may
name any. Where no stack is Azure's, or they allow nothing in common, `check` ends with exit code 2:
that rules were not asked is no pass.

A parameter stands for its default, a variable for its value, a secure parameter without a default
for a secret. Everything else in brackets (`[concat(...)]`, `[resourceGroup().location]`, a
parameter without a default, a property that a loop makes) is known to the deployment alone. It is a
finding where a rule asks for it: give the parameter the default that is meant. `condition` is not
read: what may be deployed is judged. What is nested is judged with its whole type and name, in
nested templates by their own parameters; a linked template is not in the file and so refused
(GL-AZ-GEN-001), as is every type that no rule knows.

Names of properties are read in any case, as Azure reads them; one that is given in two is refused
(GL-AZ-GEN-002). A key that stands twice in an object, `NaN`, a top-level key such as `Resources` in
another spelling, and an output that calls `listKeys` or another of its family end with exit code 2.

Rules over a whole plan are not asked of a file: it is a part of what is deployed, and the budget or
the alert that it lacks may be in another. `preview` asks them of a stack.

## Secrets

A secret of the engine may stand only where Azure keeps it secret (GL-AZ-SEC-004); the places are in
`policies/rules/azure/credentials.py`. What is a credential by its form is refused wherever it
stands (GL-AZ-SEC-005). No finding shows one, and `plan.json`, `template.json` and `--json` have
`<redacted>` in its place. A stack's settings file that has a connection's secret, or a credential,
in plain text is refused with its line (exit code 2).

In an Azure stack a resource of a provider other than azure-native is refused by name, by `preview`
(exit code 2) and by the pack (GL-AZ-ARM-001): no rule could judge it.

## Settings

The rules' bounds come from the stack's settings. The engine tells them to the pack; a pack that it
does not tell refuses every plan. `GREENLIGHT_STACK_SETTINGS`, for instance
`GREENLIGHT_STACK_SETTINGS=infra/stacks/Pulumi.production.yaml`, names a file that counts instead.

| setting | meaning | default |
|---|---|---|
| `greenlight:azure`: `environment` | production is held to more | none |
| `greenlight:azure`: `allowedLocations` | regions that data may be in | none |
| `greenlight:azure`: `network.private` | no way in but private endpoints | true |
| `greenlight:imageRegistries` | hosts that images may come from | mcr.microsoft.com |
| `greenlight:modelRegistries` | Azure ML registries of catalog models | azureml |

Programs with one mistake a resource are in `tests/cases/programs`: the gate and the pack refuse the
same rules at the same resources of each.

The executable form of the pack is tested with the real engine. The folder form,
`--policy-pack policies/pack`, is checked for its structure only: the language host that can be
built from package registries starts no folder, so the engine stops the preview ("failed to
start"), and under a newer host it is not verified. Whoever may pass `--policy-pack-config` may
switch a policy off: keep that file with the platform team.

## Letting a finding pass

`policies/suppressions.yaml` names the rule, the resource, the reason and the last day, at most a
year away. On the day after, the finding is back and the entry is refused as well
(GL-SUPPRESSION-001). An entry that covers nothing is a warning (GL-SUPPRESSION-002). The pack lets
the same findings pass; that a rule fell over cannot be let pass.

This page is written by `python docs/policy_table.py`; a test keeps it current.
"""

TABLE = """
| rule | what holds | expected | what to do | severity | source |
|---|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(concern) for concern in CONCERNS)


def _section(concern: object) -> str:
    name = getattr(concern, "__name__", "").rpartition(".")[2].replace("_", " ")
    story = (getattr(concern, "__doc__", "") or "").strip()
    now, eased = _rules(concern, BOUNDS), _rules(concern, EASED)
    rows = [_row(rule, other) for rule, other in zip(now, eased, strict=True)]
    return f"\n## {name.capitalize()}\n\n{story}\n{TABLE}{''.join(rows)}"


def _rules(concern: object, bounds: Bounds) -> list[Rule | PlanRule]:
    over_one, over_all = getattr(concern, "rules"), getattr(concern, "plan_rules")  # noqa: B009
    return [*over_one(bounds), *over_all(bounds)]


def _row(rule: Rule | PlanRule, eased: Rule | PlanRule) -> str:
    cells = (rule.title, rule.expected, rule.remedy, _severity(rule, eased))
    told = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {rule.id} | {told} | <{rule.source}> |\n"


def _severity(rule: Rule | PlanRule, eased: Rule | PlanRule) -> str:
    if rule.severity == eased.severity:
        return rule.severity
    return "refuse, production" if "AKS" in rule.id else "refuse, private"


if __name__ == "__main__":
    FILE.write_text(page())
