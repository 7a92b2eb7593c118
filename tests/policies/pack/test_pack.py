"""The rules as Pulumi policies: what the engine shows is judged, what it hides is not passed."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pulumi_policy as sdk
import pytest
import yaml
from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.arm.resource import UNKNOWN, ArmResource
from policies.pack import pack
from policies.pack.inputs import READER, inputs, plain, read_inputs_openly
from policies.pack.pack import bounds_in, policies
from policies.pack.stack import when_told
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.rule import PlanRule, Rule
from policies.suppressions import Suppression
from release.errors import BadInput, Problem
from tests.policies.rules.azure.cases import BOUNDS, RULES, Case, cases

FOLDER = Path(pack.__file__).parent
MISSING = 'config["greenlight:azure"].environment: expected a name, found nothing'
SETTINGS = """\
config:
  greenlight:azure:
    environment: production
    allowedLocations: [swedencentral]
"""


@dataclass
class Engine:
    """Calls policies as Pulumi's engine does: each resource as it is declared, then the stack."""

    policies: Sequence[sdk.Policy]
    told: list[tuple[str, str, str]] = field(default_factory=list)  # level, policy, urn

    def preview(self, plan: Sequence[ArmResource], unseen: Sequence[ArmResource] = ()) -> None:
        """A preview of ``plan``; ``unseen`` are in the stack, but not declared in this run."""
        for one in plan:
            by = None if one.token.startswith("greenlight:") else SimpleNamespace()  # a component
            args = SimpleNamespace(
                resource_type=one.token, urn=one.urn, props={"arm": one}, provider=by
            )
            self._ask(sdk.ResourceValidationPolicy, args)
        self._ask(sdk.StackValidationPolicy, SimpleNamespace(resources=_stack([*plan, *unseen])))

    def refused(self) -> set[tuple[str, str]]:
        """Which policy stopped the preview, and at which resource."""
        return {(name, urn) for level, name, urn in self.told if level == "mandatory"}

    def _ask(self, kind: type[Any], args: Any) -> None:
        for policy in self.policies:
            if isinstance(policy, kind):
                assert policy.enforcement_level is not None
                level = policy.enforcement_level.value

                def report(_: str, urn: str | None = None, at: sdk.Policy = policy) -> None:
                    self.told.append((level, at.name, urn or ""))  # noqa: B023 - called at once

                policy.validate(args, report)


def _stack(plan: Sequence[ArmResource]) -> list[Any]:
    shown = [
        SimpleNamespace(
            resource_type=r.token, urn=r.urn, props={}, dependencies=[], property_dependencies={}
        )
        for r in plan
    ]
    by_urn = {one.urn: one for one in shown}
    for one, given in zip(shown, plan, strict=True):
        one.dependencies = [by_urn[urn] for urn in given.depends_on if urn in by_urn]
    return shown


def _given(_: str, props: Mapping[str, Any], **options: Any) -> ArmResource:
    """Stands for the table: the resource rides in its inputs, its dependencies come as they do."""
    one: ArmResource = props["arm"]
    return ArmResource(**{**vars(one), "depends_on": options["depends_on"]})


def _native(resource: ArmResource) -> ArmResource:
    return ArmResource(**{**vars(resource), "token": "azure-native:x:Y"})


REFUSED = [case for case in cases("refuses") if case.environment == "production"]
SEVERITY = {name: rule.severity for name, rule in RULES.items()}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_a_rule_refuses_stops_the_preview(case: Case) -> None:
    """At the same resource; what it only warns of is advice."""
    plan = case.plan or ((case.resource,) if case.resource else ())
    engine = Engine(policies(BOUNDS, _given))

    engine.preview([_native(one) for one in plan])

    level = "mandatory" if SEVERITY[case.rule] == "refuse" else "advisory"
    urns = {urn for at, name, urn in engine.told if (at, name) == (level, case.rule)}
    assert urns >= ({f"urn:{case.names}"} if case.names else {plan[0].urn})


def test_each_rule_is_a_policy_of_its_own() -> None:
    """So that the engine names it; three more say what could not be judged."""
    names = [policy.name for policy in policies(BOUNDS, _given)]

    assert len(names) == len(set(names))
    assert set(names) - set(SEVERITY) == {"GL-AZ-ARM-001", "GL-AZ-ARM-002", "GL-AZ-ARM-003"}


STORE = ArmResource(kinds.STORAGE, "x", "st", token="azure-native:storage:X", urn="urn:st")


def test_s25_a_type_without_a_row_stops_the_preview() -> None:
    def refuse(*_: Any, **__: Any) -> ArmResource:
        raise BadInput(Problem("a type with a row", "azure-native:sql:Server"))

    engine = Engine(policies(BOUNDS, refuse))
    engine.preview([STORE])

    assert engine.refused() == {("GL-AZ-ARM-001", "urn:st")}


