"""Whether a watcher could do its work now: what its pod answers when the kubelet asks ``/ready``.

No restart helps against a credential that is not trusted or a Prometheus that is away, so none of
it is a matter of being alive. Nor does the election ask: who is not ready may lead, and does what
it still can. Both pods look for themselves, since the one that waits is to go on tomorrow.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.targets.base import Target
from pipelines.targets.kubernetes.election import Election
from release.errors import GreenlightError
from release.ledger import Ledger

LOOK_SECONDS = 10.0
"""Between looks at what a watcher needs."""

STALE_SECONDS = 60.0
"""A look that takes longer hangs: a store's own tries take 10 s, an answer of Prometheus' too."""


class Turns:
    """How the last turn of the one that leads went."""

    def __init__(self) -> None:
        self.trouble = ""

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Remember how the block ends; what it raises goes on."""
        try:
            yield
        except (GreenlightError, OSError) as error:
            self.trouble = str(error)
            raise
        self.trouble = ""


@dataclass(frozen=True)
class Needs:
    """What every turn may need: the ledger, the cluster, and the counts of who has users."""

    ledger: Ledger
    target: Target

    def look(self) -> None:
        """GreenlightError or OSError for the first that cannot be had. Nothing is written."""
        self.ledger.refresh()
        facts = self.target.facts()
        if not facts.provisioned:
            raise GreenlightError(facts.reason)
        for slot, weight in facts.weights.items():
            if weight:
                self.target.measure(slot)


class Outlook:
    """Looks in the background whether everything can be had. What cannot is told once."""

    def __init__(
        self, opened: Callable[[], Needs], tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._opened, self._tell, self._clock = opened, tell, clock
        self._needs: Needs | None = None
        self._found, self._at = "it has not looked yet", clock()

    @property
    def trouble(self) -> str:
        """What the last look could not have; empty: it had everything."""
        if self._clock() - self._at < STALE_SECONDS:
            return self._found
        return self._found or f"its look has taken longer than {STALE_SECONDS:g} s"

    def look(self) -> None:
        """Look once. After a failure everything is opened anew, as a turn does it."""
        try:
            self._needs = self._needs or self._opened()
            self._needs.look()
        except (GreenlightError, OSError) as error:
            self._needs, found = None, str(error)
            if found != self._found:
                self._tell(f"not ready: {found}")
        else:
            found = ""
        self._found, self._at = found, self._clock()

    def start(self) -> None:
        """Look until the process ends: a look that hangs holds up nobody's end."""
        threading.Thread(target=self._keep, name="outlook", daemon=True).start()

    def _keep(self) -> None:
        while True:
            self.look()
            time.sleep(LOOK_SECONDS)


@dataclass(frozen=True)
class Readiness:
    """A pod's answer, from what its threads have left."""

    election: Election
    outlook: Outlook
    turns: Turns

    def trouble(self) -> str:
        """Why it could not do its work now; empty where it could."""
        if not self.election.hears():
            return "its Lease cannot be had"
        turn = self.turns.trouble if self.election.leads() else ""
        return self.outlook.trouble or turn
