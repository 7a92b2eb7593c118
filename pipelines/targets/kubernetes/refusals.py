"""What the API server answers when it does not do what it was asked: each as its own error.

Statuses are read as https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status
has them. Nothing of what was sent is in a message: it may hold a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pipelines.targets.base import PlatformError
from release.errors import Waiting

UNKNOWN_FIELD = "typed patch object"
"""In the message of a server-side apply with a field that is in no schema. Its status is 500."""

OWNER = re.compile(r'conflict with "([^"]+)"')


class ApiError(PlatformError):
    """The API server did not do it."""


class UnreachableError(ApiError):
    """It does not answer, and did not for as long as was waited."""


class OwnedError(ApiError):
    """Fields belong to another field manager, who is named: ``owners``."""

    def __init__(self, message: str, owners: frozenset[str] = frozenset()) -> None:
        super().__init__(message)
        self.owners = owners


class ChangedError(ApiError):
    """Somebody changed the object since it was read, or made it first."""


class MissingError(ApiError):
    """What it should be in, its namespace or its kind, is not there, or is about to go."""


class FullError(ApiError, Waiting):
    """A quota of the namespace is used up: nothing failed, something has to make room."""


class DeniedError(ApiError):
    """Whoever asks may not, or an admission webhook or policy said no."""


class InvalidError(ApiError):
    """The object cannot be: a field is wrong, or may not change any more."""


def refusal(status: int, body: str, what: str) -> ApiError:
    """The error for an answer of ``status`` with ``body``; ``what`` was being done."""
    found = _status(body)
    message = str(found.get("message") or body.strip()[:300] or f"HTTP status {status}")
    if _is_owned(status, found):
        owners = _owners(found)
        lines = "; ".join(f"{field} belongs to {owner}" for field, owner in owners)
        return OwnedError(f"{what}: {lines}. {_OWNED}", frozenset(owner for _, owner in owners))
    for kind, holds, remedy in _TABLE:
        if holds(status, message):
            return kind(f"{what}: {message}. {remedy}")
    return ApiError(f"{what}: the API server answered {status}: {message}")


def _is_owned(status: int, found: Mapping[str, Any]) -> bool:
    return status == 409 and any(
        cause.get("reason") == "FieldManagerConflict" for cause in _causes(found)
    )


def _is_full(status: int, message: str) -> bool:
    return status == 403 and "exceeded quota" in message


def _is_admission(status: int, message: str) -> bool:
    return "admission webhook" in message or "AdmissionPolicy" in message


def _is_denied(status: int, message: str) -> bool:
    return status in (401, 403)


def _is_missing(status: int, message: str) -> bool:
    return status == 404


def _is_going(status: int, message: str) -> bool:
    return status == 403 and "is being terminated" in message


def _is_unanswered(status: int, message: str) -> bool:
    return "failed calling webhook" in message


def _is_changed(status: int, message: str) -> bool:
    return status == 409


def _is_invalid(status: int, message: str) -> bool:
    return status in (400, 422) or UNKNOWN_FIELD in message


_OWNED = "Let one of the two manage it: take the field out of theirs, or out of ours by a patch"
_TABLE = (
    (FullError, _is_full, "Raise the quota, or retire something in that namespace"),
    (MissingError, _is_going, "Somebody deletes it; when it is gone, run again"),
    (ApiError, _is_unanswered, "What the webhook asks has to answer; then run again"),
    (DeniedError, _is_admission, "Do as it says, or ask whoever keeps the cluster"),
    (DeniedError, _is_denied, "Ask whoever keeps the cluster for the right"),
    (MissingError, _is_missing, "Make it, or say in llm.yaml where it is"),
    (ChangedError, _is_changed, "Somebody else writes it at the same time; run again"),
    (InvalidError, _is_invalid, "A field that may not change needs another name for the object"),
)  # fmt: skip


def _owners(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each field with the manager that owns it."""
    owned = []
    for cause in _causes(found):
        owner = OWNER.search(str(cause.get("message", "")))
        owned.append((str(cause.get("field", "a field")), owner[1] if owner else "somebody"))
    return owned


def _causes(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = found.get("details") or {}
    return list(details.get("causes") or ())


def _status(body: str) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
