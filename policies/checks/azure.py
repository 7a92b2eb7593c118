"""The rules as checks of checkov's ARM framework, for plans in the form of a template.

checkov fails open: it swallows what a check raises, skips a folder without ``__init__.py``, and
goes on when a module of checks does not import. Here a rule that raises fails its resource and is
remembered, and a folder that does not load whole raises.

Rules over a whole plan are not here, for checkov asks resource by resource: the gate asks them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from policies.arm.resource import ArmResource
from policies.gate import crashed
from policies.rules.azure import rules
from policies.rules.azure.bounds import Bounds
from policies.rules.findings import Finding
from policies.rules.rule import Rule
from release.errors import BadInput, Problem

if TYPE_CHECKING:
    from checkov.arm.base_resource_check import BaseResourceCheck
    from checkov.common.models.enums import CheckResult

TEMPLATE = ("type", "apiVersion", "name", "dependsOn")
"""What stands beside a resource's body in a template."""


@dataclass(frozen=True)
class Door:
    """The checks that were registered, and the findings of rules that fell over while they ran."""

    ids: tuple[str, ...]
    crashes: list[Finding] = field(default_factory=list)

    def confirm(self) -> None:
        """Raise RuntimeError unless checkov holds every check, and no rule fell over."""
        missing = sorted(set(self.ids) - registered())
        if missing or self.crashes:
            raise RuntimeError("; ".join([*missing, *map(str, self.crashes)]))


def register(bounds: Bounds, asked: tuple[Rule, ...] | None = None) -> Door:
    """Make a check of every rule and register it; run ``Door.confirm`` after the scan.

    A rule that is registered already is replaced, so that other bounds hold. Costs checkov's
    import, about a second.
    """
    asked = rules(bounds) if asked is None else asked
    door = Door(tuple(rule.id for rule in asked))
    unregister(door.ids)
    for rule in asked:
        _check(rule, door.crashes)
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


def resource_of(entry: Mapping[str, Any]) -> ArmResource:
    """The resource of a template's entry, without the lines that checkov writes into it."""
    body = {k: v for k, v in _plain(entry).items() if k not in TEMPLATE}
    scope = str(body.pop("scope", ""))
    kind, api, name = (str(entry.get(key, "")) for key in TEMPLATE[:3])
    return ArmResource(type=kind, api=api, name=name, body=body, scope=scope)


def load_folder(folder: Path) -> tuple[str, ...]:
    """Import the checks in ``folder`` and say what they registered.

    BadInput when the folder is none, has no ``__init__.py``, holds a module that does not import,
    or one that registers nothing: each of them would be a check that never runs.
    """
    if not (folder / "__init__.py").is_file():
        raise BadInput(_unloaded(folder, "a folder of checks with __init__.py", "none"))
    modules = [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]
    if not modules:
        raise BadInput(_unloaded(folder, "at least one module of checks", "none"))
    return tuple(check for file in modules for check in _load(file))


def _load(file: Path) -> tuple[str, ...]:
    """The ids that the module in ``file`` registered."""
    before = registered()
    name = f"greenlight_checks_{file.stem}"  # its own name could be that of a package
    loader = SourceFileLoader(name, str(file))
    module = ModuleType(loader.name)
    module.__file__ = str(file)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except Exception as error:
        raise BadInput(_unloaded(file, "checks that import", type(error).__name__)) from error
    new = tuple(sorted(registered() - before))
    if not new:
        raise BadInput(_unloaded(file, "a check that is registered", "none"))
    return new


def _unloaded(place: Path, expected: str, found: str) -> Problem:
    return Problem(expected, found, "checkov would skip it and pass.", file=str(place))


def _plain(value: Any) -> Any:
    """``value`` in Python's own types, without ``__startline__`` and its like."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if not str(k).startswith("__")}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _check(rule: Rule, crashes: list[Finding]) -> BaseResourceCheck:
    """The rule as a check; to make one registers it."""
    from checkov.arm.base_resource_check import BaseResourceCheck
    from checkov.common.models.enums import CheckCategories, CheckResult

    class RuleCheck(BaseResourceCheck):
        def __init__(self) -> None:
            super().__init__(
                name=rule.title,
                id=rule.id,
                categories=[CheckCategories.CONVENTION],
                supported_resources=list(rule.types),
                guideline=rule.source,
            )

        def scan_resource_conf(self, conf: dict[str, Any]) -> CheckResult:
            resource = resource_of({**conf, "type": self.entity_type})
            try:
                finding = rule.judge(resource)
            except Exception as error:  # checkov would take it for an answer
                finding = crashed(rule, resource, error)
                crashes.append(finding)
            self.details = [str(finding)] if finding else []
            return CheckResult.FAILED if finding else CheckResult.PASSED

    return RuleCheck()
