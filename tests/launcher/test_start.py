"""The launcher's quick look: which Python, what is ready, and what a start costs."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launcher.sandbox import ROOT, Sandbox


@pytest.mark.parametrize("shell", ["sh", "dash"])
def test_the_launcher_is_plain_posix_shell(shell: str) -> None:
    """A shell reads it without complaint."""
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    done = subprocess.run([shell, "-n", str(ROOT / "greenlight")], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_first_start_sets_up_and_runs_the_command(machine: Sandbox) -> None:
    """Arguments reach the command as they were; its output is all there is on standard output."""
    machine.all_there()
    done = machine.run("ship", "my app", "--json")
    assert done.code == 0, done.err
    assert done.out.endswith("cli=-P -m cli ship my app --json\n")
    assert len(done.out.splitlines()) == 1
    assert "installing the locked packages" in done.err


def test_the_second_start_starts_nothing_but_the_command(machine: Sandbox) -> None:
    """No uv, no Pulumi, no other Python: this is what keeps a start cheap."""
    machine.all_there()
    machine.run("ship", "app")
    machine.forget()
    done = machine.run("ship", "app")
    assert done.err == ""
    assert machine.calls() == ["python -P -m cli ship app"]


def test_the_commands_exit_code_is_the_launchers(machine: Sandbox) -> None:
    machine.all_there()
    assert machine.run("ship", "app", CLI_EXIT="3").code == 3


def test_pulumi_and_the_environment_come_first_on_path(machine: Sandbox) -> None:
    """The language host starts the first `python` there, and is itself looked up there."""
    machine.uv()
    machine.go()
    done = machine.run("ship", "app")
    installed = machine.installed / "bin"
    assert f"pulumi={installed / 'pulumi'} " in done.out
    assert f"path={machine.checkout}/.venv/bin:{installed}:{machine.bin} " in done.out


def test_a_pulumi_on_path_stays_where_the_user_put_it(machine: Sandbox) -> None:
    machine.all_there()
    done = machine.run("ship", "app")
    assert (
        f"pulumi={machine.bin}/pulumi path={machine.checkout}/.venv/bin:{machine.bin} " in done.out
    )


@pytest.mark.parametrize(
    "words",
    [
        "",
        "--help",
        "--version",
        "shpi app",
        "ship --help",
        "schema",
        "verify app",
        "rollback app",
        "report app",
    ],
)
def test_what_needs_no_pulumi_does_not_wait_for_one(machine: Sandbox, words: str) -> None:
    """Nobody should see a build of minutes before a page of help, a typo or a return."""
    machine.uv()
    done = machine.run(*words.split())
    assert done.code == 0
    assert "pulumi=none" in done.out


@pytest.mark.parametrize("words", ["ship app", "evaluate app", "promote app", "destroy app"])
def test_what_may_need_pulumi_does_not_start_without(machine: Sandbox, words: str) -> None:
    """It would fail half-way."""
    machine.uv()
    done = machine.run(*words.split())
    assert (done.code, done.out) == (1, "")


def test_help_of_pulumi_itself_needs_pulumi(machine: Sandbox) -> None:
    machine.uv()
    done = machine.run("pulumi", "up", "--help")
    assert done.code == 1
    assert "the Pulumi CLI 3.259.0 is needed" in done.err


@pytest.mark.parametrize("kind", ["direct", "link", "link to a link", "relative link", "by sh"])
def test_the_launcher_finds_its_checkout(machine: Sandbox, kind: str) -> None:
    """Through links, from any folder, and when a shell is told to read it."""
    machine.all_there()
    (machine.folder / "links").mkdir()
    first, second = machine.folder / "links" / "first", machine.folder / "second"
    first.symlink_to("../checkout/greenlight" if kind == "relative link" else _launcher(machine))
    second.symlink_to(first)
    commands = {
        "direct": ["checkout/greenlight"],
        "link": [str(first)],
        "link to a link": [str(second)],
        "relative link": ["links/first"],
        "by sh": ["sh", "checkout/greenlight"],
    }
    done = subprocess.run(
        commands[kind], cwd=machine.folder, env=machine.environment({}), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert (machine.checkout / ".venv" / ".greenlight").is_dir()


def _launcher(machine: Sandbox) -> Path:
    return machine.checkout / "greenlight"


def test_a_python_that_does_not_start_is_passed_over(machine: Sandbox) -> None:
    """Version managers leave names on PATH that only complain; the next folder may have it."""
    machine.all_there()
    shims = machine.folder / "shims"
    shims.mkdir()
    for name in ("python3.13", "python3"):
        (shims / name).write_text("#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
        (shims / name).chmod(0o755)
    done = machine.run("schema", PATH=f"{shims}:{machine.bin}")
    assert done.code == 0, done.err
    assert machine.calls("python3")


def test_an_old_python_is_passed_over(machine: Sandbox) -> None:
    machine.all_there()
    machine.stand_in("python3.12", "echo 3.9.2")
    assert machine.run("schema").code == 0


def test_the_environments_own_python_never_makes_it_anew(machine: Sandbox) -> None:
    """It would saw off the branch that it sits on, with the environment activated."""
    machine.all_there()
    machine.run("schema")
    (machine.checkout / ".venv" / ".greenlight" / "for").unlink()
    shutil.copy(machine.bin / "python3", machine.checkout / ".venv" / "bin" / "python3.14")
    machine.forget()
    done = machine.run("schema", PATH=f"{machine.checkout}/.venv/bin:{machine.bin}")
    assert done.code == 0
    assert not machine.calls("python3.14")


def test_without_a_python_the_error_says_what_was_tried(machine: Sandbox) -> None:
    (machine.bin / "python3").unlink()
    machine.stand_in("python3.11", "exit 127")
    machine.stand_in("python", "echo 2.7.18")
    done = machine.run("ship", "app")
    assert done.code == 1
    assert f"{machine.bin}/python3.11: does not start" in done.err
    assert f"{machine.bin}/python: 2.7.18" in done.err
    assert "Python 3.11 or later" in done.err
    assert "GREENLIGHT_PYTHON" in done.err


def test_a_python_that_was_asked_for_is_used_or_refused(machine: Sandbox) -> None:
    """Never another in its place."""
    machine.all_there()
    machine.stand_in("mine", "echo 3.10.1")
    refused = machine.run("schema", GREENLIGHT_PYTHON="mine")
    assert refused.code == 1
    assert "mine: 3.10.1" in refused.err
    machine.real_python("mine")
    machine.forget()
    assert machine.run("schema", GREENLIGHT_PYTHON="mine").code == 0
    assert not machine.calls("python3")


def test_another_python_makes_another_environment(machine: Sandbox) -> None:
    machine.all_there()
    machine.run("schema")
    machine.real_python("mine")
    machine.forget()
    machine.run("schema", GREENLIGHT_PYTHON="mine")
    assert machine.calls("uv")[-2].startswith("uv venv")


def test_the_callers_python_settings_do_not_reach_set_up(machine: Sandbox) -> None:
    """A folder of modules in PYTHONPATH, or in the current folder, must not replace ours."""
    machine.all_there()
    wrong = machine.folder / "tools"
    wrong.mkdir()
    (wrong / "__init__.py").write_text("raise SystemExit('the wrong tools')")
    assert machine.run("schema", PYTHONPATH=str(machine.folder)).code == 0


@pytest.mark.parametrize(
    "module", sorted((ROOT / "tools").glob("*.py")), ids=lambda path: path.name
)
def test_set_up_needs_the_standard_library_alone(module: Path) -> None:
    """It runs before any package is there."""
    nodes = list(ast.walk(ast.parse(module.read_text())))
    imported = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    imported += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, "tools"}


def test_the_launcher_is_executable() -> None:
    assert os.access(ROOT / "greenlight", os.X_OK)
