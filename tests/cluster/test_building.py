"""Where the programs of the tests' cluster come from: PATH, the cache, Go modules."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest

from tests.cluster.building import (
    ETCD,
    GO,
    HERE,
    KUBECONFORM,
    KUBERNETES,
    PARTS,
    PROMETHEUS,
    Part,
    Programs,
    provide,
    provide_prometheus,
)
from tools.progress import Progress
from tools.work import SetupError

GO_STAND_IN = """\
case $1 in
version) echo go version go1.26.8 linux/amd64 ;;
list) echo "$MACHINE/kwok" ;;
build)
    echo "$GOFLAGS GOMODCACHE=$GOMODCACHE" >>"$MACHINE/builds"
    while [ "$1" != -o ]; do shift; done
    read -r _ module <go.mod
    cp "$MACHINE/made/${module##*/}"/* "$2" ;;
esac
"""


class Machine:
    """A machine with an empty cache, and with nothing on PATH but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "bin"
        self.tools = folder / "cache" / "greenlight" / "tools"
        self.bin.mkdir()
        for name in ("cp", "rm", "sh"):
            (self.bin / name).symlink_to(str(shutil.which(name)))

    def have(self, part: Part, version: str) -> None:
        """Every program of ``part`` on PATH, and what each says about itself."""
        for name in part.programs:
            write(self.bin / name, f"echo {name} v{version}")

    def go(self) -> None:
        """A Go on PATH that copies what it would build."""
        write(self.bin / "go", GO_STAND_IN)
        for part in (*PARTS, PROMETHEUS):
            for name in part.programs:
                file = "server" if part is ETCD else name
                write(self.folder / "made" / part.name / file, f"echo {name} v{part.version}")
        write(self.folder / "kwok" / "kustomize" / "stage" / "pod" / "fast" / "ready.yaml", "")

    def provide(self) -> tuple[Programs, str]:
        """The programs, and what was said meanwhile."""
        said = io.StringIO()
        return provide(Progress(said)), said.getvalue()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(made.bin))
    monkeypatch.setenv("MACHINE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def test_nothing_there_is_built_once(machine: Machine) -> None:
    """From the committed hashes, each part in a folder of its version; Go's caches are gone."""
    machine.go()

    programs, said = machine.provide()
    again, nothing = machine.provide()

    assert again == programs
    assert nothing == ""
    assert "kubernetes, on PATH: no kube-apiserver. Next: a build from Go modules." in said
    assert programs.paths["etcd"] == str(machine.tools / "etcd-3.6.8-r1" / "bin" / "etcd")
    assert (programs.stages / "pod" / "fast" / "ready.yaml").is_file()
    builds = (machine.folder / "builds").read_text().splitlines()
    assert len(builds) == len(PARTS)
    assert all("-mod=readonly" in line for line in builds)
    assert all(f"GOMODCACHE={machine.tools}/.work-" in line for line in builds)
    assert sorted(each.name for each in machine.tools.iterdir()) == [
        "etcd-3.6.8-r1", "kubernetes-1.36.3-r1", "kwok-0.8.0-r1"
    ]  # fmt: skip


def test_what_is_on_path_comes_first(machine: Machine) -> None:
    """A later patch is as good; kwok's stages come with no kwok on PATH, so it is built."""
    machine.go()
    machine.have(KUBERNETES, "1.36.9")
    machine.have(ETCD, "3.6.1")

    programs, said = machine.provide()

    assert programs.paths["kube-apiserver"] == str(machine.bin / "kube-apiserver")
    assert programs.paths["etcd"] == str(machine.bin / "etcd")
    assert [each.name for each in machine.tools.iterdir()] == ["kwok-0.8.0-r1"]
    assert "kwok, on PATH: not looked for" in said


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.35.4", "is 1.35.4, older than 1.36"),
        ("1.37.0", "is 1.37.0, and only versions before 1.37 are known to work"),
    ],
)
def test_another_version_on_path_is_not_used(machine: Machine, version: str, why: str) -> None:
    machine.go()
    machine.have(KUBERNETES, version)

    programs, said = machine.provide()

    assert why in said
    assert programs.paths["kubectl"].startswith(str(machine.tools))


def test_without_go_the_error_names_what_is_needed(machine: Machine) -> None:
    with pytest.raises(SetupError, match=r"kubernetes cannot be built: no go on PATH; Go 1\.26"):
        machine.provide()


def test_what_was_built_and_does_not_work_is_not_kept(machine: Machine) -> None:
    machine.go()
    write(machine.folder / "made" / "kubernetes" / "kubectl", "exit 1")

    with pytest.raises(SetupError, match="was built, and does not work"):
        machine.provide()

    assert list(machine.tools.iterdir()) == []


def test_prometheus_is_built_only_for_who_asks_for_it(machine: Machine) -> None:
    """Once, whatever is on PATH: no other program takes its options."""
    machine.go()
    machine.have(PROMETHEUS, "3.13.5")

    path = provide_prometheus(Progress(io.StringIO()))

    assert path == provide_prometheus(Progress(io.StringIO()))
    assert path == str(machine.tools / "prometheus-0.313.5-r1" / "bin" / "prometheus")
    assert len((machine.folder / "builds").read_text().splitlines()) == 1


@pytest.mark.parametrize("part", [*PARTS, PROMETHEUS, KUBECONFORM], ids=lambda part: part.name)
def test_versions_are_those_of_the_modules(part: Part) -> None:
    """One place says what is built, the other by which hashes."""
    module = (HERE / part.name / "go.mod").read_text()

    assert f"\ngo {GO}\n" in module
    assert re.search(rf"^\t\S*{part.name}\S* v{part.version}(?: //|$)", module, re.M)


def test_all_of_kubernetes_is_of_one_version() -> None:
    """Its repository names its own parts by folders, which no module proxy serves."""
    module = (HERE / "kubernetes" / "go.mod").read_text()

    replaced = re.findall(r"=> \S+ v(\S+)", module)
    assert set(replaced) == {KUBERNETES.version.replace("1", "0", 1)}
