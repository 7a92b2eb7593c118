"""``preview``: the repository's own stacks by the real engine, and what is refused before."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from cli.preview import _document, exit_code
from infra.settings import require_settings
from pipelines import preview as module
from pipelines.guarded import refuse_plain_secrets
from pipelines.planning import StackPlan, plan_stack, resources_of
from pipelines.preview import Preview, by_checkov, preview
from policies.arm.resource import ArmResource, Source
from policies.gate import judge_resource
from policies.limits.found import UNKNOWN_RULES
from policies.rules import azure
from policies.rules.azure import rules
from policies.rules.azure.bounds import Bounds
from policies.rules.findings import Finding, refusals
from policies.rules.rule import PlanRule, Rule
from policies.scan.kinds import classify
from policies.scan.running import scan
from policies.suppressions import Sorted
from release.errors import DONE, REFUSED, WAITING, BadInput, GreenlightError
from tests.azure_types import refused

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["staging", "production"])
def previewed(request: pytest.FixtureRequest, engine: str) -> Preview:
    """A stack of the repository, planned without credentials."""
    return preview(ROOT, str(request.param), environment={})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stack_of_the_repository_has_no_finding_that_is_not_explained(
    previewed: Preview,
) -> None:
    """What is left says that only Azure could tell; what is suppressed says why and until when."""
    assert refusals(previewed.judged.findings) == ()
    assert {one.rule for one in previewed.judged.findings} <= set(UNKNOWN_RULES)
    assert all(entry.reason for _, entry in previewed.judged.suppressed)
    assert exit_code(previewed) == WAITING
    assert previewed.origin.startswith("table of ")


@pytest.mark.slow
def test_quota_that_only_azure_could_tell_is_said_at_the_application_that_asks_for_it(
    previewed: Preview,
) -> None:
    """In the stack's settings: the plan has no deployment of it yet."""
    file = f"infra/stacks/Pulumi.{previewed.plan.stack}.yaml"
    lines = (ROOT / file).read_text().splitlines()
    for one in previewed.judged.findings:
        assert one.file
        assert one.line
        assert one.resource
        if one.rule.startswith("GL-QUOTA") and one.file == file:
            assert "endpoint: {kind: managed" in lines[one.line - 1]
    assert all(row["what"] for row in _document(previewed, 4)["capacity"])


def test_a_name_that_only_azure_could_tell_is_inconclusive() -> None:
    """As quota is: nobody looked it up."""
    unknown = Finding("GL-NAME-002", "a.py", "a name", "unknown", "Ask.", severity="warn")
    found = Preview(StackPlan("dev", (), {}), judged=Sorted((unknown,), ()))

    assert exit_code(found) == WAITING
    assert exit_code(Preview(StackPlan("dev", (), {}))) == DONE


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_template_of_a_plan_is_judged_as_the_plan_itself(
    previewed: Preview, tmp_path: Path
) -> None:
    """One rule, two doors: what the gate says of a plan, checkov's says of the file. By bounds that
    allow nothing, so that both have much to say.
    """
    bounds = Bounds("nowhere", ("none",))
    file = tmp_path / "template.json"
    file.write_text(json.dumps(previewed.template, indent=1))
    known = classify(str(file), file.read_bytes())
    assert known is not None
    asked = rules(bounds)

    by_file = [(f.rule, f.resource) for f in scan([known], bounds) if f.rule.startswith("GL-")]
    by_plan = [(f.rule, r.name) for r in previewed.plan.resources for f in judge_resource(r, asked)]

    assert sorted(by_file) == sorted(by_plan)
    assert len(by_plan) > 40


@pytest.mark.slow
def test_every_resource_names_the_line_that_declared_it(previewed: Preview) -> None:
    """And it is in the program."""
    for one in previewed.plan.resources:
        assert one.source is not None, one.urn
        assert one.source.file.startswith("infra/azure/"), one.source
        text = (ROOT / one.source.file).read_text().splitlines()
        assert one.source.line is not None
        assert len(text) >= one.source.line