def test_s25_a_conversion_that_falls_over_stops_the_preview() -> None:
    def fall(*_: Any, **__: Any) -> ArmResource:
        raise KeyError("made-up secret")

    engine = Engine(policies(BOUNDS, fall))
    engine.preview([STORE])

    assert engine.refused() == {("GL-AZ-ARM-001", "urn:st")}


def _falls(_: object) -> Any:
    raise KeyError("made-up secret")


@pytest.mark.parametrize("severity", ["refuse", "warn"])
def test_s25_a_rule_that_falls_over_stops_the_preview(
    monkeypatch: pytest.MonkeyPatch, severity: Any
) -> None:
    """One whose findings are only advice too: nothing is known of what it would have found."""
    over = Rule("GL-AZ-XXX-001", "t", (kinds.STORAGE,), "e", "r.", "https://x", _falls, severity)
    whole = PlanRule("GL-AZ-XXX-002", "t", "e", "r.", "https://x", _falls, severity)
    monkeypatch.setattr(pack, "rules", lambda _: (over,))
    monkeypatch.setattr(pack, "plan_rules", lambda _: (whole,))
    engine = Engine(policies(BOUNDS, _given))

    engine.preview([STORE])

    expected = {("GL-AZ-XXX-001", "urn:st"), ("GL-AZ-XXX-002", "")}
    advised = {("GL-AZ-ARM-003", "urn:st"), ("GL-AZ-ARM-003", "")}
    assert engine.refused() == (expected if severity == "refuse" else advised)


def test_a_plan_that_is_shown_in_part_is_refused() -> None:
    """With --target an alert could be missing, or only out of sight."""
    engine = Engine(policies(BOUNDS, _given))
    engine.preview([], unseen=[STORE])

    assert ("GL-AZ-ARM-002", "urn:st") in engine.refused()


def test_a_finding_that_somebody_answers_for_is_let_pass() -> None:
    """By the same entries as in the gate, until the same day."""
    entry = Suppression("GL-AZ-NET-001", "*", "Nothing in it yet.", date.max, "s.yaml", 2)
    over = Suppression("GL-AZ-ENC-001", "*", "Nothing in it yet.", date.min, "s.yaml", 6)
    engine = Engine(policies(BOUNDS, _given, (entry, over)))
    engine.preview([STORE])

    assert ("GL-AZ-NET-001", "urn:st") not in engine.refused()
    assert ("GL-AZ-ENC-001", "urn:st") in engine.refused()


@pytest.mark.parametrize("token", ["random:index:RandomId", "pulumi-python:dynamic:Resource"])
def test_a_resource_of_another_provider_stops_the_preview(token: str) -> None:
    engine = Engine(policies(BOUNDS, _given))
    engine.preview([ArmResource("t", "x", "random", token=token, urn="urn:r")])

    assert engine.refused() == {("GL-AZ-ARM-001", "urn:r")}


@pytest.mark.parametrize(
    "token", ["pulumi:pulumi:Stack", "pulumi:providers:azure-native", "greenlight:azure:Vault"]
)
def test_bookkeeping_and_components_are_none_of_its_business(token: str) -> None:
    engine = Engine(policies(BOUNDS, _given))
    engine.preview([ArmResource("t", "x", "one", token=token, urn="urn:o")])

    assert engine.told == []


def test_secrets_and_unknown_values_are_told_as_such() -> None:
    """The SDK's own reading gives the secret away, and makes an advisory of what is not known."""
    secret = {SPECIAL_SIG_KEY: SPECIAL_SECRET_SIG, "value": "made-up"}
    sent = {"a": secret, "b": [{"c": secret}, UNKNOWN_STRING_VALUE], "n": 3.0, "f": 0.5, "t": True}

    assert inputs(sent) == {
        "a": "[secret]",
        "b": [{"c": "[secret]"}, UNKNOWN],
        "n": 3,
        "f": 0.5,
        "t": True,
    }


def test_an_sdk_that_reads_otherwise_is_refused() -> None:
    """Rather than one that shows secrets again after an update."""
    with pytest.raises(RuntimeError, match="secrets would be shown"):
        read_inputs_openly(SimpleNamespace(policy=SimpleNamespace()))  # type: ignore[arg-type]

    assert callable(getattr(sdk.policy, READER))


def test_what_the_sdk_wraps_is_unwrapped() -> None:
    """Its lists are no lists to what looks for one: an open port within would go unseen."""
    sent = {"rules": [{"ports": ["22"]}], "on": True}

    assert plain(unknown_checking_proxy(sent)) == sent
    assert type(plain(unknown_checking_proxy(sent))["rules"]) is list


