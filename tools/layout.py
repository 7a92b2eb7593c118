"""Where things are and which versions they should have: read once, passed around.

Kept apart from the looking and the installing, so that both agree on every path.
"""

from __future__ import annotations

import os
import platform
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INPUTS = ("uv.lock", "pyproject.toml", "tools/pins.toml")
"""Files of the checkout that decide what `.venv` holds. The launcher compares the same three."""


@dataclass(frozen=True)
class Layout:
    """One checkout on one machine: its folders, the user's tool cache, the pinned versions."""

    root: Path
    tools: Path
    pins: dict[str, Any]

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def marks(self) -> Path:
        """Written last, as a whole: its presence says that `.venv` is complete, and for what."""
        return self.venv / ".greenlight"

    @property
    def uv(self) -> Path:
        return self.tools / f"uv-{self.pins['uv']['pin']}"

    @property
    def pulumi(self) -> Path:
        pins = self.pins["pulumi"]
        return self.tools / f"pulumi-{pins['pin']}-r{pins['recipe']}"


def read_layout(root: Path) -> Layout:
    """The layout of the checkout at ``root`` for the user who runs this."""
    pins = tomllib.loads((root / "tools" / "pins.toml").read_text("utf-8"))
    return Layout(root, _cache_home() / "greenlight" / "tools", pins)


def _cache_home() -> Path:
    """$XDG_CACHE_HOME, which counts only when absolute (XDG Base Directory), or ~/.cache."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"


def platform_key() -> str:
    """This machine in the words of Pulumi's release files, such as ``linux-x64``."""
    machine = platform.machine().lower()
    names = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
    return f"{platform.system().lower()}-{names.get(machine, machine)}"


def marks_for(root: Path) -> str:
    """What `.venv` was made for besides the inputs: this place (its scripts and the editable
    install name it) and the Python that was asked for. The launcher compares the same line."""
    return f"{root}|{os.environ.get('GREENLIGHT_PYTHON', '')}"
