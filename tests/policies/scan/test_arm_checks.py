"""S25: every check of checkov's that applies to a type in use refuses something and passes
something. The samples are data, in arm_checks.yaml.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.rules.azure import kinds
from policies.scan.kinds import Scannable
from policies.scan.light import run_with_checkov
from policies.scan.running import scan

SAMPLES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("arm_checks.yaml").read_text())
REFUSED = [
    (check, kind, change)
    for kind, samples in SAMPLES["types"].items()
    for check, change in samples["refused"].items()
]


def template(folder: Path, *resources: dict[str, Any]) -> Scannable:
    """A deployment template of ``resources`` in a file."""
    document = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": list(resources),
    }
    file = folder / "main.json"
    file.write_text(json.dumps(document, indent=2))
    return Scannable(str(file), "arm", tuple(one["type"] for one in resources))


def sample(kind: str, name: str, change: dict[str, Any] | None = None) -> dict[str, Any]:
    """The good sample of a type, with ``change`` made to it."""
    body = {"type": kind, "apiVersion": "2024-01-01", "name": name}
    body |= copy.deepcopy(SAMPLES["types"][kind]["good"])
    for path, value in (change or {}).items():
        put(body, path.split("."), value)
    return body


def put(body: Any, path: list[str], value: Any) -> None:
    """Set or, with None, remove the value at a path."""
    for part in path[:-1]:
        body = body[int(part) if isinstance(body, list) else part]
    if value is None:
        del body[path[-1]]
    else:
        body[path[-1]] = value


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Check and resource of every finding against a template of all samples."""
    resources = [sample(kind, "good") for kind in SAMPLES["types"]]
    for check, kind, change in REFUSED:
        name = check.replace("_", "").lower()
        resources.append(sample(kind, name, change))
    findings = scan([template(tmp_path_factory.mktemp("samples"), *resources)])
    return {(finding.rule, finding.resource) for finding in findings}


@pytest.mark.parametrize(("check", "kind", "change"), REFUSED)
def test_a_check_refuses_what_it_is_for(
    check: str, kind: str, change: dict[str, Any], refused: set[tuple[str, str]]
) -> None:
    """The good sample with one thing changed."""
    name = change.get("name") or check.replace("_", "").lower()

    assert (check, f"{kind}.{name}") in refused


@pytest.mark.parametrize("kind", SAMPLES["types"])
def test_a_good_resource_is_not_refused(kind: str, refused: set[tuple[str, str]]) -> None:
    assert {check for check, resource in refused if resource == f"{kind}.good"} == set()


def test_a_good_resource_is_passed_and_not_merely_left_unjudged(tmp_path: Path) -> None:
    """checkov drops a check that cannot decide; each of these decides."""
    file = template(tmp_path, *(sample(kind, "good") for kind in SAMPLES["types"]))

    def passed() -> set[tuple[str, str]]:
        from checkov.arm.runner import Runner
        from checkov.runner_filter import RunnerFilter

        settings = RunnerFilter(framework=["arm"], show_progress_bar=False)
        report: Any = Runner().run(files=[file.file], runner_filter=settings)
        return {(record.check_id, record.resource) for record in report.passed_checks}

    expected = {(check, f"{kind}.good") for check, kind, _ in REFUSED}
    assert expected <= run_with_checkov(passed)


def test_every_check_that_applies_to_a_type_in_use_has_a_sample() -> None:
    """So that a new check of a new checkov cannot come in without one."""
    known = {(check, kind) for check, kind, _ in REFUSED}
    applying = set(run_with_checkov(lambda: list(applying_checks())))

    assert {pair for pair in applying - known if pair[0] not in SAMPLES["without_sample"]} == set()
    assert known <= applying


def applying_checks() -> Iterator[tuple[str, str]]:
    """Check and type, for the types that the rules know, of checkov's Python and graph checks."""
    from checkov.arm.registry import arm_resource_registry
    from checkov.common.checks_infra.registry import get_graph_checks_registry

    for kind in kinds.KNOWN:
        yield from ((check.id, kind) for check in arm_resource_registry.get_checks(kind))
    registry = get_graph_checks_registry("arm")
    registry.load_checks()
    for check in registry.checks:
        yield from ((check.id, kind) for kind in types_of(check) if kind in kinds.KNOWN)


def types_of(check: Any) -> set[str]:
    """The types that a graph check looks at, those of its parts included."""
    parts = [types_of(part) for part in check.sub_checks or []]
    return set(check.resource_types or []).union(*parts)
