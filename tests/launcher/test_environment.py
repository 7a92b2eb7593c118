"""How `.venv` comes about: from the lock file, by one run at a time, trusted only when whole."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.launcher.sandbox import ROOT, UV, Sandbox, await_true, finish, kill


def made_anew(machine: Sandbox) -> bool:
    return any(call.startswith("uv venv") for call in machine.calls())


def change(file: Path) -> None:
    file.write_text(file.read_text() + "# one more line\n")


def test_it_is_made_from_the_lock_file_with_pip_in_it(machine: Sandbox) -> None:
    """Frozen, with the Python that was found, and with pip for Pulumi's language host."""
    machine.all_there()
    machine.run("schema")
    made, filled = [call for call in machine.calls("uv") if "--version" not in call]
    assert made.startswith("uv venv --seed --clear --python ")
    assert made.endswith("/checkout/.venv")
    assert filled == "uv sync --frozen"


def test_a_changed_lock_file_is_followed_in_place(machine: Sandbox) -> None:
    machine.all_there()
    machine.run("schema")
    change(machine.checkout / "uv.lock")
    machine.forget()
    assert machine.run("schema").code == 0
    assert "uv sync --frozen" in machine.calls()
    assert not made_anew(machine)


@pytest.mark.parametrize("file", ["uv.lock", "pyproject.toml", "tools/pins.toml"])
def test_each_input_counts(machine: Sandbox, file: str) -> None:
    machine.all_there()
    machine.run("schema")
    change(machine.checkout / file)
    machine.forget()
    machine.run("schema")
    assert "uv sync --frozen" in machine.calls()


def test_a_moved_checkout_gets_an_environment_of_its_own(machine: Sandbox) -> None:
    """Scripts in `.venv` and the editable install name the folder that they were made in."""
    machine.all_there()
    machine.run("schema")
    moved = machine.checkout.rename(machine.folder / "moved")
    machine.forget()
    assert machine.run("schema", checkout=moved).code == 0
    assert made_anew(machine)