@pytest.mark.slow
def test_every_body_is_one_that_azure_defines(previewed: Preview) -> None:
    """Unknown and missing properties, enums and patterns: by Azure's own definitions."""
    assert refused(previewed.plan.resources) == []


@pytest.mark.slow
def test_no_secret_is_in_anything_that_is_shown(previewed: Preview) -> None:
    """The plan's secrets are marked; their values were never there."""
    shown = json.dumps([previewed.plan.engine, previewed.template])

    assert "to-be-known-at-up" not in shown


def test_a_stack_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="one of local, production, staging, found 'prod'"):
        preview(ROOT, "prod", environment={})


def test_on_the_command_line_that_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["preview", "--stack", "nowhere"]) == 2
    assert "Pulumi.nowhere.yaml" in capsys.readouterr().err


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the program with its stacks."""
    for name in ("infra", "release", "Pulumi.yaml"):
        source, target = ROOT / name, tmp_path / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def edit(project: Path, old: str, new: str) -> None:
    """Replace a text in the staging stack's settings."""
    file = project / "infra/stacks/Pulumi.staging.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


CONNECTED = """\
    connections:
      - {name: a, url: "https://a.example.com", secret: anthropicKey, expires: "2027-06-30"}
"""
SHOWN = "sk-ant-madeupmadeupmadeup"
PLAIN = {
    "a connection's secret": ("greenlight:anthropicKey: made-up", "greenlight:anthropicKey"),
    "a credential by its form": (f"greenlight:note: {SHOWN}", "greenlight:note"),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_secret_in_plain_text_in_the_settings_is_refused(project: Path, case: str) -> None:
    """With its line and what to do, and without its value; no plan is made."""
    written, name = PLAIN[case]
    edit(project, "config:\n", f"config:\n  {written}\n")
    edit(project, "    environment: staging\n", f"    environment: staging\n{CONNECTED}")

    with pytest.raises(BadInput, match="pulumi config set --secret") as refused:
        preview(project, "staging", environment={})

    (problem,) = refused.value.problems
    assert problem.line == 3
    assert name in problem.path
    assert "made" not in str(refused.value)


def test_a_secret_that_the_engine_encrypted_is_let_by(project: Path) -> None:
    written = 'config:\n  greenlight:anthropicKey: {secure: "v1:x:y"}\n'
    edit(project, "config:\n", written)
    edit(project, "    environment: staging\n", f"    environment: staging\n{CONNECTED}")

    refuse_plain_secrets(project / "infra/stacks/Pulumi.staging.yaml")


def test_a_date_without_quotes_is_refused_before_the_engine_misreads_it(project: Path) -> None:
    """To the engine it is a moment, and the program would get another text."""
    edit(project, '"2026-12-01"', "2026-12-01")

    with pytest.raises(BadInput, match=r"budget\.start: expected text, found a date.*quotes"):
        plan_stack(project, "staging")


@pytest.mark.slow
def test_a_setting_that_is_not_known_is_refused_with_its_line(project: Path, engine: str) -> None:
    """The program's own words, and exit 2."""
    edit(project, "    owner: ml-platform", "    ownr: ml-platform")

    with pytest.raises(BadInput, match=r"Pulumi\.staging\.yaml:\d+: ownr: .*'owner'"):
        plan_stack(project, "staging")


def test_settings_that_are_wrong_are_bad_input_before_the_engine_starts(project: Path) -> None:
    """Not only the engine's last words: each problem with its place."""
    edit(project, "    owner: ml-platform", "    ownr: ml-platform")

    with pytest.raises(BadInput) as refused:
        preview(project, "staging", environment={}, require=require_settings)
    (one,) = refused.value.problems
    assert type(refused.value) is BadInput
    assert (one.path, one.remedy) == ("ownr", "Did you mean 'owner'?")


def test_a_type_without_a_row_is_refused_by_name() -> None:
    """What is not mapped is not judged, so it is not passed."""
    state = {"type": "azure-native:batch:Pool", "urn": "urn:pulumi:s::p::t::n", "inputs": {}}

    with pytest.raises(BadInput, match="azure-native:batch:Pool"):
        resources_of({"steps": [{"newState": state}]})


@pytest.mark.slow
def test_checkovs_findings_are_told_at_the_line_of_the_program() -> None:
    """Also where two resources have one name."""
    open_one = {"properties": {"minimumTlsVersion": "TLS1_0"}, "location": "westeurope"}
    accounts = [
        ArmResource("Microsoft.Storage/storageAccounts", "2024-01-01", "st", body, urn=urn,
                    source=Source("infra/azure/storage.py", line))
        for urn, line, body in (("a", 7, open_one), ("b", 9, open_one))
    ]  # fmt: skip

    found = [one for one in by_checkov(accounts) if one.rule == "CKV_AZURE_44"]

    assert [(one.resource, one.file, one.line) for one in found] == [
        ("a", "infra/azure/storage.py", 7), ("b", "infra/azure/storage.py", 9)
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["CKV2_AZURE_49", "CKV_AZURE_243"])
def test_a_finding_is_about_the_resource_that_checkov_names(rule: str) -> None:
    """Also of a graph check, whose lines begin before the resource does."""
    learning = "Microsoft.MachineLearningServices"
    open_one = {"properties": {"publicNetworkAccess": "Enabled"}, "location": "westeurope"}
    plan = [
        ArmResource(f"{learning}/{kind}", "2025-12-01", name, open_one, urn=name)
        for kind, name in (("registries", "before"), ("workspaces", "a"), ("workspaces", "b"))
    ]

    assert [one.resource for one in by_checkov(plan) if one.rule == rule] == ["a", "b"]


STORE = ArmResource(
    "Microsoft.Storage/storageAccounts", "2024-01-01", "st", {}, urn="urn:st",
    source=Source("infra/azure/storage.py", 7),
)  # fmt: skip


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The production stack is planned, and comes to one account."""
    plan = StackPlan("production", (STORE,), {})
    monkeypatch.setattr(module, "plan_stack", lambda *_: plan)


def _falls(_: object) -> Any:
    raise KeyError("made-up secret")


OVER = Rule("GL-AZ-XXX-001", "t", (STORE.type,), "e", "r.", "https://x", _falls, "warn")
WHOLE = PlanRule("GL-AZ-XXX-002", "t", "e", "r.", "https://x", _falls, "warn")


@pytest.mark.slow
def test_s25_a_rule_that_falls_over_refuses_the_plan(
    planned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it would only warn; what it fell over is not repeated."""
    monkeypatch.setattr(azure, "rules", lambda _: (OVER,))
    monkeypatch.setattr(azure, "plan_rules", lambda _: (WHOLE,))

    found = preview(ROOT, "production", environment={})

    fallen = {one.rule: one.line for one in refusals(found.judged.findings) if "XXX" in one.rule}
    assert fallen == {"GL-AZ-XXX-001-FELL": 7, "GL-AZ-XXX-002-FELL": None}
    assert exit_code(found) == REFUSED
    assert "made-up" not in "".join(map(str, found.found))


@pytest.mark.slow
def test_s25_a_check_of_checkovs_that_falls_over_is_an_error(
    planned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """checkov itself logs it and passes the resource over."""
    by_checkov([STORE])  # so that its checks are there
    name = "checkov.arm.checks.resource.StorageAccountMinimumTlsVersion"
    check: Any = importlib.import_module(name).check
    monkeypatch.setattr(check, "scan_resource_conf", _falls)

    with pytest.raises(GreenlightError, match=r"could not judge all.*CKV_AZURE_44"):
        preview(ROOT, "production", environment={})
