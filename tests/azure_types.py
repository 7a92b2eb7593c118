"""Holds ARM bodies against Azure's own type definitions: what Azure would refuse, without Azure.

The definitions are laxer than Azure itself. They say what may be set, not what goes together;
numbers are all integers to them; most enums are open. So a value that is not in the list of an
open enum counts as a problem here, and a fraction is taken where an integer is asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from policies.arm.resource import UNKNOWN, ArmResource
from tests.test_definitions import definitions

Kind = Literal["definition", "unknown", "missing", "read-only", "type", "choice", "value"]
Definition = Mapping[str, Any]

UNDEFINED = frozenset(
    [
        "Microsoft.Insights/dataCollectionEndpoints",
        "Microsoft.Insights/dataCollectionRuleAssociations",
        "Microsoft.Insights/dataCollectionRules",
    ]
)
"""Types in use of which the definitions have no version at all: the one list of what is not proven.
A test holds it true: a type that gets a definition, in any version, has to leave it."""

REQUIRED, READ_ONLY = 1, 2  # bits of a property's flags


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a body, at a dotted path of it, ``[]`` for any item."""

    kind: Kind
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def problems(resource: ArmResource) -> list[str]:
    """What Azure's definition of the resource's type and version has against it."""
    return [str(flaw) for flaw in flaws(resource)]


def refused(resources: Iterable[ArmResource]) -> list[str]:
    """What Azure would refuse of a plan, one text a flaw. UNDEFINED types are not looked at."""
    return [
        f"{one.type} {one.name}: {problem}"
        for one in resources
        if one.type not in UNDEFINED
        for problem in problems(one)
    ]


def flaws(resource: ArmResource) -> list[Flaw]:
    """The same with the kind of each, for tests that look for one kind.

    Text such as "[...]" and UNKNOWN stands for text that is not known yet, and for nothing else.
    """
    types = _types(resource.type, resource.api)
    body = types and types.body(resource.type, resource.api)
    if not types or not body:
        text = f"no definition of {resource.type}@{resource.api}"
        return [Flaw("definition", resource.type, text)]
    value = {"name": resource.name.rpartition("/")[2], **resource.body}
    return list(types.check(value, body, ""))


def defined(type_: str, api: str) -> bool:
    """Whether there is a definition to hold this type and version against."""
    types = _types(type_, api)
    return types is not None and types.body(type_, api) is not None


def versions(type_: str) -> list[str]:
    """Every version of a type that there is a definition of."""
    namespace = type_.partition("/")[0].lower()
    files = sorted(definitions("azure-types").glob(f"{namespace}@*.json"))
    every = [file.stem.partition("@")[2] for file in files]
    return [api for api in every if defined(type_, api)]


def writable(type_: str, api: str) -> set[str]:
    """Paths of all that may be set in a body of this type, ``[]`` for items, ``{}`` for values."""
    types = _types(type_, api)
    body = types and types.body(type_, api)
    assert types
    assert body, f"no definition of {type_}@{api}"
    return set(types.writable(body, "", ()))


@cache
def _types(type_: str, api: str) -> Types | None:
    namespace = type_.partition("/")[0].lower()
    file = definitions("azure-types") / f"{namespace}@{api}.json"
    return Types(json.loads(file.read_text())) if file.is_file() else None


