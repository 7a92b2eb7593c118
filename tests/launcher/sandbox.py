"""A throw-away checkout on a throw-away machine: PATH holds what a test put there, no more.

Python is real; `uv`, `go`, `pulumi` and the environment's own Python are small stand-ins that
write down how they were called. So a test sees what set-up decides, in a fraction of a second.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.layout import platform_key

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60  # seconds until a test that waits for something gives up
_BASICS = ("cat", "cmp", "cp", "env", "mkdir", "mv", "readlink", "rm", "sh", "sleep")

VENV_PYTHON = """\
case "$*" in *"-m pip --version"*) echo "pip 26.3 from here (python 3.11)"; exit ;; esac
echo "pulumi=${GREENLIGHT_PULUMI:-none} path=$PATH cli=$*"
exit "${CLI_EXIT:-0}"
"""
UV = """\
case $1 in
--version) echo "uv $UV_SAYS (stand-in)" ;;
venv)
    for folder; do :; done
    rm -rf "$folder"
    mkdir -p "$folder/bin" "$folder/lib/python3.11/site-packages/pip"
    cp "$MACHINE/venv-python" "$folder/bin/python" ;;
sync)
    while [ -e "$MACHINE/hold-uv" ]; do sleep 0.02; done
    [ ! -e "$MACHINE/offline" ] || { echo "error: dns error"; exit 2; } ;;
esac
"""
PULUMI = """\
[ "$1" = version ] && echo "v3.259.0"
"""
GO = """\
case $1 in
version) echo "go version go$GO_SAYS linux/amd64" ;;
list) echo "$MACHINE/sdk" ;;
build)
    echo "GOFLAGS=$GOFLAGS GOPROXY=${GOPROXY:-} GOMODCACHE=$GOMODCACHE" >>"$MACHINE/calls"
    mkdir -p "$GOMODCACHE/left" "$GOCACHE/left"
    while [ -e "$MACHINE/hold-go" ]; do sleep 0.02; done
    while [ "$1" != -o ]; do shift; done
    case $PWD in
    */engine) cp "$MACHINE/good-pulumi" "$2/pulumi" ;;
    */host) cp "$MACHINE/good-pulumi" "$2/pulumi-language-python" ;;
    esac ;;
