"""What an Azure stack's settings have in common, whichever module they are in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AliasGenerator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

Size = Annotated[str, StringConstraints(pattern=r"^Standard_[A-Za-z0-9_]+$")]
Cidr = Annotated[str, StringConstraints(pattern=r"^\d{1,3}(\.\d{1,3}){3}/\d{1,2}$")]


class Setting(BaseModel):
    """What every group of settings has in common: frozen, strict, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=True, allow_inf_nan=False,
        alias_generator=AliasGenerator(alias=to_camel),
    )  # fmt: skip


def repeated(values: Iterable[str]) -> int | None:
    """The index of the first of ``values`` that was there before."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            return index
        seen.add(value)
    return None
