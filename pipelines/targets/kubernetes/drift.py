"""What is in a cluster otherwise than it was rendered, and whose doing that is. Pure.

Only fields that we rendered are looked at: what others add beside them is theirs. What a rollout
or an autoscaler writes is no drift: weights, mirrors, numbers of pods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pipelines.targets.kubernetes.diff import Field, Object, below, named, told

KEYS = ("name", "type", "port", "containerPort", "mountPath", "topologyKey", "key", "alert")
"""By which items of a list are known, the first that all of them have, each another."""

QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
SUFFIXES = {
    "": Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6),
    "G": Decimal(10**9), "T": Decimal(10**12), "Ki": Decimal(2**10), "Mi": Decimal(2**20),
    "Gi": Decimal(2**30), "Ti": Decimal(2**40),
}  # fmt: skip
"""https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity"""


@dataclass(frozen=True)
class Drift:
    """A rendered field that is otherwise; ``path`` is empty where the whole object is not there.

    ``managers``: who owns the field now, as ``metadata.managedFields`` has it; often nobody does
    who took it away.
    """

    kind: str
    name: str
    path: str = ""
    wanted: Any = None
    found: Any = None
    managers: tuple[str, ...] = ()


Key = tuple[str, str]
"""Kind and name of an object."""


def drift(wanted: Sequence[Object], live: Mapping[Key, Object]) -> tuple[Drift, ...]:
    """Every field of ``wanted`` that is otherwise in ``live``, and every object missing there."""
    return tuple(each for one in wanted for each in _drift(one, live))


def _drift(one: Object, live: Mapping[Key, Object]) -> Iterator[Drift]:
    kind, name = one["kind"], one["metadata"]["name"]
    found = live.get((kind, name))
    if found is None:
        yield Drift(kind, name)
        return
    for steps, field in _differing(steady(one), steady(found)):
        managers = tuple(_managers(found, steps))
        yield Drift(kind, name, field.path, told(field.before), told(field.after), managers)


def steady(one: Object) -> dict[str, Any]:
    """``one`` without what changes while all is well."""
    spec = one.get("spec")
    if not isinstance(spec, Mapping):
        return dict(one)
    if one["kind"] == "HTTPRoute":
        rules = [_unweighted(rule) for rule in spec.get("rules") or ()]
        return {**one, "spec": {**spec, "rules": rules}}
    return {**one, "spec": {key: value for key, value in spec.items() if key != "replicas"}}


def _unweighted(rule: Mapping[str, Any]) -> dict[str, Any]:
    backends = [{**one, "weight": None} for one in rule.get("backendRefs") or ()]
    filters = [one for one in rule.get("filters") or () if one.get("type") != "RequestMirror"]
    return {**rule, "backendRefs": backends, "filters": filters}


Step = str | Mapping[str, Any]
"""A key of a mapping, or the wanted item of a list."""


def _differing(
    wanted: Any, found: Any, path: str = "", steps: tuple[Step, ...] = ()
) -> Iterator[tuple[tuple[Step, ...], Field]]:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key, one in wanted.items():
            yield from _differing(one, found.get(key), below(path, key), (*steps, key))
    elif isinstance(wanted, list) and isinstance(found, list):
        yield from _items(wanted, found, path, steps)
    elif not equal(wanted, found):
        yield steps, Field(path, wanted, found)


def _items(
    wanted: list[Any], found: list[Any], path: str, steps: tuple[Step, ...]
) -> Iterator[tuple[tuple[Step, ...], Field]]:
    """Item by item where they are known by a key: others may have added some. Else as a whole."""
    key = next((key for key in KEYS if named(wanted, key) and named(found, key)), None)
    if key:
        there = named(found, key) or {}
        for one in wanted:
            place = f"{path}[{one[key]}]"
            yield from _differing(one, there.get(one[key]), place, (*steps, one))
    elif len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _differing(one, other, f"{path}[{number}]", steps)
    elif not equal(wanted, found):
        yield steps, Field(path, wanted, found)


def equal(wanted: Any, found: Any) -> bool:
    """Whether the API server takes them for the same: quantities by what they mean, and nothing
    for what is empty."""
    if wanted == found or (wanted in (None, "", {}, []) and found in (None, "", {}, [])):
        return True
    if isinstance(wanted, str) and isinstance(found, str):
        a, b = QUANTITY.fullmatch(wanted), QUANTITY.fullmatch(found)
        return bool(a and b) and _amount(a) == _amount(b)
    return False


def _amount(found: re.Match[str] | None) -> Decimal | None:
    return found and Decimal(found[1]) * SUFFIXES[found[2] or ""]


def _managers(live: Object, steps: Sequence[Step]) -> Iterator[str]:
    """Who owns the field, or the smallest part of the object around it that anybody owns."""
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("subresource") is None and _owns(entry.get("fieldsV1") or {}, steps):
            yield str(entry["manager"])


def _owns(tree: Mapping[str, Any], steps: Sequence[Step]) -> bool:
    """Whether ``steps`` lead to a leaf of ``tree``: a leaf's owner owns all below it.

    The format: https://kubernetes.io/docs/reference/using-api/server-side-apply/
    """
    for step in steps:
        if isinstance(step, str):
            below = tree.get(f"f:{step}")
        else:
            below = next((one for key, one in tree.items() if _is_item(key, step)), None)
        if below is None:
            return False
        if not set(below) - {"."}:
            return True
        tree = below
    return False


def _is_item(key: str, item: Mapping[str, Any]) -> bool:
    """Whether ``k:{"name":"x"}`` means ``item``; what it leaves to a default is not compared."""
    if not key.startswith("k:"):
        return False
    parts = json.loads(key[2:])
    return all(item.get(name, value) == value for name, value in parts.items())


def drift_lines(found: Iterable[Drift]) -> list[str]:
    """One line each, as ``status`` shows them."""
    return [_line(one) for one in found]


def _line(one: Drift) -> str:
    if not one.path:
        return f"{one.kind}/{one.name} is missing"
    by = f", by {' and '.join(one.managers)}" if one.managers else ""
    return f"{one.kind}/{one.name} {one.path} is {_short(one.found)}, not {_short(one.wanted)}{by}"


def _short(value: Any) -> str:
    """On one line, and only its beginning; JSON has no control characters."""
    text = "not there" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