esac
"""


@dataclass(frozen=True)
class Outcome:
    """How a run of the launcher ended."""

    code: int
    out: str
    err: str


class Sandbox:
    """One machine with one checkout (more by ``another_checkout``) and an empty home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin, self.home, self.cache = folder / "bin", folder / "home", folder / "cache"
        for each in (self.bin, self.home, self.cache, folder / "tmp"):
            each.mkdir()
        self.calls_file = folder / "calls"
        self.checkout = self.another_checkout("checkout")
        for name in _BASICS:
            (self.bin / name).symlink_to(str(shutil.which(name)))
        self.started: list[subprocess.Popen[str]] = []
        self.settings: dict[str, str] = {"UV_SAYS": "0.13.9", "GO_SAYS": "1.26.8"}
        _script(folder / "venv-python", VENV_PYTHON, folder)
        _script(folder / "good-pulumi", PULUMI, folder)
        self.real_python()

    @property
    def tools(self) -> Path:
        return self.cache / "greenlight" / "tools"

    @property
    def installed(self) -> Path:
        """Where set-up puts a Pulumi of its own."""
        return self.tools / "pulumi-3.259.0-r1"

    def another_checkout(self, name: str) -> Path:
        """A copy of what the launcher consists of."""
        checkout = self.folder / name
        shutil.copytree(
            ROOT / "tools", checkout / "tools", ignore=shutil.ignore_patterns("__pycache__")
        )
        (checkout / "cli").mkdir()
        for command in (ROOT / "cli").glob("*.py"):
            (checkout / "cli" / command.name).touch()
        for file in ("greenlight", "uv.lock", "pyproject.toml"):
            shutil.copy2(ROOT / file, checkout / file)
        return checkout

    def real_python(self, name: str = "python3") -> None:
        """The Python of these tests under ``name``, without their environment."""
        python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        self.stand_in(name, f'exec {python} "$@"')

    def stand_in(self, name: str, text: str) -> Path:
        """Put a shell script on PATH that writes its call down before it runs ``text``."""
        return _script(self.bin / name, text, self.folder)

    def uv(self) -> None:
        self.stand_in("uv", UV)

    def pulumi(self, version: str = "v3.259.0") -> None:
        self.stand_in("pulumi", f'[ "$1" = version ] && echo "{version}"')
        self.stand_in("pulumi-language-python", "")

    def go(self) -> None:
        """Go as a stand-in, and the module folder that its `list` answers with."""
        self.stand_in("go", GO)
        for part in ("cmd/pulumi-language-python-exec", "dist/pulumi-resource-pulumi-python"):
            script = self.folder / "sdk" / "python" / part
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text("a script\n")

    def all_there(self) -> None:
        self.uv()
        self.pulumi()

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.cache),
            "TMPDIR": str(self.folder / "tmp"),
            "MACHINE": str(self.folder),
            "PIP_NO_INDEX": "1",
            **self.settings,
            **settings,
        }

    def start(
        self, *arguments: str, checkout: Path | None = None, **settings: str
    ) -> subprocess.Popen[str]:
        """Start the launcher in a process group of its own."""
        process = subprocess.Popen(
            [str((checkout or self.checkout) / "greenlight"), *arguments],
            cwd=self.folder,
            env=self.environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, checkout: Path | None = None, **settings: str) -> Outcome:
        """Run the launcher to its end."""
        return finish(self.start(*arguments, checkout=checkout, **settings))

    def calls(self, name: str = "") -> list[str]:
        """What was started since the last `forget`, in order, such as ``uv sync --frozen``."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        return [line for line in lines if line.startswith(f"{name} " if name else "")]

    def forget(self) -> None:
        self.calls_file.unlink(missing_ok=True)

    @contextmanager
    def holding(self, tool: str) -> Iterator[None]:
        """Inside, the long work of the stand-in ``tool`` does not come to an end."""
        hold = self.folder / f"hold-{tool}"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def await_call(self, text: str) -> None:
        """Wait until something was started whose call contains ``text``."""
        await_true(lambda: any(text in call for call in self.calls()), f"a call of {text!r}")

    def leftovers(self) -> list[str]:
        """Scratch folders that a run has left behind."""
        places = [*self.tools.glob(".*"), *(self.folder / "tmp").iterdir()]
        return [path.name for path in places]


def _script(path: Path, text: str, machine: Path) -> Path:
    path.write_text(f'#!/bin/sh\necho "${{0##*/}} $*" >>"{machine}/calls"\n{text}\n')
    path.chmod(0o755)
    return path


def finish(process: subprocess.Popen[str]) -> Outcome:
    """Wait for a launcher that was started, and end its group whatever happens."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
        return Outcome(process.returncode, out, err)
    finally:
        kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """End a launcher with all it started in its group, at once and without notice."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream:
            stream.close()


def await_true(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@contextmanager
def download_site(files: Mapping[str, bytes], folder: Path) -> Iterator[str]:
    """A server of ``files`` on a port that the kernel chose; gives its address."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def closed_address() -> Iterator[str]:
    """An address that refuses connections for as long as the block lasts."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def release_name() -> str:
    return f"pulumi-v3.259.0-{platform_key()}.tar.gz"


def release_archive(files: Mapping[str, str]) -> bytes:
    """An archive in the form of Pulumi's releases: flat, below one folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            content = f"#!/bin/sh\n{text}\n".encode()
            member = tarfile.TarInfo(f"pulumi/{name}")
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def trust(checkout: Path, archive: bytes) -> None:
    """Make ``archive`` the pinned release of ``checkout``, on every platform."""
    pins = checkout / "tools" / "pins.toml"
    digest = hashlib.sha256(archive).hexdigest()
    lines = pins.read_text().splitlines()
    keys = ("linux-", "darwin-")
    kept = [
        f'{line.split(" =")[0]} = "{digest}"' if line.startswith(keys) else line for line in lines
    ]
    pins.write_text("\n".join(kept) + "\n")
