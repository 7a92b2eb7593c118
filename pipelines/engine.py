"""Running the Pulumi engine: its state, passphrase and settings in the application's folder.

The engine is a command with a lock that a killed run leaves behind and a state file that a crash
can cut. Greenlight holds a lock of the kernel's around every run and hands it to the engine
itself, so a stale lock file can be told from a live one, and an engine that outlives the command
that started it is waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
import yaml

from release.documents import read_document
from release.errors import BadInput, GreenlightError, Problem, Waiting
from release.files import create_only, read_json, write_atomic
from release.state import StateFolder

PROJECT = "greenlight"
STACK = "local"
OUTPUTS_VERSION = 1
PATIENCE = 120.0  # seconds to wait for an engine that an earlier, killed command started
_TAKES_CONFIG_FILE = frozenset(
    ["up", "update", "preview", "pre", "destroy", "down", "refresh", "config", "import", "watch"]
)

_TELLS_A_CHANGE = re.compile(
    r"\s*[-+~]\S*\s+\S+:\S+.*\b(created|updated|deleted|replaced|failed)\b"
)
"""Lines that name a resource and what became of it; the rest is the engine's own progress."""


@dataclass(frozen=True)
class Engine:
    """The engine for one application's stack. ``root`` is Greenlight's checkout."""

    state: StateFolder
    root: Path

    @property
    def _backend(self) -> Path:
        return self.state.pulumi / "backend"

    @property
    def settings(self) -> Path:
        """The stack settings that the engine is given: the checkout's, with this application's."""
        return self.state.pulumi / "project" / f"Pulumi.{STACK}.yaml"

    @property
    def _checkpoint(self) -> Path:
        return self._backend / f".pulumi/stacks/{PROJECT}/{STACK}.json"

    def up(self, changes: Sequence[Path], note: Callable[[str], None]) -> dict[str, Any]:
        """Bring the stack to what the program asks; the outputs of its environments."""
        with self._prepared(changes) as lock:
            self._run("up", lock, note)
            return self._outputs(lock)

    def destroy(self, note: Callable[[str], None]) -> None:
        """Remove everything in the stack. ``forget`` then removes the engine's own files."""
        if not self.state.pulumi.exists():
            return
        with self._prepared(None) as lock:
            self._run("destroy", lock, note)

    def by_hand(self, verb: str, arguments: Sequence[str]) -> int:
        """Run ``verb`` as the user typed it, with the terminal; the engine's exit code.

        An interrupt from the keyboard is the engine's to answer: it ends what it has begun.
        """
        extra = ["--config-file", str(self.settings)] if verb in _TAKES_CONFIG_FILE else []
        with self._prepared(None) as lock, _leaving_interrupts_to_the_child():
            return subprocess.run(
                [_executable(), *arguments, *extra],
                cwd=self.root,
                env=self._environment(),
                pass_fds=[lock.fileno()],
                check=False,
            ).returncode

    def changes(self) -> tuple[Path, ...]:
        """The files that the program lays over ``llm.yaml``, as of the last run."""
        if not self.settings.exists():
            return ()
        lines = str(_config(self.settings).get("greenlight:with") or "").splitlines()
        return tuple(Path(line) for line in lines)

    def is_empty(self) -> bool:
        """Whether the stack holds nothing."""
        return not self._deployment().get("resources")

    @contextlib.contextmanager
    def _prepared(self, changes: Sequence[Path] | None) -> Iterator[IO[str]]:
        """The lock, held, with backend, passphrase, stack and settings in place."""
        self._backend.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked() as lock:
            self._mend_checkpoint()
            self._ensure_stack(lock)
            self._write_settings(changes)
            self._clear_what_a_kill_left(lock)
            yield lock

    @contextlib.contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        path = self.state.pulumi / "engine.lock"
        deadline = time.monotonic() + PATIENCE
        with path.open("a+") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Waiting(
                            f"another run of the Pulumi engine holds {path} for over "
                            f"{PATIENCE:.0f} s; wait for it, or end that process"
                        ) from None
                    time.sleep(0.2)
            yield lock

    def _environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_CONFIG_")}
        here = [str(Path(_executable()).parent), str(Path(sys.executable).parent)]
        return (
            environment
            | {
                "PATH": os.pathsep.join([*here, os.environ.get("PATH", "")]),
                "PULUMI_BACKEND_URL": self._backend.as_uri(),
                "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase()),
                "PULUMI_HOME": str(self.state.pulumi / "home"),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            }
            | ({} if sys.stdin and sys.stdin.isatty() else {"PULUMI_SKIP_CONFIRMATIONS": "true"})
        )

    def _passphrase(self) -> Path:
        """A passphrase of this application's own, made at first use and readable by its owner."""
        path = self.state.keys / "pulumi-passphrase"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            create_only(path, secrets.token_urlsafe(32).encode())
        return path

    def _mend_checkpoint(self) -> None:
        """Put the engine's own backup back where a crash has cut its state (scenario S22)."""
        backup = self._checkpoint.with_suffix(".json.bak")
        if not self._checkpoint.exists() or _is_json(self._checkpoint):
            return
        if not _is_json(backup):
            raise GreenlightError(
                f"{self._checkpoint}: the engine's state is cut and its backup is no better. "
                f"Remove {self.state.pulumi} and ship again: what runs is found and kept."
            )
        write_atomic(self._checkpoint, backup.read_bytes())

    def _ensure_stack(self, lock: IO[str]) -> None:
        """``stack init`` writes into its project's folder, so it gets one of its own."""
        if self._checkpoint.exists() and self.settings.exists():
            return
        project = self.settings.parent
        project.mkdir(parents=True, exist_ok=True)
        write_atomic(project / "Pulumi.yaml", f"name: {PROJECT}\nruntime: python\n".encode())
        verb = ["change-secrets-provider", "passphrase"] if self._checkpoint.exists() else []
        arguments = ["stack", *verb, "--stack", STACK] if verb else ["stack", "init", STACK]
        self._call([*arguments, "-C", str(project), "--non-interactive"], lock)

    def _write_settings(self, changes: Sequence[Path] | None) -> None:
        """The checkout's settings, then this application; None keeps the changes of last time."""
        given = yaml.safe_load(self.settings.read_text()) or {}
        config = {**(given.get("config") or {}), **_config(_committed(self.root))}
        config["greenlight:app"] = str(self.state.app)
        if changes is not None:
            config["greenlight:with"] = "\n".join(str(path.resolve()) for path in changes)
        text = yaml.safe_dump({**given, "config": config}, sort_keys=True)
        write_atomic(self.settings, text.encode())

    def _clear_what_a_kill_left(self, lock: IO[str]) -> None:
        """Lock files of dead engines, and creates that nobody saw the end of."""
        locks = [*self._backend.glob(f".pulumi/locks/organization/{PROJECT}/{STACK}/*.json")]
        for path in locks:
            holder = _holder(path)
            if holder:
                raise Waiting(f"{path}: a Pulumi engine (process {holder}) holds the stack")
        if locks:
            self._call(["cancel", "--yes", "--stack", STACK], lock)
        if self._pending():
            self._call(
                ["refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", STACK,
                 "--config-file", str(self.settings), "--non-interactive"], lock,
            )  # fmt: skip

    def _deployment(self) -> Mapping[str, Any]:
        checkpoint: Any = read_json(self._checkpoint) if self._checkpoint.exists() else {}
        latest: Mapping[str, Any] = (checkpoint.get("checkpoint") or {}).get("latest") or {}
        return latest

    def _pending(self) -> bool:
        return bool(self._deployment().get("pending_operations"))

    def forget(self) -> None:
        """Of an emptied stack nothing stays but ledger, evidence and keys."""
        for folder in (self.state.pulumi, self.state.work):
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty: an environment that is not the stack's
            self.state.environments.rmdir()

    def _call(self, arguments: Sequence[str], lock: IO[str]) -> str:
        """A short engine command; its output. GreenlightError with its last words."""
        done = subprocess.run(
            [_executable(), *arguments],
            cwd=self.root,
            env=self._environment(),
            pass_fds=[lock.fileno()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise GreenlightError(_failed(arguments[0], (done.stderr or done.stdout).splitlines()))
        return done.stdout

    def _run(self, verb: str, lock: IO[str], note: Callable[[str], None]) -> None:
        """A long engine command, its lines passed on as they come."""
        flags = ["--yes", "--skip-preview", "--refresh", "--suppress-outputs", "--non-interactive"]
        stack = ["--stack", STACK, "--config-file", str(self.settings), "--color", "never"]
        lines: list[str] = []
        with subprocess.Popen(
            [_executable(), verb, *flags, *stack],
            cwd=self.root,
            env=self._environment(),
            pass_fds=[lock.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in filter(str.strip, process.stdout or ()):
                lines.append(line.rstrip())
                if _TELLS_A_CHANGE.match(line):
                    note(" ".join(line.split()))
        if process.returncode:
            raise GreenlightError(_failed(verb, lines))

    def _outputs(self, lock: IO[str]) -> dict[str, Any]:
        """What the stack says of its environments; another version of the contract is refused."""
        outputs = json.loads(self._call(["stack", "output", "--json", "--stack", STACK], lock))
        if outputs.get("version") != OUTPUTS_VERSION:
            raise GreenlightError(
                f"the stack's outputs have version {outputs.get('version')!r}, expected "
                f"{OUTPUTS_VERSION}: program and pipelines come from different checkouts"
            )
        environments: dict[str, Any] = outputs["environments"]
        return environments


def _executable() -> str:
    """The Pulumi CLI that the launcher found, or the one on PATH."""
    found = os.environ.get("GREENLIGHT_PULUMI") or shutil.which("pulumi")
    if not found:
        raise GreenlightError(
            "the Pulumi CLI is not there. Run this command through ./greenlight, which finds or "
            "builds it; `./greenlight doctor` says what is missing."
        )
    return found


def _holder(path: Path) -> int:
    """The process that holds an engine lock file, if it is on this machine and alive, else 0."""
    try:
        pid = int(read_json(path)["pid"])
    except (BadInput, KeyError, TypeError, ValueError, FileNotFoundError):
        return 0  # cut by the same kill
    try:
        older = psutil.Process(pid).create_time() <= path.stat().st_mtime + 1.0
    except (psutil.Error, OSError):
        return 0
    return pid if older else 0  # a younger process was given the number of one that is gone


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, OSError):
        return False
    return True


def _failed(verb: str, lines: Sequence[str]) -> str:
    words = [line for line in lines if line.strip()][-12:]
    return "\n".join([f"pulumi {verb} failed; its last words:", *(f"  {line}" for line in words)])


def app_of_the_stack(root: Path) -> Path:
    """The application that the checkout's stack settings name; BadInput when it is not there."""
    file = _committed(root)
    name = _config(file).get("greenlight:app") or ""
    if not isinstance(name, str) or not name or not (root / name).is_dir():
        raise BadInput(
            Problem(
                file=str(file),
                path="config.greenlight:app",
                expected="the folder of an application",
                found=repr(name),
                remedy="Give a path that exists, absolute or from the checkout.",
            )
        )
    return (root / name).resolve()


def _committed(root: Path) -> Path:
    """The stack's settings in the checkout; what a run is given is made from them."""
    return root / f"infra/stacks/Pulumi.{STACK}.yaml"


def _config(file: Path) -> dict[str, Any]:
    """``config`` in a stack's settings. BadInput when it is not a mapping, or not YAML."""
    document = read_document(file)
    config = document.value.get("config") or {}
    if not isinstance(config, dict):
        _, line = document.place(("config",))
        remedy = "Write settings as `greenlight:app: examples/support-bot`, one a line."
        raise BadInput(
            Problem("a mapping", repr(config), remedy, file=str(file), line=line, path="config")
        )
    return config


@contextlib.contextmanager
def _leaving_interrupts_to_the_child() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, lambda *_: None)  # a handler, unlike SIG_IGN, ends here
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
