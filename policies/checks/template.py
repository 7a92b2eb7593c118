"""The resources of a deployment template in a file, as the rules judge them.

checkov puts defaults in the place of parameters wherever it finds them, in nested templates those
of the outer one, and tells a child nothing of its grandparents. So the file is read here: types
and names in full, each expression in its own scope, and what only a deployment can know as UNKNOWN.
Syntax: https://learn.microsoft.com/azure/azure-resource-manager/templates/syntax
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource, spelled
from policies.rules.azure import kinds
from policies.rules.azure.credentials import holds_credential
from policies.rules.azure.values import SECRET, is_unknown, value_in

Path = tuple[str | int, ...]
Held = tuple[Path, ArmResource]
"""A resource, and the keys that lead to it from the entry at the template's top."""

DEPLOYMENTS = "microsoft.resources/deployments"
BESIDE = frozenset({"type", "apiVersion", "name", "dependsOn", "scope", "resources", "metadata"})
"""Keys of an entry that are no part of the resource's body."""

_SPELLED = {kind.lower(): kind for kind in kinds.KNOWN}
_REFERENCE = re.compile(r"\[\s*(parameters|variables)\(\s*'([^']+)'\s*\)((?:\.\w+)*)\s*\]", re.I)
_DEEPEST = 5
"""Variables that name variables; more may be a circle, or made to take for ever."""


@dataclass(frozen=True)
class _Scope:
    """What expressions may name, by lower-case name; Azure tells no case apart."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)

    def value(self, given: Any, depth: int = 0) -> Any:
        """``given`` with each expression as what it stands for, or UNKNOWN."""
        if isinstance(given, Mapping):
            return {**{k: self.value(v, depth) for k, v in given.items()}, **_copied(given)}
        if isinstance(given, list):
            return [self.value(one, depth) for one in given]
        if not isinstance(given, str) or not (given.startswith("[") and given.endswith("]")):
            return given
        return given[1:] if given.startswith("[[") else self._named(given, depth)

    def _named(self, expression: str, depth: int) -> Any:
        """The parameter or variable that ``expression`` is; all else is not computed here."""
        said = _REFERENCE.fullmatch(expression)
        if said is None or depth > _DEEPEST:  # a literal in it is seen by a rule all the same
            return expression if holds_credential(expression) else UNKNOWN
        table = self.parameters if said[1].lower() == "parameters" else self.variables
        value = self.value(table.get(said[2].lower(), UNKNOWN), depth + 1)
        return reduce(_below, said[3].split(".")[1:], value)


def _get(given: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """What ``given`` has under ``name`` in any case, as Azure reads a template."""
    key = spelled(given, name)
    return default if key is None else given[key]


def _below(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return _get(value, key, UNKNOWN)
    return SECRET if value == SECRET else UNKNOWN


def _copied(given: Mapping[str, Any]) -> dict[str, Any]:
    """Properties that a loop makes: how often is said by an expression."""
    loops = _get(given, "copy")
    named = loops if isinstance(loops, list) else []
    return {str(_get(one, "name")): UNKNOWN for one in named if isinstance(one, Mapping)}


def entries(template: Mapping[str, Any]) -> list[tuple[Held, ...]]:
    """What each entry at the template's top holds: itself first, then all that is nested in it.

    Only an entry that nests a whole template stands for nothing else. A parameter stands for its
    default; one without is UNKNOWN, a secure one SECRET.
    """
    scope = _scope(template, {})
    return [tuple(_held(one, (), scope, None)) for _, one in _listed(_get(template, "resources"))]


def _listed(resources: Any) -> list[tuple[str | int, Any]]:
    """The resources of a template or an entry with their keys: symbolic names, or places."""
    if isinstance(resources, Mapping):
        return list(resources.items())
    return list(enumerate(resources)) if isinstance(resources, list) else []


def _held(entry: Any, path: Path, scope: _Scope, parent: ArmResource | None) -> Iterator[Held]:
    given = entry if isinstance(entry, Mapping) else {}
    one = _resource(given, scope, parent)
    template = one.at("properties.template")
    if one.type.lower() == DEPLOYMENTS and isinstance(template, Mapping):
        yield from _deployed(given, path, scope)
    else:
        yield path, one
    for key, child in _listed(_get(given, "resources")):
        yield from _held(child, (*path, "resources", key), scope, one)


def _deployed(entry: Mapping[str, Any], path: Path, outer: _Scope) -> Iterator[Held]:
    """What a nested template makes."""
    template = value_in(entry, "properties.template")
    chosen = value_in(entry, "properties.expressionEvaluationOptions.scope", "")
    inner = str(chosen).lower() == "inner"
    given = outer.value(value_in(entry, "properties.parameters", {}))
    scope = _scope(template, given if isinstance(given, Mapping) else {}) if inner else outer
    for key, one in _listed(_get(template, "resources")):
        yield from _held(one, (*path, "properties", "template", "resources", key), scope, None)


def _scope(template: Mapping[str, Any], given: Mapping[str, Any]) -> _Scope:
    """The names of ``template``, whose parameters are ``given`` as ``{name: {value: ...}}``."""
    told = {name.lower(): one for name, one in given.items() if isinstance(one, Mapping)}
    parameters = {
        name.lower(): _parameter(one, told.get(name.lower(), {}))
        for name, one in _mapping(template, "parameters").items()
        if isinstance(one, Mapping)
    }
    variables = _mapping(template, "variables")
    return _Scope(
        parameters, {k.lower(): v for k, v in {**variables, **_copied(variables)}.items()}
    )


def _mapping(template: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = _get(template, key)
    return found if isinstance(found, Mapping) else {}


def _parameter(declared: Mapping[str, Any], told: Mapping[str, Any]) -> Any:
    if spelled(told, "value"):
        return _escaped(_get(told, "value"))
    default = _get(declared, "defaultValue", UNKNOWN)
    secure = str(_get(declared, "type", "")).lower().startswith("secure")
    return _escaped(SECRET) if secure and is_unknown(default) else default


def _escaped(value: Any) -> Any:
    """A value that is resolved already, so that no scope takes it for an expression again."""
    text = isinstance(value, str) and value.startswith("[") and value.endswith("]")
    return f"[{value}" if text else value


def _resource(entry: Mapping[str, Any], scope: _Scope, parent: ArmResource | None) -> ArmResource:
    kind, name = str(entry.get("type", "")), str(scope.value(entry.get("name", UNKNOWN)))
    if parent is not None and "." not in kind.partition("/")[0]:
        kind, name = f"{parent.type}/{kind}", f"{parent.name}/{name}"
    return ArmResource(
        type=_SPELLED.get(kind.lower(), kind),
        api=str(entry.get("apiVersion", "")),
        name=name,
        body={k: v for k, v in scope.value(entry).items() if k not in BESIDE},
        scope=str(scope.value(entry.get("scope", ""))),
    )
