"""llama.cpp's own HTTP server on a Unix socket: ``python -m serving.engine``.

Only this user can reach it, it asks the network for nothing, and it says nothing about
what it is asked. The weights are compared with their digest before anything parses them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
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
    parameters.hostnames = [str(options.socket)]
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
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--context", type=int, required=True, help="tokens, for all requests")
    parser.add_argument("--parallel", type=int, required=True, help="requests at the same time")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    return parser.parse_args()


def main() -> int:
    """Serve until SIGTERM. Exit code 2 when trying again cannot help."""
    options = _options()
    try:
        processes.hold(options.socket.with_name(options.socket.name + ".lock"))
        verify(options.model, options.sha256, options.socket.parent)
        borrowed = processes.borrow(options.model)
        options.socket.unlink(missing_ok=True)  # a killed predecessor leaves its socket behind
        server = serve(options)
    except BadInput as error:
        sys.stderr.write(f"{error}\n")
        return BAD_INPUT
    except (processes.Taken, RuntimeError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(DONE))  # while it loads, SIGTERM just kills
    while server and not borrowed.closed:
        signal.pause()
    return DONE


if __name__ == "__main__":
    sys.exit(main())
