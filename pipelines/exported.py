"""The state of a stack as ``pulumi stack export`` writes it: what is there, secrets hidden.

It is somebody's file, so everything about it is doubted: another stack's state would make each
resource look new, and a comparison with nothing finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.engine import PROJECT
from pipelines.planning import resources_of
from policies.arm.resource import ArmResource
from policies.rules.azure.values import SECRET
from release.errors import BadInput, Problem
from release.integrity import parse_json

MARK = "4dabf18193072939515e22adb298388d"
"""The engine's key of a value with a meaning of its own, such as a secret's."""

_SUBSCRIPTION = re.compile(r"/subscriptions/([^/]+)", re.IGNORECASE)


@dataclass(frozen=True)
class State:
    """A stack as it is. ``subscription`` is where it is; empty where nothing is provisioned."""

    resources: tuple[ArmResource, ...] = ()
    subscription: str = ""


def read_state(file: Path, stack: str) -> State:
    """What ``pulumi stack export --stack STACK`` wrote to ``file``.

    BadInput for a file that is not there, is no such export or is of another stack, and for a
    resource type that policies/arm/types.yaml has no row for. Values of secrets are never read.
    """
    document = _parsed(file, stack)
    deployment = document.get("deployment") if isinstance(document, dict) else None
    resources = deployment.get("resources") if isinstance(deployment, dict) else None
    if resources is None and isinstance(deployment, dict) and "manifest" in deployment:
        return State()  # a stack that holds nothing
    if not isinstance(resources, list) or not all(map(_is_resource, resources)):
        raise _refused(file, stack, "an exported stack", "something else")
    _require_own(file, stack, resources)
    there = [{**one, "inputs": _inputs(file, stack, one)} for one in resources if not _leaves(one)]
    return State(tuple(resources_of({"steps": [{"newState": one} for one in there]})),
                 _subscription(there))  # fmt: skip


def _parsed(file: Path, stack: str) -> Any:
    try:
        return parse_json(file.read_bytes())
    except OSError as error:
        raise _refused(file, stack, "a file to read", error.strerror or "none") from None
    except ValueError:  # its own words could hold what is in the file
        found = "no JSON: damaged, or encrypted as a whole"
        raise _refused(file, stack, "an exported stack", found) from None


def _is_resource(one: Any) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(key), str) for key in ("urn", "type"))


def _require_own(file: Path, stack: str, resources: Iterable[Mapping[str, Any]]) -> None:
    """BadInput where a resource is of another stack or project."""
    for one in resources:
        parts = one["urn"].removeprefix("urn:pulumi:").split("::")
        if parts[:2] != [stack, PROJECT]:
            found = f"that of '{'/'.join(reversed(parts[:2]))}'"
            raise _refused(file, stack, f"the state of '{PROJECT}/{stack}'", found)


def _inputs(file: Path, stack: str, one: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its inputs, without what is secret in them."""
    inputs = hidden(one.get("inputs") or {})
    if not isinstance(inputs, dict):
        raise _refused(file, stack, f"inputs of {one['urn']}", "that all of them are encrypted")
    return inputs


def _leaves(one: Mapping[str, Any]) -> bool:
    """Whether it was replaced and only waits to be deleted."""
    return bool(one.get("delete"))


def _subscription(resources: Iterable[Mapping[str, Any]]) -> str:
    for one in resources:
        found = _SUBSCRIPTION.match(str(one.get("id", "")))
        if found:
            return found[1]
    return ""


def hidden(value: Any) -> Any:
    """``value`` with every secret as ``[secret]``, be it encrypted or shown."""
    if isinstance(value, dict):
        if MARK in value:
            return SECRET
        return {key: hidden(one) for key, one in value.items()}
    return [hidden(one) for one in value] if isinstance(value, list) else value


def _refused(file: Path, stack: str, expected: str, found: str) -> BadInput:
    remedy = f"Write it with `pulumi stack export --stack {stack} --file {file.name}`."
    return BadInput(Problem(expected, found, remedy, file=str(file), path="--state"))
