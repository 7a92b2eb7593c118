"""Who may call, and what each may do. Keys are known here only by their SHA-256."""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

SCHEME = "bearer "


class Rate(BaseModel):
    """``per_second`` requests in the long run, and up to ``burst`` of them at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    per_second: Annotated[float, Field(gt=0)]
    burst: Annotated[int, Field(ge=1)]


class Caller(BaseModel):
    """One key's holder. A tester may pin a slot and watch; an operator also turns the weights."""

    model_config = ConfigDict(frozen=True)

    name: str
    role: Literal["user", "tester", "operator"]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    rate: Rate | None = None
    """Of requests to the application; without it there is no limit."""

    @property
    def may_pin(self) -> bool:
        return self.role != "user"

    @property
    def may_watch(self) -> bool:
        return self.role != "user"

    @property
    def may_operate(self) -> bool:
        return self.role == "operator"


class Callers(BaseModel):
    """``callers.json``."""

    model_config = ConfigDict(frozen=True)

    callers: tuple[Caller, ...]

    @field_validator("callers")
    @classmethod
    def _one_each(cls, callers: tuple[Caller, ...]) -> tuple[Caller, ...]:
        for field in ("name", "sha256"):
            if len({getattr(caller, field) for caller in callers}) < len(callers):
                raise ValueError(f"a {field} of its own for each caller")
        return callers

    def find(self, authorization: str) -> Caller | None:
        """The caller whose key stands in ``authorization``, or None.

        Every caller is compared, in constant time, so that the time taken tells nothing.
        """
        if not authorization.lower().startswith(SCHEME):
            return None
        key = authorization[len(SCHEME) :].strip()
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
        matches = [c for c in self.callers if hmac.compare_digest(c.sha256, digest)]
        return matches[0] if matches else None
