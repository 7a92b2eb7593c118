"""``python -m tests.targets.kubernetes.candidate FOLDER NAMESPACE LEASE``: a watcher's process.

Its election, its clock, its way to end and its ledger are the pod's own; its turns do nothing but
write, as fast as they can: under the environment's lease, and without it as a look's window is.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from pipelines.targets.kubernetes.election import (
    Candidacy,
    Election,
    KubernetesLease,
    Terms,
    this_candidate,
)
from pipelines.targets.kubernetes.watcher_pod import (
    Ending,
    LeadersClock,
    Pulse,
    end_at_once,
    watch_when_leading,
)
from pipelines.watcher import Log
from release.lease import held
from release.ledger import open_ledger
from release.state import StateFolder

APPLICATION, ENVIRONMENT = "assist", "production"


def main() -> None:
    """Stand by until told to go."""
    folder, namespace, lease = sys.argv[1:]
    log, ending, terms = Log(), Ending(Pulse()), Terms()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    me = this_candidate()
    election = Election(KubernetesLease(namespace, lease, terms), me, log.note, terms)
    candidacy = Candidacy(election, terms, lambda: end_at_once(log))
    candidacy.start()
    watch_when_leading(election, ending, lambda: write(Path(folder), me, election, ending))
    candidacy.stop()


def write(folder: Path, me: str, election: Election, ending: threading.Event) -> None:
    """Entries, until it is time to go."""
    clock = LeadersClock(election)
    ledger = open_ledger(StateFolder(folder), APPLICATION, clock=clock.time)
    with held(ledger, ENVIRONMENT, "watch", takeover=True) as kept:
        while not ending.wait(0.02):
            ledger.append("step-done", ENVIRONMENT, {"by": me}, lease=kept.lease)
            ledger.append("window", ENVIRONMENT, {"by": me})


if __name__ == "__main__":
    main()