class Types:
    """One file of definitions, which refer to each other by their place in it."""

    def __init__(self, types: Sequence[Definition]) -> None:
        self._types = types
        self._bodies = {one["name"]: one["body"] for one in types if one["$type"] == "ResourceType"}

    def body(self, type_: str, api: str) -> Definition | None:
        """The definition of a resource's body; None where there is none, in just this spelling."""
        reference = self._bodies.get(f"{type_}@{api}")
        return None if reference is None else self._at(reference)

    def _at(self, reference: Mapping[str, str]) -> Definition:
        return self._types[int(reference["$ref"].removeprefix("#/"))]

    def check(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        """What ``definition`` has against ``value``, which is at ``path``."""
        check = getattr(self, "_" + _snake(definition["$type"]))
        yield from check(value, definition, path)

    def _any_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        yield from ()

    def _boolean_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        if not isinstance(value, bool):
            yield _wrong(path, "true or false", value)

    def _integer_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield _wrong(path, "a number", value)
        else:
            yield from _bounded(value, "Value", "a number", definition, path)

    def _string_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        if not isinstance(value, str):
            yield _wrong(path, "text", value)
        elif not stands_for_text(value):
            yield from _bounded(len(value), "Length", "a length", definition, path)
            pattern = definition.get("pattern")
            if pattern and not re.search(pattern, value):
                yield Flaw("value", path, f"expected text like {pattern}, found '{value}'")

    def _string_literal_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        if not isinstance(value, str):
            yield _wrong(path, "text", value)
        elif value != definition["value"] and not stands_for_text(value):
            yield Flaw("choice", path, f"expected '{definition['value']}', found '{value}'")

    def _array_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        if not isinstance(value, list):
            yield _wrong(path, "a list", value)
            return
        yield from _bounded(len(value), "Length", "a length", definition, path)
        for item in value:
            yield from self.check(item, self._at(definition["itemType"]), f"{path}[]")

    def _union_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        choices = [self._at(one) for one in definition["elements"]]
        listed = [one["value"] for one in choices if one["$type"] == "StringLiteralType"]
        if listed and isinstance(value, str):
            if value not in listed and not stands_for_text(value):
                text = f"expected one of {', '.join(listed)}, found '{value}'"
                yield Flaw("choice", path, text)
            return
        found = [list(self.check(value, one, path)) for one in choices]
        yield from min(found, key=len)

    def _object_type(self, value: Any, definition: Definition, path: str) -> Iterator[Flaw]:
        if not isinstance(value, Mapping):
            yield _wrong(path, "an object", value)
            return
        known = definition["properties"]
        yield from self._properties(value, known, path)
        others = {key: one for key, one in value.items() if key not in known and one is not None}
        extra = definition.get("additionalProperties")
        for key, one in others.items():
            if extra is None:
                text = f"unknown property, known are {', '.join(sorted(known))}"
                yield Flaw("unknown", _join(path, key), text)
            else:
                yield from self.check(one, self._at(extra), path + "{}")

    def _properties(
        self, value: Mapping[str, Any], known: Mapping[str, Any], path: str
    ) -> Iterator[Flaw]:
        for key, one in known.items():
            place = _join(path, key)
            if value.get(key) is None:
                if one["flags"] & REQUIRED and not one["flags"] & READ_ONLY:
                    yield Flaw("missing", place, "missing, and Azure asks for it")
                continue
            if one["flags"] & READ_ONLY:
                yield Flaw("read-only", place, "set, but read-only")
                if not isinstance(value[key], Mapping | list):
                    continue
            yield from self.check(value[key], self._at(one["type"]), place)

    def _discriminated_object_type(
        self, value: Any, definition: Definition, path: str
    ) -> Iterator[Flaw]:
        if not isinstance(value, Mapping):
            yield _wrong(path, "an object", value)
            return
        key = definition["discriminator"]
        chosen = value.get(key)
        if not isinstance(chosen, str) or chosen not in definition["elements"]:
            known = ", ".join(definition["elements"])
            kind: Kind = "missing" if chosen is None else "choice"
            yield Flaw(kind, _join(path, key), f"expected one of {known}, found {chosen!r}")
            return
        yield from self._object_type(value, self._element(definition, chosen), path)

    def _element(self, definition: Definition, chosen: str) -> Definition:
        element = self._at(definition["elements"][chosen])
        properties = {**definition["baseProperties"], **element["properties"]}
        return {**element, "properties": properties}

    def writable(self, definition: Definition, path: str, above: tuple[int, ...]) -> Iterator[str]:
        """Paths below ``definition`` that may be set; a type inside itself is not entered again."""
        if id(definition) in above:
            return
        above = (*above, id(definition))
        for place, one in self._below(definition, path):
            if place != path:
                yield place
            yield from self.writable(one, place, above)

    def _below(self, definition: Definition, path: str) -> Iterator[tuple[str, Definition]]:
        properties = {**definition.get("properties", {}), **definition.get("baseProperties", {})}
        for key, one in properties.items():
            if not one["flags"] & READ_ONLY:
                yield _join(path, key), self._at(one["type"])
        if definition.get("additionalProperties"):
            yield path + "{}", self._at(definition["additionalProperties"])
        if "itemType" in definition:
            yield path + "[]", self._at(definition["itemType"])
        elements = definition.get("elements", [])
        for one in elements.values() if isinstance(elements, Mapping) else elements:
            yield path, self._at(one)


def stands_for_text(value: str) -> bool:
    """Whether ``value`` is an expression, a hidden secret or not known yet."""
    return UNKNOWN in value or (value.startswith("[") and value.endswith("]"))


def _bounded(
    number: float, what: str, noun: str, definition: Definition, path: str
) -> Iterator[Flaw]:
    low, high = definition.get("min" + what), definition.get("max" + what)
    if (low is not None and number < low) or (high is not None and number > high):
        text = f"expected {noun} from {low} to {high}, found {number}"
        yield Flaw("value", path, text)


def _wrong(path: str, expected: str, value: Any) -> Flaw:
    return Flaw("type", path, f"expected {expected}, found {value!r}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
