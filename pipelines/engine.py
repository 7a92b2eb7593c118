"""Running the Pulumi engine: its state, passphrase and settings in the application's folder.

The engine is a command with a lock that a killed run leaves behind and a state file that a crash
can cut. Greenlight holds a lock of the kernel's around every run and hands it to the engine
itself, so a stale lock file can be told from a live one, and an engine that outlives the command
that started it is waited for. What that engine says goes to a file, which the command follows: a
pipe would break with the command, and the engine with the pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from pipelines import engine_lock
from pipelines.outputs import read_local
from pipelines.stack_settings import STACK, committed_config, last_given
from release.errors import GreenlightError, Waiting
from release.files import create_only, read_json, write_atomic
from release.outputs import LocalEnvironment
from release.state import StateFolder

PROJECT = "greenlight"
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
    def _lock(self) -> Path:
        return self.state.pulumi / "engine.lock"

    @property
    def _checkpoint(self) -> Path:
        return self._backend / f".pulumi/stacks/{PROJECT}/{STACK}.json"

    def up(
        self, changes: Sequence[Path], note: Callable[[str], None]
    ) -> Mapping[str, LocalEnvironment]:
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

    def by_hand(self, arguments: Sequence[str], takes_settings: bool) -> int:
        """Run what the user typed, with the terminal; the engine's exit code.

        An interrupt from the keyboard is the engine's to answer: it ends what it has begun.
        """
        extra = ["--config-file", str(self.settings)] if takes_settings else []
        with self._prepared(None) as lock, _leaving_interrupts_to_the_child():
            return subprocess.run(
                [executable(), *arguments, *extra],
                cwd=self.root,
                env=self._environment(),
                pass_fds=[lock.fileno()],
                check=False,
            ).returncode

    def changes(self) -> tuple[Path, ...]:
        """The files that the program lays over ``llm.yaml``, as of the last run."""
        lines = str(last_given(self.settings)["config"].get("greenlight:with") or "").splitlines()
        return tuple(Path(line) for line in lines)

    def has_state(self) -> bool:
        """Whether the engine knows of the stack, be it empty or not."""
        return self._checkpoint.exists()

    def is_empty(self) -> bool:
        """Whether the stack holds nothing."""
        return not self._deployment().get("resources")

    @contextlib.contextmanager
    def _prepared(self, changes: Sequence[Path] | None) -> Iterator[IO[str]]:
        """The lock, held, with backend, passphrase, stack and settings in place."""
        self._backend.mkdir(parents=True, exist_ok=True, mode=0o700)
        with engine_lock.held(self._lock) as lock:
            self._mend_checkpoint()
            self._ensure_stack(lock)
            self._write_settings(changes)
            self._clear_what_a_kill_left(lock)
            yield lock

    def _environment(self) -> dict[str, str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_CONFIG_")}
        return (
            environment
            | surroundings(self._backend, self.state.pulumi / "home")
            | {
                "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase()),
                "PULUMI_STACK": STACK,
                engine_lock.MARK: str(self._lock),
            }
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
        """``stack init`` writes into its project's folder, so it gets one that goes away."""
        if self._checkpoint.exists():
            return
        with tempfile.TemporaryDirectory() as folder:
            project = str(bare_project(Path(folder) / "project"))
            self._call(["stack", "init", STACK, "-C", project, "--non-interactive"], lock)

    def _write_settings(self, changes: Sequence[Path] | None) -> None:
        """The checkout's settings, then this application; None keeps the changes of last time.

        The salt is the state's: with another one the engine would encrypt that anew.
        """
        given = last_given(self.settings)
        config = {**given["config"], **committed_config(self.root)}
        config["greenlight:app"] = str(self.state.app)
        if changes is not None:
            config["greenlight:with"] = "\n".join(str(path.resolve()) for path in changes)
        text = yaml.safe_dump({**given, **self._salt(), "config": config}, sort_keys=True)
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.settings, text.encode())

    def _salt(self) -> dict[str, str]:
        provider = self._deployment().get("secrets_providers") or {}
        salt = (provider.get("state") or {}).get("salt")
        return {"encryptionsalt": salt} if salt else {}

    def _clear_what_a_kill_left(self, lock: IO[str]) -> None:
        """Lock files of dead engines, and creates that nobody saw the end of."""
        locks = [*self._backend.glob(f".pulumi/locks/organization/{PROJECT}/{STACK}/*.json")]
        for path in locks:
            holder = engine_lock.holder_of_the_stack(path)
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
            [executable(), *arguments],
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
        log = self.state.pulumi / "engine.log"
        write_atomic(log, b"")
        with (
            log.open("ab") as output,
            subprocess.Popen(
                [executable(), verb, *flags, *stack],
                cwd=self.root,
                env=self._environment(),
                pass_fds=[lock.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            for line in filter(str.strip, _followed(log, process)):
                lines.append(line.rstrip())
                if _TELLS_A_CHANGE.match(line):
                    note(" ".join(line.split()))
        if process.returncode:
            raise GreenlightError(_failed(verb, lines))

    def _outputs(self, lock: IO[str]) -> Mapping[str, LocalEnvironment]:
        """What the stack says of its environments; another version of the contract is refused."""
        said = self._call(["stack", "output", "--json", "--stack", STACK], lock)
        return read_local(said).environments


def surroundings(backend: Path, home: Path) -> dict[str, str]:
    """The variables of every run: where its state is, what it may find, that it asks nobody."""
    here = [str(Path(executable()).parent), str(Path(sys.executable).parent)]
    return {
        "PATH": os.pathsep.join([*here, os.environ.get("PATH", "")]),
        "PULUMI_BACKEND_URL": backend.as_uri(),
        "PULUMI_HOME": str(home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }


def bare_project(folder: Path) -> Path:
    """A project with nothing in it: ``stack init`` writes into the folder of its project."""
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    return folder


def executable() -> str:
    """The Pulumi CLI that the launcher found, or the one on PATH."""
    found = os.environ.get("GREENLIGHT_PULUMI") or shutil.which("pulumi")
    if not found:
        raise GreenlightError(
            "the Pulumi CLI is not there. Run this command through ./greenlight, which finds or "
            "builds it; `./greenlight doctor` says what is missing."
        )
    return found


def _followed(log: Path, process: subprocess.Popen[bytes]) -> Iterator[str]:
    """The lines of ``log`` as they come, until ``process`` has ended."""
    with log.open(errors="replace") as text:
        rest, ended = "", False
        while not ended:
            ended = process.poll() is not None  # asked first: what came before its end is read
            *lines, rest = (rest + text.read()).split("\n")
            yield from lines
            if not ended:
                time.sleep(0.1)
        yield rest


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except (ValueError, OSError):
        return False
    return True


def _failed(verb: str, lines: Sequence[str]) -> str:
    words = [line for line in lines if line.strip()][-12:]
    return "\n".join([f"pulumi {verb} failed; its last words:", *(f"  {line}" for line in words)])


@contextlib.contextmanager
def _leaving_interrupts_to_the_child() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, lambda *_: None)  # a handler, unlike SIG_IGN, ends here
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
