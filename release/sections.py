"""What the sections of ``llm.yaml`` are made of: how strict each is, and the small types."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z](?:-?[a-z0-9])+$", max_length=31)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,63}$")]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
"""RFC 1123, as names of namespaces and of most objects have to be."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Share = Annotated[float, Field(ge=0, le=1)]

LONGEST_NAME = 255  # bytes of one name in a path; what Linux's and macOS's file systems take


def inside(value: str) -> str:
    """``value``, a path inside the application's folder; ValueError for any other."""
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value:
        raise ValueError("must be a path inside the application's folder, with forward slashes")
    if not value.isprintable() or any(len(one.encode()) > LONGEST_NAME for one in path.parts):
        raise ValueError("must be a path that a file system can hold")
    return value


FilePath = Annotated[str, StringConstraints(min_length=1, max_length=300), AfterValidator(inside)]


RECORDED = "recorded"
"""The context in which a section is read that was accepted before, and by which something runs."""


def _as_it_was(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    return value if info.context == RECORDED else check(value)


TIGHTENED = WrapValidator(_as_it_was)
"""On a value of which an earlier version took more than this one: what was taken then and is
``RECORDED`` is read as it was, or what runs by it could be neither brought back nor removed."""


class Section(BaseModel):
    """What every section has in common: frozen, strict, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