def test_an_environment_that_somebody_else_made_is_not_trusted(machine: Sandbox) -> None:
    machine.all_there()
    (machine.checkout / ".venv" / "bin").mkdir(parents=True)
    (machine.checkout / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    assert machine.run("schema").code == 0
    assert made_anew(machine)


def test_an_environment_whose_python_is_gone_is_made_anew(machine: Sandbox) -> None:
    """A system upgrade takes the old Python away from under it."""
    machine.all_there()
    machine.run("schema")
    (machine.checkout / ".venv" / "bin" / "python").unlink()
    machine.forget()
    assert machine.run("schema").code == 0
    assert made_anew(machine)


def test_a_failed_set_up_says_why_and_leaves_nothing_trusted(machine: Sandbox) -> None:
    """Without a network: exit 1, one error, and the next run starts again."""
    machine.all_there()
    (machine.folder / "offline").touch()
    failed = machine.run("ship", "app")
    assert failed.code == 1
    assert failed.out == ""
    assert "error: dns error" in failed.err
    assert "HTTPS_PROXY" in failed.err
    (machine.folder / "offline").unlink()
    machine.forget()
    assert machine.run("ship", "app").code == 0
    assert made_anew(machine)


def test_a_killed_set_up_is_repeated(machine: Sandbox) -> None:
    machine.all_there()
    with machine.holding("uv"):
        process = machine.start("schema")
        machine.await_call("uv sync")
        kill(process)
    machine.forget()
    assert machine.run("schema").code == 0
    assert made_anew(machine)


def test_a_kill_while_the_lock_is_followed_leaves_nothing_trusted(machine: Sandbox) -> None:
    """The mark of a complete environment goes before the first package changes."""
    machine.all_there()
    machine.run("schema")
    change(machine.checkout / "uv.lock")
    with machine.holding("uv"):
        process = machine.start("schema")
        await_true(lambda: machine.calls().count("uv sync --frozen") == 2, "the second sync")
        kill(process)
    machine.forget()
    assert machine.run("schema").code == 0
    assert made_anew(machine)


def test_of_two_at_once_one_works_and_the_other_waits(machine: Sandbox) -> None:
    machine.all_there()
    with machine.holding("uv"):
        first = machine.start("schema")
        machine.await_call("uv sync")
        second = machine.start("schema")
        assert second.stderr is not None
        said = second.stderr.readline()
    outcomes = [finish(first), finish(second)]
    assert said == "greenlight: waiting for another run that is setting up this checkout …\n"
    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert machine.calls().count("uv sync --frozen") == 1


def test_the_callers_own_environment_is_left_alone(machine: Sandbox) -> None:
    """An activated environment, or uv's settings for another project, must not be the target."""
    machine.all_there()
    machine.stand_in("uv", f'env >"{machine.folder}/uv-environment"\n' + UV)
    other = {"VIRTUAL_ENV": "/other", "UV_PROJECT_ENVIRONMENT": "/other", "UV_PYTHON": "3.9"}
    machine.settings |= other
    assert machine.run("schema").code == 0
    seen = (machine.folder / "uv-environment").read_text()
    assert not [name for name in other if f"{name}=" in seen]
    assert "UV_PYTHON_DOWNLOADS=never" in seen


@pytest.mark.slow
def test_a_uv_that_does_not_fit_is_replaced_from_pypi(machine: Sandbox) -> None:
    """By its hash, into the user's cache, whatever the system's Python allows."""
    machine.all_there()
    offer_uv(machine)
    done = machine.run("schema", UV_SAYS="0.7.22", PIP_USER="1")
    assert done.code == 0, done.err
    assert "is 0.7.22, older than 0.8.0" in done.err
    assert (machine.tools / "uv-0.13.9" / "bin" / "uv").exists()
    assert "uv-from-the-index sync --frozen" in machine.calls()
    assert machine.leftovers() == []


@pytest.mark.slow
def test_a_uv_with_another_hash_is_refused(machine: Sandbox) -> None:
    machine.pulumi()
    offer_uv(machine, trusted=False)
    done = machine.run("schema")
    assert done.code == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.err
    assert not (machine.tools / "uv-0.13.9").exists()


def test_without_uv_and_without_a_network_the_error_names_both(machine: Sandbox) -> None:
    done = machine.run("schema")
    assert done.code == 1
    assert "no uv on PATH" in done.err
    assert "From PyPI: `python" in done.err
    assert "PIP_INDEX_URL" in done.err
    assert list(machine.tools.iterdir()) == []


@pytest.mark.slow
def test_uv_comes_without_pip_too(machine: Sandbox) -> None:
    """Where only the standard library's `venv` is there, it brings a pip of its own."""
    bare = machine.folder / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    machine.stand_in("python3", f'exec {bare}/bin/python "$@"')
    machine.pulumi()
    offer_uv(machine)
    done = machine.run("schema")
    assert done.code == 0, done.err
    assert "uv-from-the-index sync --frozen" in machine.calls()


def offer_uv(machine: Sandbox, trusted: bool = True) -> None:
    """A wheel of uv in a folder that pip looks into, pinned by its hash when ``trusted``."""
    folder = machine.folder / "index"
    folder.mkdir()
    wheel = folder / "uv-0.13.9-py3-none-any.whl"
    script = f'#!/bin/sh\necho "uv-from-the-index $*" >>{machine.calls_file}\n{UV}'
    write_wheel(wheel, {"uv-0.13.9.data/scripts/uv": script})
    machine.settings["PIP_FIND_LINKS"] = str(folder)
    if trusted:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        pinned = machine.checkout / "tools" / "uv.txt"
        pinned.write_text(f"uv==0.13.9 --hash=sha256:{digest}\n")


def write_wheel(path: Path, files: dict[str, str]) -> None:
    """The smallest wheel that pip installs."""
    info = "uv-0.13.9.dist-info"
    files |= {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: uv\nVersion: 0.13.9\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    hashes = {name: hashlib.sha256(text.encode()).digest() for name, text in files.items()}
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{len(files[name])}"
        for name, digest in hashes.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)


def test_the_pinned_uv_is_the_one_whose_hashes_are_committed() -> None:
    pins = (ROOT / "tools" / "pins.toml").read_text()
    pinned = (ROOT / "tools" / "uv.txt").read_text()
    assert 'pin = "0.13.9"' in pins
    assert "uv==0.13.9 " in pinned
