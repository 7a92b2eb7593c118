"""Provides the programs of a Kubernetes cluster for the tests: the real ones, where they can be.

A cluster that is made of stand-ins accepts what a real one refuses. What is on PATH comes first,
then the user's cache, then a build from Go modules by committed hashes, which takes minutes,
once. No release is downloaded: six programs of three makers would be as many checksums to keep
for every platform, for what the module proxy gives as well.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.golang import go_build, go_environment, module_folder, remove_caches, require_disk
from tools.layout import Layout, read_layout
from tools.probe import Tool, find_go, judge
from tools.progress import Progress
from tools.work import SetupError, locked, place, scratch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GO = "1.26.0"  # the `go` line of every module here

_VERSION_OF_KUBERNETES = " ".join(
    f"-X {package}.{name}={value}"
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    for name, value in (("gitVersion", "v1.36.3"), ("gitMajor", "1"), ("gitMinor", "36"))
)


@dataclass(frozen=True)
class Part:
    """Programs that are built together, from the Go module in the folder ``name`` beside this
    file. ``ceiling`` is the first version on PATH that is too new; "" asks nothing of PATH.
    """

    name: str
    version: str
    programs: Mapping[str, str]
    """Each with the arguments that make it say its version."""
    ceiling: str = ""
    flags: str = ""
    disk_gb: int = 2
    recipe: int = 1

    def folder(self, layout: Layout) -> Path:
        """Where it lies in the user's cache, whole or not at all."""
        return layout.tools / f"{self.name}-{self.version}-r{self.recipe}"


KUBERNETES = Part(
    "kubernetes",
    "1.36.3",
    {
        "kube-apiserver": "--version",
        "kube-controller-manager": "--version",
        "kube-scheduler": "--version",
        "kubectl": "version --client",
    },
    ceiling="1.37",
    flags=_VERSION_OF_KUBERNETES,
    disk_gb=8,
)
ETCD = Part("etcd", "3.6.8", {"etcd": "--version"}, ceiling="3.7")
KWOK = Part("kwok", "0.8.0", {"kwok": "--version"})
"""Never from PATH: the files that tell it what nodes and pods do come only with its module."""
PARTS = (KUBERNETES, ETCD, KWOK)

PROMETHEUS = Part("prometheus", "0.313.5", {"prometheus": "-version"})
"""Never from PATH: it is a program of ours, around Prometheus' own libraries."""

KUBECONFORM = Part(
    "kubeconform",
    "0.8.0",
    {"kubeconform": "-v"},
    ceiling="0.9",
    flags="-X main.version=v0.8.0",
    disk_gb=1,
)


@dataclass(frozen=True)
class Programs:
    """The path of every program, by its name, and kwok's folder of stages."""

    paths: Mapping[str, str]
    stages: Path


def provide(progress: Progress) -> Programs:
    """Every program of a cluster. SetupError says which could not be had, and why."""
    layout = read_layout(ROOT)
    layout.tools.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {name: path for part in PARTS for name, path in _part(part, layout, progress).items()}
    return Programs(found, KWOK.folder(layout) / "stages")


def provide_prometheus(progress: Progress) -> str:
    """The path of the tests' Prometheus. SetupError where it could not be had."""
    return _alone(PROMETHEUS, progress)


def provide_kubeconform(progress: Progress) -> str:
    """The path of kubeconform. SetupError where it could not be had."""
    return _alone(KUBECONFORM, progress)


def _alone(part: Part, progress: Progress) -> str:
    """The one program of ``part``, built only for who asks for it."""
    layout = read_layout(ROOT)
    layout.tools.mkdir(mode=0o700, parents=True, exist_ok=True)
    return _part(part, layout, progress)[part.name]


def provide_kubectl(progress: Progress) -> str:
    """Any kubectl on PATH, for a cluster of any version; else the one of the tests."""
    return shutil.which("kubectl") or provide(progress).paths["kubectl"]


def _part(part: Part, layout: Layout, progress: Progress) -> Mapping[str, str]:
    found, why_not = _on_path(part)
    cached = _in_cache(part, layout)
    if found or cached:
        return found or cached
    with locked(layout.tools, "installing tools", progress):
        if not (cached := _in_cache(part, layout)):
            progress.say(f"{part.name}, on PATH: {why_not}. Next: a build from Go modules.")
            with scratch(layout.tools) as work:
                _build(part, layout, work, progress)
        return cached or _in_cache(part, layout)


def _on_path(part: Part) -> tuple[Mapping[str, str], str]:
    """All programs of ``part``, or none and the reason."""
    if not part.ceiling:
        return {}, "not looked for"
    floor = part.version.rpartition(".")[0]
    found = {}
    for name, asked in part.programs.items():
        path = shutil.which(name)
        if not path:
            return {}, f"no {name}"
        tool = judge(name, path, asked, floor, part.ceiling)
        if not tool.usable:
            return {}, tool.why_not
        found[name] = path
    return found, ""


def _in_cache(part: Part, layout: Layout) -> Mapping[str, str]:
    paths = {name: str(part.folder(layout) / "bin" / name) for name in part.programs}
    return paths if all(os.access(path, os.X_OK) for path in paths.values()) else {}


def _build(part: Part, layout: Layout, work: Path, progress: Progress) -> None:
    """Fill a folder, try what is in it, and only then give it its name."""
    module, made = work / "module", work / "made"
    shutil.copytree(HERE / part.name, module)
    (made / "bin").mkdir(parents=True)
    env = go_environment(work)
    go = find_go(GO, module, env)
    if not go.usable:
        raise SetupError(f"{part.name} cannot be built: {go.why_not}")
    require_disk(work, part.disk_gb)
    with progress.step(f"building {part.name} {part.version} with Go {go.version}, once"):
        go_build(go, module, part.flags, env, progress)
        _finish(part, go, module, env)
        remove_caches(work, env, progress)
    _try(part, made)
    (made / "origin").write_text(f"built from Go modules with Go {go.version}\n", "utf-8")
    place(made, part.folder(layout))


def _finish(part: Part, go: Tool, module: Path, env: dict[str, str]) -> None:
    """What Go leaves to do: etcd's program is named after its folder, `server`; kwok's stages
    are data."""
    made = module.parent / "made"
    if part is ETCD:
        (made / "bin" / "server").rename(made / "bin" / "etcd")
    if part is KWOK:
        source = module_folder(go, module, "sigs.k8s.io/kwok", env) / "kustomize" / "stage"
        shutil.copytree(source, made / "stages", copy_function=shutil.copyfile)


def _try(part: Part, made: Path) -> None:
    for name, asked in part.programs.items():
        tool = judge(name, str(made / "bin" / name), asked, part.version, "")
        if not tool.usable:
            raise SetupError(f"{part.name} was built, and does not work: {tool.why_not}")


def main() -> int:
    """Build what is missing before a run of the tests needs it."""
    paths = {**provide(Progress()).paths, "prometheus": provide_prometheus(Progress())}
    for name, path in paths.items():
        sys.stdout.write(f"{name} {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