def test_a_rule_finds_what_is_in_a_list_that_the_sdk_wrapped() -> None:
    """From the engine's inputs to the finding, by the table."""
    open_to_all = {"direction": "Inbound", "access": "Allow", "sourceAddressPrefix": "*"}
    props = unknown_checking_proxy({"securityRules": [{"name": "ssh", **open_to_all}]})
    token = "azure-native:network:NetworkSecurityGroup"
    engine = Engine(policies(BOUNDS))

    args = SimpleNamespace(resource_type=token, urn="urn:nsg", props=props)
    engine._ask(sdk.ResourceValidationPolicy, args)

    assert ("GL-AZ-NET-006", "urn:nsg") in engine.refused()


@dataclass
class Refusing:
    """Stands for a call of the engine's that can be refused."""

    said: str = ""

    def abort(self, _: Any, words: str) -> None:
        self.said = words
        raise RuntimeError("aborted, as gRPC does")


class Analyzer:
    """Stands for the SDK's own: it keeps the tags."""

    tags = ""

    def ConfigureStack(self, request: Any, context: Any) -> str:
        self.tags = request.tags
        return "kept"


def _told(config: Mapping[str, str], context: Refusing) -> tuple[list[Bounds], Any, Analyzer]:
    """What is made of ``config`` when the engine tells it."""
    servicer = type("Servicer", (Analyzer,), {})
    found: list[Bounds] = []
    module = SimpleNamespace(policy=SimpleNamespace(_PolicyAnalyzerServicer=servicer))
    when_told(module, lambda given: found.append(bounds_in(given)))  # type: ignore[arg-type]
    one = servicer()
    answer = one.ConfigureStack(SimpleNamespace(config=config, tags="t"), context)
    return found, answer, one


STRUCTURED = '{"environment": "x", "allowedLocations": ["a"]}'


def test_bounds_come_from_the_settings_that_the_engine_tells() -> None:
    """Structured ones as JSON; the SDK does what it does as well, and secrets are not looked at."""
    config = {"greenlight:azure": STRUCTURED, "greenlight:anthropicKey": "{made-up"}

    found, answer, one = _told(config, Refusing())

    assert found == [Bounds("x", ("a",))]
    assert (answer, one.tags) == ("kept", "t")


def test_settings_without_bounds_are_refused_in_the_engines_call() -> None:
    """So the preview ends, with the setting that is missing."""
    context = Refusing()

    with pytest.raises(RuntimeError, match="aborted"):
        _told({}, context)

    assert MISSING in context.said


def test_an_sdk_that_is_told_elsewhere_is_refused() -> None:
    """Rather than one under which a stack's settings are lost after an update."""
    with pytest.raises(RuntimeError, match="settings would be lost"):
        when_told(SimpleNamespace(policy=SimpleNamespace()), print)  # type: ignore[arg-type]

    assert callable(sdk.policy._PolicyAnalyzerServicer.ConfigureStack)


@dataclass
class Served:
    """Stands for the SDK, and keeps what it is given to serve."""

    held: list[sdk.Policy] = field(default_factory=list)

    def __call__(self, *, policies: list[sdk.Policy], **_: Any) -> None:
        self.held = policies


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    made = Served()
    monkeypatch.delenv(pack.SETTINGS, raising=False)
    monkeypatch.setattr(pack, "read_inputs_openly", lambda _: None)
    monkeypatch.setattr(pack, "when_told", lambda *_: None)
    monkeypatch.setattr(sdk, "PolicyPack", made)
    return made


def test_until_the_engine_has_told_the_settings_every_plan_is_refused(served: Served) -> None:
    """An engine that never tells them gets no pass."""
    pack.serve()

    engine = Engine(served.held)
    engine.preview([])

    assert engine.refused() == {("GL-AZ-ARM-004", "")}


def test_a_settings_file_that_is_named_comes_before_what_the_engine_tells(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "Pulumi.production.yaml"
    file.write_text(SETTINGS)
    monkeypatch.setenv(pack.SETTINGS, str(file))

    pack.serve()

    assert {policy.name for policy in served.held} >= set(SEVERITY)


def test_one_that_is_wrong_stops_the_pack(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with it the preview; it says which setting is missing."""
    file = tmp_path / "Pulumi.production.yaml"
    file.write_text("config: {}\n")
    monkeypatch.setenv(pack.SETTINGS, str(file))

    with pytest.raises(SystemExit, match=re.escape(MISSING)):
        pack.serve()


def test_the_folder_is_a_policy_pack() -> None:
    """Its structure only: the language host that can be built does not start a folder."""
    declared = yaml.safe_load((FOLDER / "PulumiPolicy.yaml").read_text())

    assert declared["runtime"] == "python"
    assert (FOLDER / declared["main"]).is_file()
    assert stat.S_IXUSR & (FOLDER / "greenlight-policies").stat().st_mode
