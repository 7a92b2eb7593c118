"""The three ways to a Pulumi: what is on PATH, the vendor's release, a build from Go modules."""

from __future__ import annotations

import os
import tomllib

import pytest

from tests.launcher.sandbox import (
    PULUMI,
    ROOT,
    Sandbox,
    download_site,
    finish,
    kill,
    release_archive,
    release_name,
    trust,
)

RELEASE = release_archive(
    {
        "pulumi": PULUMI,
        "pulumi-language-python": "",
        "pulumi-language-python-exec": "",
        "pulumi-language-nodejs": "",
    }
)


@pytest.fixture
def ready(machine: Sandbox) -> Sandbox:
    """A machine with uv, so that only Pulumi is in question."""
    machine.uv()
    return machine


def installed_files(machine: Sandbox) -> list[str]:
    return sorted(path.name for path in (machine.installed / "bin").iterdir())


def test_a_good_pulumi_on_path_is_used_and_nothing_is_built(ready: Sandbox) -> None:
    ready.pulumi()
    ready.go()
    done = ready.run("ship", "app")
    assert f"pulumi={ready.bin}/pulumi " in done.out
    assert ready.calls("go") == []
    assert not ready.installed.exists()


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("v3.258.9", "is 3.258.9, older than 3.259.0"),
        ("v4.0.0-alpha.1", "is a pre-release, 4.0.0-alpha.1"),
    ],
)
def test_another_version_on_path_is_not_used(ready: Sandbox, version: str, why: str) -> None:
    ready.pulumi(version)
    done = ready.run("ship", "app")
    assert done.code == 1
    assert f"1. on PATH: {ready.bin}/pulumi {why}" in done.err


def test_a_pulumi_that_does_not_start_is_not_used(ready: Sandbox) -> None:
    ready.stand_in("pulumi", "echo 'no such version' >&2; exit 126")
    done = ready.run("ship", "app")
    assert f"{ready.bin}/pulumi does not start (exit 126): no such version" in done.err


def test_a_pulumi_without_its_language_host_is_not_used(ready: Sandbox) -> None:
    ready.pulumi()
    (ready.bin / "pulumi-language-python").unlink()
    done = ready.run("ship", "app")
    assert done.code == 1
    assert "pulumi-language-python is neither beside it nor on PATH" in done.err


def test_the_language_host_may_be_beside_what_a_link_leads_to(ready: Sandbox) -> None:
    """Package managers link `pulumi` alone into a folder on PATH."""
    ready.pulumi()
    real = ready.folder / "real"
    real.mkdir()
    for name in ("pulumi", "pulumi-language-python"):
        (ready.bin / name).rename(real / name)
    (ready.bin / "pulumi").symlink_to(real / "pulumi")
    assert ready.run("ship", "app").code == 0


def test_the_official_release_comes_before_a_build(ready: Sandbox) -> None:
    """From a mirror where one is named; only what runs Python programs is kept."""
    ready.go()
    trust(ready.checkout, RELEASE)
    with download_site({release_name(): RELEASE}, ready.folder / "site") as address:
        done = ready.run("ship", "app", GREENLIGHT_PULUMI_URL=address)
    assert done.code == 0, done.err
    assert f"pulumi={ready.installed}/bin/pulumi " in done.out
    assert ready.calls("go") == []
    assert installed_files(ready) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
    ]
    assert ready.leftovers() == []


def test_a_wrong_checksum_is_refused_and_the_file_removed(ready: Sandbox) -> None:
    with download_site({release_name(): b"tampered with"}, ready.folder / "site") as address:
        done = ready.run("ship", "app", GREENLIGHT_PULUMI_URL=address)
    assert done.code == 1
    assert "has SHA-256" in done.err
    assert "refused and removed" in done.err
    assert not ready.installed.exists()
    assert ready.leftovers() == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"not an archive", "cannot be unpacked"),
        (release_archive({"pulumi": "exit 1", "pulumi-language-python": ""}), "does not start"),
        (release_archive({"pulumi": PULUMI}), "it gave no pulumi-language-python"),
    ],
)
def test_a_release_that_does_not_work_is_not_installed(
    ready: Sandbox, content: bytes, why: str
) -> None:
    """The right checksum says who made it, not that it runs on this machine."""
    trust(ready.checkout, content)
    with download_site({release_name(): content}, ready.folder / "site") as address:
        done = ready.run("ship", "app", GREENLIGHT_PULUMI_URL=address)
    assert done.code == 1
    assert why in done.err
    assert not ready.installed.exists()


def test_without_a_download_it_is_built_from_go_modules(ready: Sandbox) -> None:
    """From the committed hashes, with Go's caches in a folder that is thrown away."""
    ready.go()
    done = ready.run("ship", "app", GOFLAGS="-mod=mod", GOPROXY="https://proxy.example")
    assert done.code == 0, done.err
    assert f"pulumi={ready.installed}/bin/pulumi " in done.out
    assert "built from Go modules with Go 1.26.8" in done.err
    assert installed_files(ready) == [
        "pulumi",
        "pulumi-language-python",
        "pulumi-language-python-exec",
        "pulumi-resource-pulumi-python",
    ]
    settings = next(call for call in ready.calls() if call.startswith("GOFLAGS="))
    assert "-mod=readonly" in settings
    assert "-buildvcs=false" in settings
    assert "GOPROXY=https://proxy.example" in settings
    assert f"GOMODCACHE={ready.tools}/.work-" in settings
    assert ready.leftovers() == []


