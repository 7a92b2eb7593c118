"""``python -m pipelines.targets.kubernetes.watcher_pod``: a watcher in a pod, beside another.

The one that leads does what the watcher of a machine does (pipelines/watcher.py). The other waits.
A leader whose time is over ends at once, wherever its turn is: every step can be killed, and is
found again by whoever leads next. Between two looks at a clock a process can sleep for any time,
so that the last word is not the election's: each entry is under the environment's lease in the
ledger, each write to the cluster carries its fence, and a later one refuses both.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from pipelines.clock import SYSTEM, Clock
from pipelines.targets.kubernetes.election import (
    Candidacy,
    Election,
    KubernetesLease,
    Terms,
    this_candidate,
)
from pipelines.targets.kubernetes.readiness import Needs, Outlook, Readiness, Turns
from pipelines.watcher import Log, Times, Watcher, stand_watch
from pipelines.workspace import Workspace, open_running
from release.errors import DONE, FAILED, BadInput, GreenlightError, Problem
from release.files import write_atomic
from release.keys import KEY_FILE, TRUST_FILE
from release.spec import FILE_NAME, Spec, load_spec
from release.state import StateFolder

LOOK_SECONDS = 0.5
"""Between looks of one that waits, whether it leads by now."""

IDLE_SECONDS = 5.0
"""When nothing is left to watch: until this pod is told to go, or there is something again."""

AROUND = 60.0
"""Seconds that a turn may take beyond what it waits for by its settings."""


class Pulse:
    """When the main thread did something last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._last = clock, clock()

    def beat(self) -> None:
        """It is alive."""
        self._last = self._clock()

    def age(self) -> float:
        """Seconds since the last beat."""
        return self._clock() - self._last


class Ending(threading.Event):
    """Set when the pod has to go. Whoever waits for it is alive."""

    def __init__(self, pulse: Pulse) -> None:
        super().__init__()
        self._pulse = pulse

    def wait(self, timeout: float | None = None) -> bool:
        """As any event's, with a beat before it."""
        self._pulse.beat()
        return super().wait(timeout)


@dataclass(frozen=True)
class LeadersClock:
    """The time, for whoever leads. Every entry of the ledger takes it just before it is written,
    and so finds out there, at the last moment, that its writer may not write any more.
    """

    election: Election
    clock: Clock = SYSTEM

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return self.clock.monotonic()

    def time(self) -> float:
        """Seconds since the epoch. NotLeadingError."""
        self.election.require()
        return self.clock.time()

    async def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        await self.clock.sleep(seconds)


class NotedWatcher(Watcher):
    """A watcher that leaves in ``turns`` how its last turn went."""

    def __init__(
        self, workspace: Workspace, environment: str, log: Log, times: Times, turns: Turns
    ) -> None:
        super().__init__(workspace, environment, log, times)
        self._turns = turns

    def turn(self) -> bool:
        """As any watcher's."""
        with self._turns.noted():
            return super().turn()


def prepare(folder: Path, spec: Path, keys: Path) -> Spec:
    """Make ``folder`` an application's: a Secret's files cannot be written beside, and are open
    to a group. It lies in memory, as the Secret does. BadInput for what is missing or unsound.
    """
    state = StateFolder(folder)
    state.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(folder / FILE_NAME, _read(spec))
    for name in (KEY_FILE, TRUST_FILE):
        write_atomic(state.keys / name, _read(keys / name))
    return load_spec(folder)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        found = error.strerror or type(error).__name__
        remedy = "`greenlight ship` puts the watcher's ConfigMap and Secret into the cluster."
        raise BadInput(Problem("a file of the pod's", found, remedy, file=str(file))) from None


def longest_turn(spec: Spec, environment: str) -> float:
    """Seconds after which a turn that shows no sign of life is taken for one that hangs: it may
    wait for a slot to get ready, for a window of the analysis, for a drain, and for Git.
    """
    rollout, settings = spec.rollout, spec.environments[environment].kubernetes
    git = settings.git.wait_seconds if settings and settings.git else 0
    slot = rollout.progress_deadline + rollout.drain_seconds
    return slot + rollout.analysis.interval + git + AROUND


@contextmanager
def telling_health(
    port: int, pulse: Pulse, limit: float, trouble: Callable[[], str]
) -> Iterator[int]:
    """Answer on ``port`` (0: any) while the block runs; yields the port. ``/alive``: 200 as long as
    the last beat is younger than ``limit`` seconds, then 503. ``/ready``: 200 as long as there is
    no ``trouble``, then 503 with its words.
    """

    def answer(path: str) -> tuple[HTTPStatus, str]:
        asked = {"/alive": lambda: "" if pulse.age() < limit else "it hangs", "/ready": trouble}
        if path not in asked:
            return HTTPStatus.NOT_FOUND, ""
        wrong = asked[path]()
        return HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK, wrong

    class Health(BaseHTTPRequestHandler):
        timeout = 5  # for a caller that says nothing

        def do_GET(self) -> None:
            """The probe's question."""
            status, text = answer(self.path)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: every ten seconds a probe asks."""

    with ThreadingHTTPServer(("", port), Health) as server:
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def watch_when_leading(election: Election, ending: Ending, watch: Callable[[], None]) -> None:
    """``watch`` again and again while this process leads; wait while another does."""
    while not ending.is_set():
        if election.leads():
            watch()
            ending.wait(IDLE_SECONDS)
        else:
            ending.wait(LOOK_SECONDS)


def main() -> int:
    """Stand by until the pod has to go. A turn that was begun is finished first."""
    options = _options()
    log, pulse = Log(), Pulse()
    ending = Ending(pulse)
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    try:
        spec = prepare(options.folder, options.spec, options.keys)
    except GreenlightError as error:
        log.note(str(error))
        return error.exit_code
    terms = Terms()
    lease = KubernetesLease(options.namespace, options.lease, terms)
    election = Election(lease, this_candidate(), log.note, terms)
    times, turns, clock = Times(SYSTEM.monotonic), Turns(), LeadersClock(election)

    def watcher() -> Watcher:
        with turns.noted():
            workspace = replace(open_running(options.folder), clock=clock)
            return NotedWatcher(workspace, options.environment, log, times, turns)

    def needs() -> Needs:
        workspace = open_running(options.folder)
        return Needs(workspace.open_ledger(), workspace.targets[options.environment])

    candidacy = Candidacy(election, terms, lambda: end_at_once(log))
    outlook = Outlook(needs, log.note)
    ready, limit = Readiness(election, outlook, turns), longest_turn(spec, options.environment)
    with telling_health(options.port, pulse, limit, ready.trouble):
        candidacy.start()
        outlook.start()
        watch_when_leading(election, ending, lambda: stand_watch(watcher, log, ending))
        candidacy.stop()
    return DONE


def end_at_once(log: Log) -> None:
    """No turn is waited for, nothing is tidied up: that would be acting."""
    log.note("this process does not lead any more, and ends where it is")
    sys.stderr.flush()
    os._exit(FAILED)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.targets.kubernetes.watcher_pod", description=__doc__
    )
    parser.add_argument("--environment", required=True)
    parser.add_argument("--spec", type=Path, required=True, help="llm.yaml, of the ConfigMap")
    parser.add_argument("--keys", type=Path, required=True, help="the folder of the Secret")
    parser.add_argument("--folder", type=Path, required=True, help="where files can be written")
    parser.add_argument("--namespace", required=True, help="of the Lease")
    parser.add_argument("--lease", required=True, help="the Lease's name")
    parser.add_argument("--port", type=int, required=True, help="for /alive and /ready")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
