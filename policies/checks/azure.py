"""The rules as checks of checkov's ARM framework, for deployment templates.

checkov fails open: it swallows what a check raises, drops what it finds against names that it
cannot render, and obeys comments. Here a rule that raises fails its resource and is remembered, as
is every question that checkov asked: ``confirm`` misses those that it did not. What is judged is
what ``template`` reads, for checkov's own reading is not whole.

Rules over a whole plan are not here: a file is a part of what is deployed, so that what it lacks
may be in another. The gate asks them of a stack's plan.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from policies.arm.resource import ArmResource, Source, spelled
from policies.checks.template import Held, entries
from policies.gate import judge_resource
from policies.rules.azure import rules
from policies.rules.azure.bounds import Bounds
from policies.rules.findings import Finding
from policies.rules.rule import EVERY, Rule
from release.errors import GreenlightError

if TYPE_CHECKING:
    from checkov.arm.base_resource_check import BaseResourceCheck
    from checkov.common.models.enums import CheckResult


@dataclass(frozen=True)
class Door:
    """The checks that were registered, and what came of them: what the rules found, by file and
    line, and how often checkov asked each about each file.
    """

    ids: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    _asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    _read: dict[str, list[tuple[Held, ...]]] = field(default_factory=dict)

    def ask(self, rule: Rule, file: str, entry: Mapping[str, Any]) -> bool:
        """Whether ``rule`` has something against the next of the entries at the top of ``file``,
        which is ``entry``, or against what is nested in it.
        """
        if "parent_name" in entry:  # checkov shows again what is nested in an entry
            return False
        held = self._entries(file)[self._asked[rule.id, file]]
        self._asked[rule.id, file] += 1
        found = [one for each in held for one in _answers(rule, file, entry, *each)]
        self.findings.extend(found)
        return bool(found)

    def confirm(self, files: Iterable[str] = ()) -> None:
        """GreenlightError unless checkov holds every check, asked each about all that is at the
        top of ``files``, and no rule fell over.
        """
        wrong = [f"checkov does not hold {one}" for one in sorted(set(self.ids) - registered())]
        wrong += [str(one) for one in self.findings if one.rule not in self.ids]
        for file in files if self.ids else ():
            there = len(self._entries(file))
            missed = [one for one in self.ids if self._asked[one, file] != there]
            wrong += [f"checkov did not ask {one} about all of {file}" for one in missed]
        if wrong:
            raise GreenlightError(f"Nothing passes on rules without an answer: {'; '.join(wrong)}")

    def _entries(self, file: str) -> list[tuple[Held, ...]]:
        if file not in self._read:
            self._read[file] = entries(json.loads(Path(file).read_text("utf-8-sig")))
        return self._read[file]


@contextmanager
def opened(bounds: Bounds | None) -> Iterator[Door]:
    """The door while checkov runs; closed, without a rule, where there are no bounds."""
    door = Door() if bounds is None else register(bounds)
    try:
        yield door
    finally:
        if door.ids:
            unregister(door.ids)


def register(bounds: Bounds, asked: tuple[Rule, ...] | None = None) -> Door:
    """Make a check of every rule and register it; run ``Door.confirm`` after the scan.

    A rule that is registered already is replaced, so that other bounds hold. Costs checkov's
    import, about a second.
    """
    asked = rules(bounds) if asked is None else asked
    door = Door(tuple(rule.id for rule in asked))
    unregister(door.ids)
    for rule in asked:
        _check(rule, door)
    door.confirm()
    return door


def registered() -> set[str]:
    """The ids of all checks that checkov's ARM framework holds."""
    from checkov.arm.registry import arm_resource_registry

    return {check.id for _, check in arm_resource_registry.all_checks()}


def unregister(ids: tuple[str, ...]) -> None:
    """Take checks out of checkov's registries for ARM and Bicep, which share them."""
    from checkov.arm.registry import arm_resource_registry
    from checkov.bicep.checks.resource.registry import registry as bicep_registry

    for registry in (arm_resource_registry, bicep_registry):
        for table in (registry.checks, registry.wildcard_checks):
            for entity in list(table):
                table[entity] = [check for check in table[entity] if check.id not in ids]


def _answers(
    rule: Rule, file: str, entry: Any, path: tuple[str | int, ...], resource: ArmResource
) -> tuple[Finding, ...]:
    placed = replace(resource, source=Source(file, _line(entry, path)))
    return judge_resource(placed, (rule,))


def _line(entry: Any, path: tuple[str | int, ...]) -> int | None:
    """The line at which checkov saw what ``path`` leads to, or the nearest thing around it."""
    line = None
    for key in (None, *path):
        entry = entry if key is None else _step(entry, key)
        line = entry.get("__startline__", line) if isinstance(entry, Mapping) else line
    return None if line is None else max(1, int(line))


def _step(entry: Any, key: str | int) -> Any:
    """What is under ``key``, which an entry may spell in another case."""
    return entry[spelled(entry, key) or key] if isinstance(key, str) else entry[key]


def _check(rule: Rule, door: Door) -> BaseResourceCheck:
    """The rule as a check; to make one registers it."""
    from checkov.arm.base_resource_check import BaseResourceCheck
    from checkov.common.models.enums import CheckCategories, CheckResult

    class RuleCheck(BaseResourceCheck):
        def __init__(self) -> None:
            super().__init__(
                name=rule.title,
                id=rule.id,
                categories=[CheckCategories.CONVENTION],
                # checkov compares types as they are written, and a child's without its parents'
                supported_resources=EVERY,
                guideline=rule.source,
            )

        def run(self, scanned_file: str, *about: Any, **named: Any) -> Any:
            # A comment that says to skip it has no expiry, and so does not reach it.
            self.file = scanned_file
            return super().run(scanned_file, *about, **{**named, "skip_info": {}})

        def scan_resource_conf(self, conf: dict[str, Any]) -> CheckResult:
            found = door.ask(rule, self.file, conf)
            return CheckResult.FAILED if found else CheckResult.PASSED

    return RuleCheck()