def test_what_was_installed_serves_every_checkout(ready: Sandbox) -> None:
    ready.go()
    ready.run("ship", "app")
    other = ready.another_checkout("other")
    ready.forget()
    done = ready.run("ship", "app", checkout=other)
    assert f"pulumi={ready.installed}/bin/pulumi " in done.out
    assert ready.calls("go") == []


@pytest.mark.parametrize(
    ("go_version", "why"),
    [("1.24.3", "is 1.24.3, older than 1.25.11"), ("1.26rc1", "is a pre-release")],
)
def test_a_go_that_is_too_old_is_named_before_the_build(
    ready: Sandbox, go_version: str, why: str
) -> None:
    ready.go()
    done = ready.run("ship", "app", GO_SAYS=go_version)
    assert done.code == 1
    assert f"3. a build from Go modules: {ready.bin}/go {why}" in done.err
    assert not [call for call in ready.calls("go") if "build" in call]


def test_when_nothing_works_one_error_names_all_three_ways(ready: Sandbox) -> None:
    done = ready.run("ship", "app")
    assert done.code == 1
    assert done.out == ""
    ending = done.err[done.err.index("set-up failed") :]
    assert "1. on PATH: no pulumi on PATH" in ending
    assert "2. the official release: http://127.0.0.1:" in ending
    assert "Connection refused" in ending
    assert "3. a build from Go modules: no go on PATH; Go 1.25.11 or later is needed" in ending


def test_a_killed_build_is_swept_and_repeated(ready: Sandbox) -> None:
    ready.go()
    with ready.holding("go"):
        process = ready.start("ship", "app")
        ready.await_call("go build")
        kill(process)
        assert ready.leftovers() != []
    assert not ready.installed.exists()
    assert ready.run("ship", "app").code == 0
    assert ready.leftovers() == []


def test_an_interrupted_build_leaves_nothing(ready: Sandbox) -> None:
    """SIGTERM and Ctrl-C end what was started and clear it away."""
    ready.go()
    with ready.holding("go"):
        process = ready.start("ship", "app")
        ready.await_call("go build")
        os.killpg(process.pid, 15)
        assert finish(process).code != 0
        assert ready.leftovers() == []


def test_two_checkouts_at_once_build_once(ready: Sandbox) -> None:
    ready.go()
    other = ready.another_checkout("other")
    ready.run("schema")
    ready.run("schema", checkout=other)
    with ready.holding("go"):
        first = ready.start("ship", "app")
        ready.await_call("go build")
        second = ready.start("ship", "app", checkout=other)
        assert second.stderr is not None
        said = second.stderr.readline()
    outcomes = [finish(first), finish(second)]
    assert said == "greenlight: waiting for another run that is installing tools …\n"
    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert len([call for call in ready.calls("go") if "build" in call]) == 2  # engine, host


def test_a_damaged_installation_is_replaced(ready: Sandbox) -> None:
    ready.go()
    ready.run("ship", "app")
    (ready.installed / "bin" / "pulumi").unlink()
    assert ready.run("ship", "app").code == 0
    assert (ready.installed / "bin" / "pulumi").exists()
    assert ready.leftovers() == []


def test_a_pulumi_that_went_away_is_looked_for_again(ready: Sandbox) -> None:
    ready.pulumi()
    ready.run("ship", "app")
    (ready.bin / "pulumi").unlink()
    ready.go()
    assert f"pulumi={ready.installed}/bin/pulumi " in ready.run("ship", "app").out


def test_a_cache_that_cannot_be_written_is_named(ready: Sandbox) -> None:
    ready.cache.rmdir()
    ready.cache.write_text("a file where a folder should be")
    done = ready.run("ship", "app")
    assert done.code == 1
    assert f"set-up failed: {ready.tools}, where tools are kept, cannot be made" in done.err
    assert "XDG_CACHE_HOME" in done.err


def test_the_versions_of_pulumi_are_one() -> None:
    """The package, its pin here, the locked one and the engine's Go module move together."""
    pins = tomllib.loads((ROOT / "tools" / "pins.toml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    module = (ROOT / "tools" / "engine" / "go.mod").read_text()
    version = pins["pulumi"]["pin"]
    assert f"pulumi=={version}" in project["project"]["dependencies"]
    assert f"github.com/pulumi/pulumi/pkg/v3 v{version} " in module
    assert f"github.com/pulumi/pulumi/sdk/v3 v{version} " in module


@pytest.mark.parametrize("name", ["engine", "host"])
def test_the_needed_go_is_what_the_modules_say(name: str) -> None:
    pins = tomllib.loads((ROOT / "tools" / "pins.toml").read_text())
    module = (ROOT / "tools" / name / "go.mod").read_text()
    assert f"\ngo {pins['go']['floor']}\n" in module
