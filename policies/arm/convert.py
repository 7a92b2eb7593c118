"""From what azure-native was told to what Azure Resource Manager is told.

Rules, limits and checkov all judge Azure's own shape, so the one place that knows the difference
is this one, with its table (policies/arm/types.yaml).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource, Source
from policies.arm.table import GROUP, Shape, row

_SCHEMA = "https://schema.management.azure.com/schemas/{}#"
_GROUP_LEVEL = _SCHEMA.format("2019-04-01/deploymentTemplate.json")
_SUBSCRIPTION_LEVEL = _SCHEMA.format("2018-05-01/subscriptionDeploymentTemplate.json")

_HOME = "Microsoft.Resources/resourceGroups"
_DEPLOYMENTS = "Microsoft.Resources/deployments"
_DEPLOYMENTS_API = "2022-09-01"

_LEVEL = re.compile(r"/subscriptions/[^/]+(?:/resourceGroups/([^/]+))?", re.IGNORECASE)
"""What an id begins with; the whole of it where a scope is a subscription or a group."""


def to_arm(
    token: str,
    inputs: Mapping[str, Any],
    *,
    urn: str = "",
    source: Source | None = None,
    depends_on: Sequence[str] = (),
) -> ArmResource:
    """The ARM resource of a Pulumi type ``token`` with azure-native's ``inputs`` (camelCase).

    A part of the name that the program leaves to azure-native is UNKNOWN. Raises BadInput for a
    type without a row in the table.
    """
    shape = row(token, urn, source)
    given = {**shape.constant, **inputs}
    rest = {key: value for key, value in given.items() if key not in shape.address}
    return ArmResource(
        type=shape.arm,
        api=shape.api,
        name="/".join(str(given.get(part, UNKNOWN)) for part in shape.name),
        body=_shaped(rest, shape),
        token=token,
        urn=urn,
        source=source,
        depends_on=tuple(depends_on),
        scope=shape.scope.format_map(defaultdict(lambda: UNKNOWN, given)),
        group="" if GROUP in shape.name else str(given.get(GROUP, "")),
    )


def _shaped(value: Any, shape: Shape) -> Any:
    """``value`` as Azure takes it. What is no object, such as UNKNOWN, stays what it is."""
    if isinstance(value, list):
        return [_shaped(item, shape) for item in value]
    if not isinstance(value, Mapping):
        return value
    result: dict[str, Any] = {}
    for key, one in value.items():
        if key not in shape.dropped:
            _put(result, shape.path(key), _below(key, one, shape))
    return result


def _below(key: str, value: Any, shape: Shape) -> Any:
    if key in shape.keyed and isinstance(value, list):
        return {str(item): {} for item in value}
    return _shaped(value, shape.nested[key]) if key in shape.nested else value


def _put(result: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for key in path[:-1]:
        result = result.setdefault(key, {})
    result[path[-1]] = value


def template(resources: Sequence[ArmResource]) -> dict[str, Any]:
    """A template that ``az deployment`` and checkov take; text that looks like ARM's is escaped.

    Group-level where all resources lie in one resource group. Else subscription-level: groups and
    what hangs on the subscription stand at the top, what lies in a group in a nested deployment
    of the group's name, which waits for all that any of its resources waits for. Values that a
    preview hides (UNKNOWN, "[secret]") stay as they are, to be filled in before a deployment.
    """
    by_urn = {resource.urn: resource for resource in resources if resource.urn}
    groups = sorted({_group(resource) for resource in resources})
    if len(groups) <= 1 and "" not in groups:
        return _document(_GROUP_LEVEL, [_entry(one, *_waits(one, by_urn)) for one in resources])
    top = [_entry(one, *_waits(one, by_urn)) for one in resources if not _group(one)]
    nested = [_deployment(group, resources, by_urn) for group in groups if group]
    return _document(_SUBSCRIPTION_LEVEL, [*top, *nested])


def _document(schema: str, entries: Sequence[Any]) -> dict[str, Any]:
    return {"$schema": schema, "contentVersion": "1.0.0.0", "resources": entries}


def _group(resource: ArmResource) -> str:
    """The resource group that ``resource`` is deployed to, or "" for the subscription."""
    match = _LEVEL.match(resource.scope)
    return resource.group or ((match and match.group(1)) or "")


def _hangs(resource: ArmResource) -> bool:
    """Whether it hangs on a resource, not on the level that it is deployed to."""
    return bool(resource.scope) and not _LEVEL.fullmatch(resource.scope)


def _entry(resource: ArmResource, *waits: Sequence[str]) -> dict[str, Any]:
    depends = [one for some in waits for one in some]
    return {
        "type": resource.type,
        "apiVersion": resource.api,
        "name": _literal(resource.name),
        **({"scope": _literal(resource.scope)} if _hangs(resource) else {}),
        **_literal(resource.body),
        **({"dependsOn": depends} if depends else {}),
    }


def _deployment(
    group: str, plan: Sequence[ArmResource], by_urn: Mapping[str, ArmResource]
) -> dict[str, Any]:
    """The nested deployment of all that lies in ``group``."""
    members = [(one, *_waits(one, by_urn)) for one in plan if _group(one) == group]
    homes = [_id(one) for one in plan if not _group(one) and (one.type, one.name) == (_HOME, group)]
    outside = dict.fromkeys(wait for _, _, beyond in members for wait in beyond)
    inner = _document(_GROUP_LEVEL, [_entry(one, beside) for one, beside, _ in members])
    return {
        "type": _DEPLOYMENTS,
        "apiVersion": _DEPLOYMENTS_API,
        "name": group,
        "resourceGroup": group,
        "properties": {
            "mode": "Incremental",
            "expressionEvaluationOptions": {"scope": "inner"},
            "template": inner,
        },
        "dependsOn": list(dict.fromkeys((*homes, *outside))),
    }


def _waits(resource: ArmResource, by_urn: Mapping[str, ArmResource]) -> tuple[list[str], list[str]]:
    """Ids of what ``resource`` waits for: in its own deployment, and beyond it."""
    here = _group(resource)
    others = [by_urn[urn] for urn in dict.fromkeys(resource.depends_on) if urn in by_urn]
    beside = [_id(one) for one in others if _group(one) == here]
    beyond = [_deployed_by(one) for one in others if _group(one) != here]
    return beside, list(dict.fromkeys(beyond))


def _deployed_by(resource: ArmResource) -> str:
    """The id of what stands for ``resource`` at the top of the template."""
    group = _group(resource)
    call = f"resourceId({_quoted(group)}, '{_DEPLOYMENTS}', {_quoted(group)})"
    return f"[{call}]" if group else _id(resource)


def _id(resource: ArmResource) -> str:
    """An expression for the id of ``resource``, to be read in its own deployment."""
    parts = ", ".join(map(_quoted, (resource.type, *resource.name.split("/"))))
    if _hangs(resource):
        return f"[extensionResourceId({_scope_id(resource.scope)}, {parts})]"
    return f"[resourceId({parts})]" if _group(resource) else f"[subscriptionResourceId({parts})]"


def _scope_id(scope: str) -> str:
    kind, _, name = scope.rpartition("/")
    relative = kind and not scope.startswith("/")
    return f"resourceId({_quoted(kind)}, {_quoted(name)})" if relative else _quoted(scope)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(value: Any) -> Any:
    """``value`` so that ARM takes no text in it for an expression."""
    if isinstance(value, Mapping):
        return {key: _literal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_literal(one) for one in value]
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        return "[" + value
    return value
