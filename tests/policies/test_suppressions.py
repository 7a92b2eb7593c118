"""A finding is let pass by name, for a reason, until a day, and never in silence."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from policies.rules.findings import Finding, refusals
from policies.suppressions import FILE, Suppression, read_suppressions, suppress
from release.errors import BadInput

TODAY = date(2026, 11, 22)
GOOD = """\
suppressions:
  - rule: GL-AZ-GPU-003
    resource: gpu*
    reason: The first answer took nine minutes.
    until: 2027-03-31
"""

MISTAKES = [
    # the file, the line that is named, what is said of it
    (GOOD.replace("reason:", "raeson:"), 4, "suppressions[0].raeson"),
    (GOOD.replace("reason:", "raeson:"), 2, "expected reason, found none"),
    (GOOD.replace("    until: 2027-03-31\n", ""), 2, "expected until, found none"),
    (GOOD.replace("gpu*", '" "'), 2, "expected resource, found none"),
    (GOOD.replace("The first answer took nine minutes.", "because"), 4, "a reason in words"),
    (GOOD.replace("2027-03-31", "2027-11-24"), 5, "at most a year away"),
    (GOOD.replace("2027-03-31", "2027-02-30"), 5, "found 2027-02-30"),
    (GOOD.replace("2027-03-31", "for ever"), 5, "found for ever"),
    (GOOD.replace("2027-03-31", "20270331"), 2, "expected until"),
    (GOOD.replace("GL-AZ-GPU-003", "all"), 2, "a rule's id, found all"),
    ("suppressions: {}\n", 1, "a list"),
    ("suppressions: []\nothers: []\n", 1, "one key"),
    ("suppressions:\n  - gpu\n", 2, "something else"),
]


def _finding(rule: str, name: str) -> Finding:
    return Finding(rule, "infra/a.py", "e", "f", "r", resource=f"urn:pulumi:p::g::t::{name}")


def _read(tmp_path: Path, text: str) -> tuple[Suppression, ...]:
    file = tmp_path / "suppressions.yaml"
    file.write_text(text)
    return read_suppressions(file, TODAY)


@pytest.mark.parametrize(("text", "line", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(BadInput) as error:
        _read(tmp_path, text)

    assert f"suppressions.yaml:{line}:" in str(error.value)
    assert said in str(error.value)


def test_the_repositorys_own_file_is_right() -> None:
    """Today, too: an entry of it that is over is said when it is used."""
    read_suppressions(FILE, date.today())  # noqa: DTZ011 - a day of whoever runs it


def test_without_a_file_nothing_is_let_pass(tmp_path: Path) -> None:
    assert read_suppressions(tmp_path / "none.yaml", TODAY) == ()


def test_it_lets_pass_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    """Rule and resource both have to be meant."""
    meant = _finding("GL-AZ-GPU-003", "gpua100")
    others = (_finding("GL-AZ-GPU-001", "gpua100"), _finding("GL-AZ-GPU-003", "system"))

    left = suppress((meant, *others), _read(tmp_path, GOOD), TODAY)

    assert left.findings == others
    assert [one for one, _ in left.suppressed] == [meant]
    assert left.suppressed[0][1].reason == "The first answer took nine minutes."


def test_on_its_last_day_it_holds_and_on_the_next_it_does_not(tmp_path: Path) -> None:
    entries = _read(tmp_path, GOOD)
    finding = _finding("GL-AZ-GPU-003", "gpua100")

    assert suppress((finding,), entries, date(2027, 3, 31)).findings == ()
    after = suppress((finding,), entries, date(2027, 4, 1))
    assert after.suppressed == ()
    assert [one.rule for one in refusals(after.findings)] == ["GL-AZ-GPU-003", "GL-SUPPRESSION-001"]
    assert (after.findings[1].line, after.findings[1].found) == (2, "2027-03-31")


def test_one_that_covers_nothing_is_a_warning(tmp_path: Path) -> None:
    (idle,) = suppress((), _read(tmp_path, GOOD), TODAY).findings

    assert (idle.rule, idle.severity, idle.line) == ("GL-SUPPRESSION-002", "warn", 2)


def test_checkovs_own_findings_are_let_pass_the_same_way(tmp_path: Path) -> None:
    entries = _read(tmp_path, GOOD.replace("GL-AZ-GPU-003", "CKV_AZURE_4").replace("gpu*", "aks"))

    assert suppress((_finding("CKV_AZURE_4", "aks"),), entries, TODAY).findings == ()


def test_an_entry_for_manifests_is_not_said_to_be_idle(tmp_path: Path) -> None:
    """Rendered manifests lie anywhere: that none was looked at says nothing of the entry."""
    entries = _read(tmp_path, GOOD.replace("GL-AZ-GPU-003", "CKV_K8S_11"))

    assert suppress((), entries, TODAY).findings == ()
