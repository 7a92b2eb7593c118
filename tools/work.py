"""Doing things so that a run killed at any moment leaves nothing that a later one trusts.

Everything is made in a scratch folder beside its final place and renamed when it is whole,
under a lock that the kernel releases when its holder dies; the next holder sweeps what a dead
one left. Children run in a process group of their own, which ends with the step.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tools.progress import Progress

_SCRATCH = ".work-"


class SetupError(Exception):
    """Set-up cannot go on; the message says what failed and what would help."""


@contextlib.contextmanager
def locked(path: Path, what: str, progress: Progress) -> Iterator[None]:
    """Hold ``path``, a file or folder, against other runs; say so when one has to be awaited."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if not _try_lock(descriptor, path):
            with progress.step(f"waiting for another run that is {what}"):
                while not _try_lock(descriptor, path):
                    time.sleep(0.1)
                    progress.tick("")
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise SetupError(f"{path} is on a file system without file locks: {error}") from error
    return True


@contextlib.contextmanager
def scratch(tools: Path) -> Iterator[Path]:
    """A new empty folder in ``tools``, gone afterwards. Call it only while holding the lock of
    ``tools``: it removes what killed runs left there."""
    for leftover in tools.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=tools, prefix=_SCRATCH))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def place(made: Path, final: Path) -> None:
    """Rename the folder ``made`` to ``final``, its files safely on disk first. A damaged
    ``final`` is moved out of the way, to where the next sweep finds it."""
    for file in filter(Path.is_file, made.rglob("*")):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
    if final.exists():
        final.rename(made.parent / "damaged")
    made.rename(final)


def write_whole(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``; a reader sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_text(text, "utf-8")
    temporary.replace(path)


def run(command: Sequence[str], progress: Progress, env: Mapping[str, str], cwd: Path) -> None:
    """Run ``command``, showing the last line of its output as progress.

    SetupError with the end of the output when it fails."""
    with tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise SetupError(f"{command[0]} cannot be started: {error}") from error
        try:
            _follow(child, output.fileno(), progress)
        finally:
            _end(child)
        if child.returncode != 0:
            name = " ".join([Path(command[0]).name, *command[1:3]])
            end = "\n".join(f"    {line}" for line in _last_lines(output.fileno(), 12))
            raise SetupError(f"`{name}` ended with {child.returncode}:\n{end}")


def _follow(child: subprocess.Popen[bytes], output: int, progress: Progress) -> None:
    while True:
        try:
            child.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            progress.tick("".join(_last_lines(output, 1)))
        else:
            return


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave no process behind, whatever ended the step."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _last_lines(output: int, count: int) -> list[str]:
    """The end of a file that a child still writes to: pread leaves its position alone."""
    start = max(0, os.fstat(output).st_size - 8192)
    text = os.pread(output, 8192, start).decode(errors="replace").replace("\r", "\n")
    return [line.strip() for line in text.splitlines() if line.strip()][-count:]
