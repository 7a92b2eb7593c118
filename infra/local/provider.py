"""What the resource does: plain functions, free to change without the engine taking note."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from release.errors import BadInput
from serving import local

_REPLACES = ("application", "environment", "folder", "keys_folder")
_ASKED = (*_REPLACES, "port", "refusal", "rate_limit")


def up(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the environment to what is asked; what the engine shall remember of it."""
    folder = Path(asked["folder"])
    settings = local.EnvironmentSettings(
        application=asked["application"],
        environment=asked["environment"],
        keys_folder=Path(asked["keys_folder"]),
        port=int(asked["port"]),  # the engine's numbers are floating point
        refusal=tuple(asked["refusal"]),
        rate_limit=_rate_limit(asked.get("rate_limit")),  # the engine leaves out what is None
    )
    return _remembered(asked, local.create(folder, settings))


def _rate_limit(asked: Mapping[str, float] | None) -> local.RateLimit | None:
    return local.RateLimit(asked["per_second"], int(asked["burst"])) if asked else None


def now(folder: str, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is there now, or None where there is nothing any more. What is damaged, or lets its
    callers in no longer, does not run: ``up`` puts it right.
    """
    try:
        facts = local.read(Path(folder))
    except BadInput:
        return {**known, "running": False}
    if facts is None:
        return None
    admits = local.admits(Path(folder), Path(known["keys_folder"]))
    return _remembered(known, facts) | {"running": facts.alive and admits}


def differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Whether anything has to be done, and which properties ask for another environment."""
    changed = [name for name in _ASKED if known.get(name) != asked.get(name)]
    replaces = [name for name in changed if name in _REPLACES]
    return bool(changed) or not known.get("running"), replaces


def down(folder: str) -> None:
    """End every process and remove every file."""
    local.destroy(Path(folder))


def _remembered(asked: Mapping[str, Any], facts: local.EnvironmentFacts) -> dict[str, Any]:
    kept = {name: asked.get(name) for name in _ASKED}  # a state may be older than a setting
    return {**kept, "address": facts.address, "running": facts.alive}
