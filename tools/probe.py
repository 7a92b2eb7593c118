"""Looks for tools and never changes anything: set-up and `doctor` share it.

Every answer is a value that says where a tool is and how it came there, or why it cannot be
used. A tool is believed only after it was run: version managers leave stand-ins on PATH that
fail when they are started.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.layout import INPUTS, Layout, marks_for

LANGUAGE_HOST = "pulumi-language-python"
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?((?:-|rc|beta)[0-9A-Za-z.-]+)?")


@dataclass(frozen=True)
class Tool:
    """What looking for one tool gave; usable exactly when ``why_not`` is empty."""

    name: str
    path: str = ""
    version: str = ""
    how: str = ""
    why_not: str = ""

    @property
    def usable(self) -> bool:
        return not self.why_not


def number(text: str) -> tuple[int, int, int]:
    """The first version in ``text``, ``(0, 0, 0)`` where there is none."""
    match = _VERSION.search(text)
    if not match:
        return (0, 0, 0)
    major, minor, patch, _ = match.groups(default="0")
    return (int(major), int(minor), int(patch))


def misfit(version: str, floor: str, ceiling: str = "") -> str:
    """Why ``version`` is not good enough, or nothing. A pre-release never is: its number
    says less than it seems to."""
    match = _VERSION.search(version)
    if not match:
        return f"says {version[:80]!r} instead of a version"
    if match[4]:
        return f"is a pre-release, {match[0]}"
    if number(version) < number(floor):
        return f"is {match[0]}, older than {floor}"
    if ceiling and number(version) >= number(ceiling):
        return f"is {match[0]}, and only versions before {ceiling} are known to work"
    return ""


def ask(
    command: Sequence[str], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """What ``command`` prints, or an OSError that says how it failed."""
    quiet = {**(os.environ if env is None else env), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(
            command, cwd=cwd, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
    except subprocess.TimeoutExpired as error:
        raise OSError("gave no answer within 60 s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else "nothing"
        raise OSError(f"does not start (exit {done.returncode}): {last[:200]}")
    return done.stdout.decode(errors="replace").strip()


def judge(name: str, path: str, asked: str, floor: str, ceiling: str) -> Tool:
    """The tool at ``path``, by what it says about itself when ``asked``, such as `--version`."""
    try:
        said = ask([path, *asked.split()])
    except OSError as error:
        return Tool(name, path, why_not=f"{path} {error}")
    why = misfit(said, floor, ceiling)
    match = _VERSION.search(said)
    version = match[0] if match else ""
    return Tool(name, path, version, "on PATH", why_not=f"{path} {why}" if why else "")


def find_uv(layout: Layout) -> Tool:
    """uv on PATH when its version is good, else the one in the cache, else why neither."""
    pins = layout.pins["uv"]
    path = shutil.which("uv")
    found = Tool("uv", why_not="no uv on PATH")
    if path:
        found = judge("uv", path, "--version", pins["floor"], pins["ceiling"])
    cached = layout.uv / "bin" / "uv"
    if not found.usable and os.access(cached, os.X_OK):
        return Tool("uv", str(cached), pins["pin"], "in the cache, from PyPI")
    return found


def beside(executable: str, name: str) -> str:
    """``name`` in the folder of ``executable``, links followed or not, else on PATH, else ''."""
    for folder in (Path(executable).parent, Path(executable).resolve().parent):
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    return shutil.which(name) or ""


def judge_pulumi(layout: Layout, path: str) -> Tool:
    """The Pulumi at ``path``, usable only together with its language host for Python."""
    pins = layout.pins["pulumi"]
    found = judge("pulumi", path, "version", pins["floor"], pins["ceiling"])
    if found.usable and not beside(found.path, LANGUAGE_HOST):
        why = f"{found.path} is good, but {LANGUAGE_HOST} is neither beside it nor on PATH"
        return Tool("pulumi", found.path, found.version, why_not=why)
    return found


def pulumi_in_cache(layout: Layout) -> Tool:
    """The Pulumi that set-up installed for this user; it is there as a whole or not at all."""
    bin_folder = layout.pulumi / "bin"
    for name in ("pulumi", LANGUAGE_HOST):
        if not os.access(bin_folder / name, os.X_OK):
            return Tool("pulumi", why_not=f"no {name} in {bin_folder}")
    how = (layout.pulumi / "origin").read_text("utf-8").strip()
    return Tool("pulumi", str(bin_folder / "pulumi"), layout.pins["pulumi"]["pin"], how)


def find_pulumi(layout: Layout) -> Tool:
    """Pulumi on PATH, else in the cache; when neither, the answer says what PATH had."""
    path = shutil.which("pulumi")
    found = judge_pulumi(layout, path) if path else Tool("pulumi", why_not="no pulumi on PATH")
    if found.usable:
        return found
    cached = pulumi_in_cache(layout)
    return cached if cached.usable else found


def find_go(floor: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Tool:
    """Go on PATH at ``floor`` or later, asked in folder ``cwd``: Go itself may fetch a newer
    toolchain there when that folder's go.mod wants one and GOTOOLCHAIN allows it."""
    path = shutil.which("go")
    if not path:
        return Tool("go", why_not=f"no go on PATH; Go {floor} or later is needed")
    try:
        said = ask([path, "version"], cwd, env)
    except OSError as error:
        return Tool("go", path, why_not=f"{path} {error}; Go {floor} or later is needed")
    why = misfit(said.replace("go version go", ""), floor)
    version = ".".join(map(str, number(said)))
    return Tool("go", path, version, "on PATH", why_not=f"{path} {why}" if why else "")


def environment_gap(layout: Layout) -> str:
    """Why `.venv` has to be made or brought up to date, or nothing when it is complete."""
    if not os.access(layout.python, os.X_OK):
        return "there is none yet" if not layout.venv.exists() else "its Python is gone"
    if not layout.marks.is_dir():
        return "it was never completed by this launcher"
    if made_for(layout) != marks_for(layout.root):
        return "it was made for another folder or another Python"
    for name in INPUTS:
        if _content(layout.marks / Path(name).name) != (layout.root / name).read_bytes():
            return f"{name} has changed since"
    return ""


def made_for(layout: Layout) -> str:
    """What the complete `.venv` was made for, in the words of `marks_for`; '' when unknown."""
    return _content(layout.marks / "for").decode(errors="replace").rstrip("\n")


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
