"""How azure-native's inputs differ from what Azure takes, as a committed table: types.yaml.

azure-native lifts ``properties`` to the top, renames some keys and takes some objects as lists.
None of that is in Azure's own definitions, so each row is written down, and proven by the tests
that convert every input of the SDK and hold the result against those definitions
(docs/decisions/0008-arm-table.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from string import Formatter
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from policies.arm.resource import Source
from release.errors import BadInput, Problem

GROUP = "resourceGroupName"
"""The input that every resource in a group has."""

_FILE = Path(__file__).with_name("types.yaml")


class Shape(BaseModel):
    """How one object of inputs becomes Azure's. All names are keys of this object, not paths.

    ``top``: what stays beside ``properties`` while all else goes below it; None where nothing is
    flattened. ``renamed``: Azure's key, or the keys down to it. ``keyed``: lists that Azure takes
    as the keys of an object. ``dropped``: what Azure is not told. ``nested``: shapes of the
    objects below, the items of lists included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    top: tuple[str, ...] | None = None
    renamed: Mapping[str, str | tuple[str, ...]] = {}
    keyed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    nested: Mapping[str, Shape] = {}

    def path(self, key: str) -> tuple[str, ...]:
        """The keys down to where Azure has the input ``key``."""
        name = self.renamed.get(key, key)
        path = (name,) if isinstance(name, str) else name
        return path if self.top is None or key in self.top else ("properties", *path)


class Row(Shape):
    """One resource type. ``name``: the inputs that make its name, parents first.

    ``scope``: the id that an extension resource hangs on, with inputs in braces. ``constant``:
    inputs that azure-native fills in where the program is silent.
    """

    arm: str
    api: str
    name: tuple[str, ...]
    scope: str = ""
    constant: Mapping[str, Any] = {}

    @cached_property
    def address(self) -> frozenset[str]:
        """The inputs that say where the resource is, and are no part of its body."""
        scope = (name for _, name, _, _ in Formatter().parse(self.scope) if name)
        return frozenset((GROUP, *self.name, *self.dropped, *scope))


def row(token: str, urn: str = "", source: Source | None = None) -> Row:
    """The row of a Pulumi type such as ``azure-native:storage:StorageAccount``.

    Raises BadInput, which names the resource ``urn`` at ``source``, for a type without a row.
    """
    found = _rows().get(token)
    if found is None:
        raise BadInput(_missing(token, urn, source))
    return found


def tokens() -> tuple[str, ...]:
    """The Pulumi types that have a row."""
    return tuple(_rows())


@cache
def _rows() -> Mapping[str, Row]:
    document = yaml.load(_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {token: Row.model_validate(row) for token, row in document["types"].items()}


def _missing(token: str, urn: str, source: Source | None) -> Problem:
    return Problem(
        expected="a resource type that policies/arm/types.yaml has a row for",
        found=f"'{token}'",
        remedy=(
            f"Add a row '{token}' to it with arm, api and name, and what its inputs are "
            "flattened and renamed to; tests/policies/arm hold it against Azure's own definitions"
        ),
        file=source.file if source else "",
        line=source.line if source else None,
        path=urn,
    )
