"""llama.cpp's own HTTP server: ``python -m serving.engine``.

On a Unix socket, which only this user can reach, or in a pod on a TCP port, which the pod's
network policy keeps. It asks the network for nothing, and it says nothing about what it is
asked. The weights are compared with their digest before anything parses them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import stat
import sys
import tempfile
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from release.errors import BAD_INPUT, DONE, FAILED, BadInput, Problem
from release.files import read_json, write_json
from serving import processes

ERRORS = 1
"""llama.cpp's verbosity. 2 adds two lines for each prompt that it has seen before, 3 several
for every request; 4 and above would put prompts in the log."""

PROMPT_CACHE_MIB = 64
"""Memory for prompts' state beyond the context itself. llama.cpp's default is 8192."""

WAIT_POLICY = "passive"
"""How OpenMP's threads wait for each other. They spin by default, which is 15 % quicker alone
(2.8 requests/s to 2.4, measured) and takes the processor from the engine of the environment
beside it: two that answered at once on two cores fell to a tenth; passive, they share evenly."""


EVERYWHERE, HERE = "0.0.0.0", "127.0.0.1"  # noqa: S104 - a pod's address is not known before
BUSY = re.compile(r"^llamacpp:requests_(?:processing|deferred) (\S+)$", re.MULTILINE)
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class FileState:
    """A file as it was when its digest was taken."""

    path: str
    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileState:
        """The state of ``path`` now; BadInput when it cannot be read."""
        try:
            entry = path.stat()
        except OSError as error:
            remedy = "Ship the release again: it brings the file back."
            raise BadInput(
                Problem("the model's weights", str(error.strerror), remedy, file=str(path))
            ) from error
        return cls(str(path), entry.st_size, entry.st_mtime_ns, entry.st_ino)


def sha256(path: Path, cache: Path) -> str:
    """The digest of ``path``. Remembered in the folder ``cache`` while the file is unchanged.

    Hashing takes about 0.1 s for 100 MB: a restart shall not pay that for 40 GB.
    """
    state = FileState.of(path)
    name = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    note = cache / f"sha256-{name}.json"
    try:
        known = read_json(note)
        if known["file"] == asdict(state):
            return str(known["sha256"])
    except (OSError, BadInput, KeyError, TypeError):
        pass  # never taken, or half a note: take it again
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    write_json(note, {"file": asdict(state), "sha256": digest})
    return digest


def verify(model: Path, expected: str, cache: Path) -> None:
    """BadInput unless ``model`` has the digest that the release was built with."""
    found = sha256(model, cache)
    if found != expected:
        remedy = "It has changed since the release was built: ship that release to restore it."
        raise BadInput(Problem(f"sha256 {expected}", found, remedy, file=str(model)))


def serve(options: argparse.Namespace) -> Any:
    """Start llama.cpp's server; it answers while the returned object lives."""
    os.environ.setdefault("OMP_WAIT_POLICY", WAIT_POLICY)  # read when the library is loaded
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(options.model)
    parameters.hostnames = [EVERYWHERE if options.port else str(options.socket)]
    parameters.port = options.port
    parameters.n_ctx, parameters.n_parallel = options.context, options.parallel
    parameters.cpuparams.n_threads = options.threads
    parameters.cache_ram_mib = PROMPT_CACHE_MIB
    parameters.verbosity = ERRORS
    parameters.endpoint_metrics = True
    parameters.endpoint_slots = parameters.endpoint_props = parameters.ui = False
    parameters.offline = True
    return xllamacpp.Server(parameters)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="serving.engine", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--sha256", required=True, help="its digest")
    door = parser.add_mutually_exclusive_group(required=True)
    door.add_argument("--socket", type=Path, help="Unix socket to listen on")
    door.add_argument("--port", type=int, default=0, help="TCP port to listen on, everywhere")
    parser.add_argument("--context", type=int, required=True, help="tokens, for all requests")
    parser.add_argument("--parallel", type=int, required=True, help="requests at the same time")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    return parser.parse_args()


def _own(socket: Path) -> Path:
    """``socket``, as nobody else's; the folder for notes beside it. Taken when it is served."""
    processes.hold(socket.with_name(socket.name + ".lock"))
    socket.unlink(missing_ok=True)  # a killed predecessor leaves its socket behind
    return socket.parent


def temporary() -> Path:
    """A folder of this user's alone under the system's temporary one: in a pod all else is
    read-only. A folder that somebody else could have prepared is left alone: what is noted there
    is believed.
    """
    folder = Path(tempfile.gettempdir()) / f"greenlight-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    entry = folder.lstat()
    if stat.S_ISDIR(entry.st_mode) and entry.st_uid == os.getuid() and not entry.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="greenlight-"))


def finish(port: int) -> None:
    """Wait until nobody is served on ``port``. A pod has its grace period, and then is killed; a
    server on a socket has a supervisor, which stops it after those who ask it.
    """
    while port and busy(port):
        time.sleep(LOOK_SECONDS)


def busy(port: int) -> bool:
    """Whether requests are answered or wait, as llama.cpp itself says; not when it says nothing."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{HERE}:{port}/metrics", timeout=5) as page:
            return any(float(number) for number in BUSY.findall(page.read().decode()))
    except OSError:
        return False


def main() -> int:
    """Serve until SIGTERM. Exit code 2 when trying again cannot help."""
    options = _options()
    try:
        notes = _own(options.socket) if options.socket else temporary()
        verify(options.model, options.sha256, notes)
        borrowed = processes.borrow(options.model)
        server = serve(options)
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    except (processes.Taken, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(DONE))  # while it loads, SIGTERM just kills
    try:
        while server and not borrowed.closed:
            signal.pause()
    finally:
        finish(options.port)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
