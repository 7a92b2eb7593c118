"""Builds programs from Go modules whose hashes are committed, and leaves nothing else behind.

A module holds a `tool` line for each program. Everything that Go fetches and caches lies in the
scratch folder of the build.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools.probe import Tool, ask
from tools.progress import Progress
from tools.work import SetupError, run

_SETTINGS = ("GOOS", "GOARCH", "GOWORK", "GO111MODULE", "GOBIN", "GOEXPERIMENT")
"""Settings of the caller's shell that would make Go build something else."""
_FOLDERS = {"GOPATH": "go", "GOMODCACHE": "mod", "GOCACHE": "cache", "GOTMPDIR": "tmp"}


def go_environment(work: Path) -> dict[str, str]:
    """Go in folders of ours, following the committed go.sum and nothing else."""
    env = {name: value for name, value in os.environ.items() if name not in _SETTINGS}
    for name, folder in _FOLDERS.items():
        (work / folder).mkdir()
        env[name] = str(work / folder)
    env["GOFLAGS"] = "-mod=readonly -modcacherw -trimpath -buildvcs=false"
    return env | {"GOWORK": "off", "CGO_ENABLED": "0"}


def require_disk(work: Path, gigabytes: int) -> None:
    """SetupError where a build would fill the disk that ``work`` is on."""
    free, needed = shutil.disk_usage(work).free, gigabytes << 30
    if free < needed:
        raise SetupError(f"{work.parent} has {free >> 20} MB free; Go needs {needed >> 20} MB")


def go_build(go: Tool, module: Path, flags: str, env: dict[str, str], progress: Progress) -> None:
    """Build every `tool` of ``module`` into ``made/bin`` beside it."""
    target = str(module.parent / "made" / "bin") + os.sep
    command = [go.path, "build", "-v", "-ldflags", f"-s -w {flags}", "-o", target, "tool"]
    run(command, progress, env, module)


def module_folder(go: Tool, module: Path, name: str, env: dict[str, str]) -> Path:
    """Where Go put the files of the module ``name``, which ``module`` depends on."""
    return Path(ask([go.path, "list", "-m", "-f", "{{.Dir}}", name], module, env))


def remove_caches(work: Path, env: dict[str, str], progress: Progress) -> None:
    """Tens of thousands of files: here the wait for them is seen, and has a reason."""
    run(["rm", "-rf", *_FOLDERS.values()], progress, env, work)
