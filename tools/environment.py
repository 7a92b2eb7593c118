"""Makes `.venv` from the committed lock file, with uv.

One environment for all commands, development tools included: the same checkout answers
`ship` and `test`, and a change from one to the other must not install anything.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

from tools.layout import INPUTS, Layout, marks_for
from tools.probe import Tool, ask, environment_gap, find_uv, made_for
from tools.progress import Progress
from tools.work import SetupError, locked, place, run, scratch

_FOREIGN = ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_PROJECT", "UV_PYTHON")
"""Settings of the caller's shell that would make uv work on some other environment."""


def provide_environment(layout: Layout, progress: Progress) -> None:
    """Bring `.venv` to what the lock file says; the caller holds the checkout's lock.

    An environment of ours is updated in place. Any other, such as one that a killed run left
    half-made, is made anew: nothing tells which of its packages are whole."""
    if not environment_gap(layout):
        return
    uv = provide_uv(layout, progress)
    keep = _is_ours(layout)
    shutil.rmtree(layout.marks, ignore_errors=True)
    if not keep:
        with progress.step(f"making .venv with Python {platform.python_version()}"):
            wanted = ["--seed", "--clear", "--python", sys.executable, str(layout.venv)]
            _run_uv(layout, uv, progress, "venv", *wanted)
    with progress.step("installing the locked packages into .venv"):
        _run_uv(layout, uv, progress, "sync", "--frozen")
    _require_pip(layout)
    _write_marks(layout)


def provide_uv(layout: Layout, progress: Progress) -> Tool:
    """A good uv: the one that is there, else one from PyPI in the user's cache."""
    found = find_uv(layout)
    if found.usable:
        return found
    with locked(layout.tools, "installing tools", progress):
        found = find_uv(layout)  # the run that held the lock may have installed it
        if not found.usable:
            with progress.step(f"installing uv {layout.pins['uv']['pin']} ({found.why_not})"):
                _install_uv(layout, progress, found.why_not)
    return find_uv(layout)


def _install_uv(layout: Layout, progress: Progress, why_not: str) -> None:
    with scratch(layout.tools) as work:
        try:
            _pip_install(layout, work, progress)
            ask([str(work / "env" / "bin" / "uv"), "--version"])
        except (SetupError, OSError) as error:
            floor = layout.pins["uv"]["floor"]
            raise SetupError(
                f"uv is missing and could not be installed. On this machine: {why_not}. "
                f"From PyPI: {error}\n"
                f"Put uv {floor} or later on PATH, or make PyPI reachable "
                "(PIP_INDEX_URL names a mirror)."
            ) from error
        (work / "made" / "bin").mkdir(parents=True)
        (work / "env" / "bin" / "uv").rename(work / "made" / "bin" / "uv")
        place(work / "made", layout.uv)


def _pip_install(layout: Layout, work: Path, progress: Progress) -> None:
    """uv into ``work/env``. A target folder is open to us even where the system's Python is
    externally managed (PEP 668); where pip is missing, a virtual environment brings its own."""
    wanted = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=2"]
    wanted += ["-r", str(layout.root / "tools" / "uv.txt")]
    python, target = sys.executable, ["--no-user", "--target", str(work / "env")]
    if importlib.util.find_spec("pip") is None:
        run([python, "-m", "venv", str(work / "env")], progress, os.environ, work)
        python, target = str(work / "env" / "bin" / "python"), []
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", *target, *wanted]
    run(install, progress, os.environ, work)


def _run_uv(layout: Layout, uv: Tool, progress: Progress, *arguments: str) -> None:
    env = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    env["UV_PYTHON_DOWNLOADS"] = "never"  # its interpreters are not a registry's
    env["UV_NO_PROGRESS"] = "1"
    env.setdefault("UV_SYSTEM_CERTS", "true")  # as Python and Go do: a company's proxy has its own
    try:
        run([uv.path, *arguments], progress, env, layout.root)
    except SetupError as error:
        raise SetupError(
            f".venv could not be made: {error}\n"
            "Nothing half-made is used: the next run starts again. The packages come from PyPI, "
            "at the addresses in uv.lock; HTTPS_PROXY names a proxy."
        ) from error


def _is_ours(layout: Layout) -> bool:
    """Whether `.venv` was completed here before, for the same Python, and still has one."""
    return os.access(layout.python, os.X_OK) and made_for(layout) == marks_for(layout.root)


def _require_pip(layout: Layout) -> None:
    """Pulumi's language host runs `python -m pip list`, and fails obscurely without it."""
    if not any(layout.venv.glob("lib/python*/site-packages/pip")):
        raise SetupError(f"{layout.venv} came out without pip: `uv venv --seed` should bring it")


def _write_marks(layout: Layout) -> None:
    """Say that `.venv` is complete: the last act, and a single rename."""
    made = Path(tempfile.mkdtemp(dir=layout.venv, prefix=".marks-"))
    for name in INPUTS:
        shutil.copyfile(layout.root / name, made / Path(name).name)
    (made / "for").write_text(marks_for(layout.root) + "\n", "utf-8")
    place(made, layout.marks)
