"""The stack's settings, read in one place.

| setting | meaning | default |
|---|---|---|
| greenlight:target | what the stack provisions: local, azure | none: an unknown target is refused |
| greenlight:app | local: the application's folder, absolute or from the checkout | none |
| greenlight:with | local: files laid over llm.yaml, one a line | none |
| greenlight:azure | azure: the platform, see docs/azure-settings.md | none |
| greenlight:gitops | app, folder, environments: what GitOps applies, see docs/gitops.md | none |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from release.documents import Document, dotted, read_document
from release.errors import BadInput, Problem
from release.stack_keys import require_known_keys

if TYPE_CHECKING:
    from infra.azure.settings import AzureSettings

ROOT = Path(__file__).resolve().parent.parent
STACKS = ROOT / "infra/stacks"
TARGETS = ("local", "azure")
AZURE = ("config", "greenlight:azure")
LOOK_IT_UP = "docs/azure-settings.md says what each setting takes."


@dataclass(frozen=True)
class StackSettings:
    """What a local stack is told. Paths are absolute."""

    app: Path
    changes: tuple[Path, ...]


def parse_target(target: str) -> str:
    """The target, or BadInput for one that is not known."""
    if target in TARGETS:
        return target
    remedy = "Other targets are not provisioned by this version."
    raise BadInput(Problem(" or ".join(TARGETS), repr(target), remedy, path="greenlight:target"))


def parse_local(app: str, changes: str, root: Path = ROOT) -> StackSettings:
    """A local stack's settings from their texts. BadInput for a missing folder."""
    folder = (root / app).resolve()
    if not folder.is_dir():
        raise BadInput(
            Problem(
                path="greenlight:app",
                expected="the folder of an application",
                found=str(folder),
                remedy="Give a path that exists, absolute or from the checkout.",
            )
        )
    lines = tuple((root / line).resolve() for line in changes.splitlines() if line)
    return StackSettings(folder, lines)


def read_azure(value: Mapping[str, Any], file: Path) -> AzureSettings:
    """An Azure stack's settings as the engine gives them; ``file`` is where they were written.

    BadInput with file, line and path for everything that is wrong with them.
    """
    from pydantic import ValidationError

    from infra.azure.settings import AzureSettings
    from release.complaints import complaints

    try:
        return AzureSettings.model_validate_json(json.dumps(value))
    except ValidationError as error:
        written = _written(value, file)
        raise BadInput(*complaints(written, AzureSettings, error, LOOK_IT_UP)) from None


def require_settings(file: Path, today: date) -> None:
    """BadInput where the Azure stack of ``file`` cannot be planned ``today``: before an engine is
    started, and in the words of this program.
    """
    document = read_document(file)
    require_known_keys(document)
    config = document.value.get("config") or {}
    value = config.get(AZURE[-1])
    if not isinstance(value, dict):
        _, line = document.place(AZURE)
        found = "nothing" if value is None else repr(value)
        remedy = f"Write them below it. {LOOK_IT_UP}"
        raise BadInput(
            Problem("the settings of the platform", found, remedy, str(file), line, AZURE[-1])
        )
    require_days_ahead(read_azure(value, file), value, file, today)


def require_days_ahead(
    settings: AzureSettings, value: Mapping[str, Any], file: Path, today: date
) -> None:
    """BadInput for a connection whose key has expired: nothing could read it."""
    for index, one in enumerate(settings.connections):
        if one.expires >= today.isoformat():
            continue
        path = ("connections", index, "expires")
        written, line = _written(value, file).place(path)
        expected, remedy = f"{today} or later", "Renew the key, and write the day of the new one."
        raise BadInput(Problem(expected, one.expires, remedy, written, line, dotted(path)))


def require_own_domain(settings: AzureSettings, value: Mapping[str, Any], file: Path) -> None:
    """BadInput for a reserved ``mlDomain``: nobody can have a certificate for it.

    For `up` alone: the stacks of the repository name such a one, and are previewed as they are.
    """
    from infra.azure.settings import RESERVED

    domain = settings.cluster.ml_domain if settings.cluster else ""
    if not RESERVED.search(domain):
        return
    written, line = _written(value, file).place(("cluster", "mlDomain"))
    remedy = "Name the domain of the certificate in the secret greenlight-inference-tls."
    raise BadInput(
        Problem(
            "a domain of your own",
            f"{domain}, which is reserved for examples",
            remedy,
            file=written,
            line=line,
            path="greenlight:azure.cluster.mlDomain",
        )
    )


def _written(value: Mapping[str, Any], file: Path) -> Document:
    """``value`` with the lines of ``file``, as far as it stands there."""
    try:
        places = read_document(file).places
    except (BadInput, OSError):
        places = {}
    inner = {path[len(AZURE) :]: at for path, at in places.items() if path[: len(AZURE)] == AZURE}
    return Document(dict(value), inner or {(): (str(file), 1)})
