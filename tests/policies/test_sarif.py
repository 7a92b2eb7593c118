"""Findings as SARIF 2.1.0, held against what the standard asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policies.rules.findings import Finding
from policies.sarif import FINGERPRINT, as_sarif

FINDING = Finding(
    rule="CKV_AZURE_3",
    file="infra/main one.json",
    expected="HTTPS only",
    found="HTTP as well",
    remedy="Set it.",
    line=3,
    resource="Microsoft.Storage/storageAccounts.st",
    guideline="https://www.checkov.io/",
)
FINDINGS = st.builds(
    Finding,
    rule=st.sampled_from(["A-1", "B-2", "C-3"]),
    file=st.sampled_from(["", "a.yaml", "/abs/ü b.yaml", "a%20b.json"]),
    expected=st.text(min_size=1),
    found=st.text(),
    remedy=st.text(),
    severity=st.sampled_from(["refuse", "warn"]),
    line=st.none() | st.integers(1, 9),
    resource=st.sampled_from(["", "Pod.default.a"]),
    guideline=st.sampled_from(["", "https://example.com/rule"]),
)


def run_of(document: dict[str, Any]) -> dict[str, Any]:
    """The one run of a log that has the shape of SARIF (sections 3.13 and 3.14)."""
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = document["runs"]
    return dict(run)


def require_valid(document: dict[str, Any]) -> None:
    """What the standard's schema asks of the fields that are in use, and what it cannot say."""
    run = run_of(document)
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    for rule in driver["rules"]:
        assert rule.keys() <= {"id", "shortDescription", "help", "helpUri", "defaultConfiguration"}
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note", "none")
    for result in run["results"]:
        require_valid_result(result, ids)


def require_valid_result(result: dict[str, Any], rules: list[str]) -> None:
    """Section 3.27."""
    assert rules[result["ruleIndex"]] == result["ruleId"]
    assert result["level"] in ("error", "warning", "note", "none")
    assert isinstance(result["message"]["text"], str)
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())
    for suppression in result["suppressions"]:
        assert suppression["kind"] in ("inSource", "external")
    for location in result.get("locations", ()):
        artifact = location["physicalLocation"]["artifactLocation"]
        assert artifact["uri"].isascii()
        assert " " not in artifact["uri"]
        assert artifact["uri"].startswith("file:///") != ("uriBaseId" in artifact)
        assert location["physicalLocation"].get("region", {"startLine": 1})["startLine"] >= 1


@given(st.lists(FINDINGS), st.lists(FINDINGS))
def test_it_is_valid_whatever_was_found(counting: list[Finding], hidden: list[Finding]) -> None:
    document = as_sarif(counting, [(one, "known") for one in hidden], "0.1.0")

    require_valid(document)
    assert len(run_of(document)["results"]) == len(counting) + len(hidden)


def test_a_result_leads_to_the_line_and_to_the_page_about_the_rule() -> None:
    run = run_of(as_sarif([FINDING]))
    (result,), (rule,) = run["results"], run["tool"]["driver"]["rules"]

    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "infra/main%20one.json", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 3}
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == FINDING.resource
    assert rule["helpUri"] == FINDING.guideline


def test_a_refusal_is_an_error_and_a_warning_a_warning() -> None:
    results = run_of(as_sarif([FINDING, replace(FINDING, severity="warn")]))["results"]

    assert [result["level"] for result in results] == ["error", "warning"]


def test_a_suppressed_finding_is_there_with_its_justification() -> None:
    counting, hidden = run_of(as_sarif([FINDING], [(FINDING, "until the migration")]))["results"]

    assert counting["suppressions"] == []
    assert hidden["suppressions"] == [{"kind": "external", "justification": "until the migration"}]


def fingerprints(*findings: Finding) -> list[str]:
    """Of each result."""
    results = run_of(as_sarif(findings))["results"]
    return [result["partialFingerprints"][FINGERPRINT] for result in results]


def test_a_finding_stays_the_same_when_lines_move() -> None:
    """So that whoever has closed an alert does not see it again."""
    assert fingerprints(FINDING) == fingerprints(replace(FINDING, line=40, found="HTTP"))


def test_different_findings_are_told_apart() -> None:
    """Two of the same rule about one resource as well."""
    others = (replace(FINDING, rule="X"), replace(FINDING, file="y"), replace(FINDING, resource=""))

    assert len(set(fingerprints(FINDING, FINDING, *others))) == 5
