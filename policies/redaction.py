"""A plan as it may be shown and kept: without what a program or a template said in the clear.

That it did is a finding, and the finding's remedy is to revoke the secret. The plan is written to
files and pull requests all the same, so the secret is taken out of it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from policies.arm.resource import ArmResource
from policies.arm.table import row, tokens
from policies.rules.azure.credentials import REDACTED, without_credentials
from policies.rules.azure.secrets import is_plain_secret

_PROPERTIES = ("inputs", "outputs")
_STATES = ("newState", "oldState")


def redacted(resource: ArmResource) -> ArmResource:
    """``resource`` with every secret that can be read as ``<redacted>``."""
    return replace(
        resource,
        name=without_credentials(resource.name),
        scope=without_credentials(resource.scope),
        body=_without(resource.body, resource.type),
    )


def redacted_plan(engine: Mapping[str, Any]) -> dict[str, Any]:
    """The engine's plan likewise: each state by its type, all else by what looks like a secret."""
    steps = [_step(one) for one in engine.get("steps", ())]
    cleaned: dict[str, Any] = _cleaned({**engine, "steps": steps})
    return cleaned


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    states = {key: _state(step[key]) for key in _STATES if isinstance(step.get(key), Mapping)}
    return {**step, **states}


def _state(state: Mapping[str, Any]) -> dict[str, Any]:
    token = state.get("type", "")
    kind = row(token).arm if token in tokens() else ""
    kept = {key: _without(state[key], kind) for key in _PROPERTIES if key in state}
    return {**state, **kept}


def _without(value: Any, kind: str, path: str = "") -> Any:
    """``value``, which stands at ``path`` of a ``kind``, without secrets; lists as their items."""
    if isinstance(value, Mapping):
        return {
            without_credentials(str(key)): _without(one, kind, f"{path}.{key}" if path else key)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without(one, kind, path) for one in value]
    if not isinstance(value, str):
        return value
    # Pulumi lifts what Azure has below ``properties``: the place is the same.
    places = (path, f"properties.{path}")
    secret = any(is_plain_secret(kind, place, value) for place in places)
    return REDACTED if secret else without_credentials(value)


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {without_credentials(str(key)): _cleaned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one) for one in value]
    return without_credentials(value) if isinstance(value, str) else value
