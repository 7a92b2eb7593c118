"""What the resource does: plain functions, free to change without the engine taking note.

The shell of an environment alone is written: slots and traffic belong to rollouts, as they do in
every target. So an update here cannot touch what is live.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from manifests.folder import is_written, take_back, write_followed
from manifests.model import Rendering
from manifests.render import Rendered, followed, render_shell
from release.errors import GreenlightError
from release.integrity import canonical, sha256
from release.spec import load_spec


def shell(app: Path, environment: str) -> Rendering:
    """The environment without a slot. It has a ``kubernetes`` section."""
    spec = load_spec(app)
    settings = spec.environments[environment].kubernetes
    if settings is None:
        raise GreenlightError(f"{app}: {environment} has no kubernetes section any more")
    drain = round(spec.rollout.drain_seconds)
    return Rendering(spec.name, environment, settings, slots=(), drain_seconds=drain)


def digest(rendering: Rendering) -> str:
    """SHA-256 of all that is rendered: the engine sees by it that something changed."""
    return sha256(canonical({one.file: one.text for one in _in_folder(rendering)}))


def write(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder; what the engine shall remember of it."""
    write_followed(_rendered(asked), Path(asked["folder"]))
    return {**asked, "written": True}


def now(known: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is there now, or None where the folder is gone. Files that somebody changed are not
    what was written: they are written again.
    """
    folder = Path(known["folder"])
    if not folder.is_dir():
        return None
    try:
        written = is_written(_rendered(known), folder)
    except GreenlightError:
        written = False  # the application is gone or broken: the program says so
    return {**known, "written": written}


def differences(known: Mapping[str, Any], asked: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Whether anything has to be done, and which properties ask for another folder."""
    changed = [key for key in ("folder", "app", "environment", "digest")
               if known.get(key) != asked.get(key)]  # fmt: skip
    return bool(changed) or not known.get("written"), [one for one in changed if one == "folder"]


def remove(known: Mapping[str, Any]) -> None:
    """Take away what was written; what rollouts or people wrote stays."""
    take_back(Path(known["folder"]))


def _rendered(asked: Mapping[str, Any]) -> tuple[Rendered, ...]:
    return _in_folder(shell(Path(asked["app"]), asked["environment"]))


def _in_folder(rendering: Rendering) -> tuple[Rendered, ...]:
    """A controller follows the folder, whether or not ``llm.yaml`` has ``git``."""
    return followed(render_shell(rendering))
