"""Reading a value as Azure will take it: absent means Azure's default, unknown is never fine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource, spelled
from policies.rules.findings import shown

Check = Callable[[ArmResource], str | None]

SECRET = "[secret]"  # noqa: S105 - how the engine shows a value that it keeps secret
_ABSENT = object()


def is_unknown(value: Any) -> bool:
    """Whether ``value`` is not known yet: in a preview, or an expression of a template."""
    if not isinstance(value, str):
        return False
    return value == UNKNOWN or (value.startswith("[") and value.endswith("]") and value != SECRET)


def value_at(resource: ArmResource, path: str, default: Any = None) -> Any:
    """The value at ``path``; UNKNOWN where it, or anything around it, is not known yet."""
    return value_in(resource.body, path, default)


def value_in(body: Any, path: str, default: Any = None) -> Any:
    """As ``value_at``, in a part of a body."""
    value = body
    for part in path.split("."):
        if is_unknown(value):
            return UNKNOWN
        key = spelled(value, part) if isinstance(value, Mapping) else None
        if key is None:
            return default
        value = value[key]
    if value is None:
        return default
    return UNKNOWN if is_unknown(value) else value


def items_at(resource: ArmResource, path: str) -> list[Any]:
    """The list at ``path``; one UNKNOWN where it is not known yet, empty where there is none."""
    value = value_at(resource, path, [])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return [UNKNOWN]


def is_true(path: str, *, default: bool = False) -> Check:
    """Finds anything but true at ``path``; ``default`` is what Azure takes an absent one for."""
    return equals(path, True, default=default)


def is_false(path: str, *, default: bool = False) -> Check:
    """Finds anything but false at ``path``."""
    return equals(path, False, default=default)


def equals(path: str, *allowed: Any, default: Any = None) -> Check:
    """Finds a value at ``path`` that is none of ``allowed``; texts are told apart without case."""
    wanted = [_plain(one) for one in allowed]

    def check(resource: ArmResource) -> str | None:
        value = value_at(resource, path, _ABSENT)
        taken = default if value is _ABSENT else value
        if type(taken) in {type(one) for one in allowed} and _plain(taken) in wanted:
            return None
        return said(path, value, default)

    return check


def differs(path: str, *refused: str, default: str = "") -> Check:
    """Finds a value at ``path`` that is one of ``refused``, or not known yet."""
    unwanted = [one.lower() for one in refused]

    def check(resource: ArmResource) -> str | None:
        value = value_at(resource, path, _ABSENT)
        taken = default if value is _ABSENT else value
        if isinstance(taken, str) and taken != UNKNOWN and taken.lower() not in unwanted:
            return None
        return said(path, value, default)

    return check


def present(path: str) -> Check:
    """Finds an absent, empty or unknown value at ``path``."""

    def check(resource: ArmResource) -> str | None:
        value = value_at(resource, path, _ABSENT)
        return said(path, value) if value in (_ABSENT, UNKNOWN, "", [], {}) else None

    return check


def all_of(*checks: Check) -> Check:
    """Finds what the first of ``checks`` finds that finds something."""
    return lambda resource: next((found for one in checks if (found := one(resource))), None)


def where(condition: Callable[[ArmResource], bool], check: Check) -> Check:
    """``check`` for the resources that ``condition`` holds for; nothing for others."""
    return lambda resource: check(resource) if condition(resource) else None


def said(path: str, value: Any, default: Any = None) -> str:
    """What was found at ``path``, for a finding. Not for values that could be secret."""
    name = path.removeprefix("properties.")
    if value is _ABSENT:
        return f"no {name}" + ("" if default is None else f", which is {_shown(default)} to Azure")
    return f"{name} that is not known yet" if value == UNKNOWN else f"{name}: {_shown(value)}"


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else shown(str(value))


def _plain(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
