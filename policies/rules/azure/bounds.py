"""What the platform allows: the settings that rules need, apart from the resource itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policies.rules.findings import Severity
from release.documents import Document, dotted, read_document
from release.errors import BadInput, Problem

AZURE = "greenlight:azure"
IMAGES = "greenlight:imageRegistries"
MODELS = "greenlight:modelRegistries"


@dataclass(frozen=True)
class Slots:
    """What the pipeline deploys to a managed endpoint: the size of its machines, and where to."""

    size: str
    slots: tuple[str, ...] = ("blue", "green")


@dataclass(frozen=True)
class Bounds:
    """What a stack may be.

    ``regions`` are Azure's names of the regions that data may be in. ``images`` are the hosts that
    container images may come from, ``models`` the Azure ML registries of catalog models.
    ``private``: everything is reached through private endpoints alone. ``instead`` are the other
    environments, for what could be deployed to any of several. ``slots`` are those of the
    applications that have a managed endpoint, by name.
    """

    environment: str
    regions: tuple[str, ...]
    private: bool = True
    images: tuple[str, ...] = ("mcr.microsoft.com",)
    models: tuple[str, ...] = ("azureml",)
    instead: tuple[str, ...] = ()
    slots: Mapping[str, Slots] = field(default_factory=dict)

    @property
    def environments(self) -> tuple[str, ...]:
        """What a resource may say that it belongs to."""
        return (self.environment, *self.instead)

    @property
    def production(self) -> bool:
        """Whether customers depend on it."""
        return self.environment == "production"

    @property
    def when_private(self) -> Severity:
        """A way in from outside stops a private stack, and is shown in one that is not."""
        return "refuse" if self.private else "warn"

    @property
    def when_production(self) -> Severity:
        """What keeps a service up stops a production stack, and is shown in the others."""
        return "refuse" if self.production else "warn"


def strictest(stacks: Mapping[str, Bounds]) -> Bounds:
    """The bounds of what could be deployed to any of ``stacks``, by name: what all of them allow,
    and what one of them asks. It may belong to any of their environments.

    BadInput where they allow nothing in common.
    """
    held = sorted(stacks.values(), key=lambda one: not one.production)
    environment, *others = dict.fromkeys(one.environment for one in held)
    return Bounds(
        environment=environment,
        regions=_common(stacks, "regions"),
        private=any(one.private for one in held),
        images=_common(stacks, "images"),
        models=_common(stacks, "models"),
        instead=tuple(others),
    )


def _common(stacks: Mapping[str, Bounds], what: str) -> tuple[str, ...]:
    first, *others = (getattr(one, what) for one in stacks.values())
    common = tuple(one for one in first if all(one in other for other in others))
    if not common:
        remedy = "Say with --stack which of them the templates are for."
        expected = f"{what} that {', '.join(stacks)} all allow"
        raise BadInput(Problem(expected, "none", remedy, path=what))
    return common


def read_bounds(file: Path) -> Bounds:
    """The bounds in a stack's settings file. BadInput with file and line when they are not there.

    | setting | meaning | default |
    |---|---|---|
    | greenlight:azure: environment | production is held to more | none |
    | greenlight:azure: allowedLocations | regions that data may be in | none |
    | greenlight:azure: network.private | no way in but private endpoints | true |
    | greenlight:azure: applications | slots of managed endpoints are watched | none |
    | greenlight:imageRegistries | hosts that images may come from | mcr.microsoft.com |
    | greenlight:modelRegistries | Azure ML registries of catalog models | azureml |
    """
    document = read_document(file)
    return _bounds(document, ("config",))


def bounds_of(config: Mapping[str, Any]) -> Bounds:
    """The bounds in a stack's settings as the engine gives them. BadInput as ``read_bounds``."""
    return _bounds(Document({"config": dict(config)}), ("config",))


def _bounds(document: Document, at: tuple[str, ...]) -> Bounds:
    azure = (*at, AZURE)
    return Bounds(
        environment=_text(document, (*azure, "environment")),
        regions=_texts(document, (*azure, "allowedLocations"), ()),
        private=_flag(document, (*azure, "network", "private")),
        images=_texts(document, (*at, IMAGES), Bounds.images),
        models=_texts(document, (*at, MODELS), Bounds.models),
        slots=_slots(_value(document, (*azure, "applications"))),
    )


def _slots(applications: Any) -> dict[str, Slots]:
    """Those of managed endpoints; the settings' own model says what is wrong with them."""
    named = [one for one in applications or () if isinstance(one, Mapping)]
    shells = [(str(one.get("name", "")), one.get("endpoint")) for one in named]
    return {
        name: Slots(
            str(shell.get("instanceType", "")), tuple(map(str, shell.get("slots", Slots.slots)))
        )
        for name, shell in shells
        if isinstance(shell, Mapping) and shell.get("kind", "managed") == "managed"
    }


def _value(document: Document, path: tuple[str, ...]) -> Any:
    value: Any = document.value
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(document: Document, path: tuple[str, ...]) -> str:
    value = _value(document, path)
    if not isinstance(value, str) or not value:
        raise _wrong(document, path, "a name", value)
    return value


def _texts(document: Document, path: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    """A list of names, not an empty one; absent, the default, if that is one."""
    value = _value(document, path)
    if value is None and default:
        return default
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise _wrong(document, path, "a list of names", value)
    return tuple(value)


def _flag(document: Document, path: tuple[str, ...]) -> bool:
    value = _value(document, path)
    if value is not None and not isinstance(value, bool):
        raise _wrong(document, path, "true or false", value)
    return value is not False


def _wrong(document: Document, path: tuple[str, ...], expected: str, found: Any) -> BadInput:
    file, line = document.place(path)
    remedy = "Rules cannot judge without it: write it into the stack's settings."
    said = "nothing" if found is None else repr(found)
    at = line if file else None  # what the engine tells has no lines
    return BadInput(Problem(expected, said, remedy, file=file, line=at, path=dotted(path)))
