"""Asks Prometheus, and remembers what it has forgotten.

Prometheus may be any server with its API: https://prometheus.io/docs/prometheus/latest/querying/api/
An Azure Monitor workspace is one; it wants a token of Microsoft Entra for
``https://prometheus.monitor.azure.com``, in GREENLIGHT_PROMETHEUS_TOKEN.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

from pipelines.clock import SYSTEM, Clock
from pipelines.targets.base import Measured
from pipelines.targets.kubernetes import queries
from pipelines.targets.kubernetes.queries import Place, Reading
from release.errors import GreenlightError

TOKEN = "GREENLIGHT_PROMETHEUS_TOKEN"  # noqa: S105 - the variable that holds it
FRESH_SECONDS = 20.0
"""A sample that is older is no measurement of now. A PodMonitor of ours reads every 5 s."""

LOOKBACK_SECONDS = 3600.0
"""How far the first look goes back: ten pods have 1.4 million samples in it, and Prometheus refuses
a query of 50 million."""

REMEMBERED_SECONDS = 1.0
"""An answer is given again for so long: a pod is read every few seconds at most."""

ANSWER_BYTES = 64 << 20


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Wherever it would lead, the token is not for there."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none: the answer is its own status then."""


_OPENER = urllib.request.build_opener(_NoRedirect)


@dataclass(frozen=True)
class Prometheus:
    """A server at ``url``. ``fresh`` and ``remembered`` are in seconds, ``timeout`` is an answer's.

    One for as long as somebody measures: it holds the meters, and they their memory.
    """

    url: str
    clock: Clock = SYSTEM
    fresh: float = FRESH_SECONDS
    remembered: float = REMEMBERED_SECONDS
    timeout: float = 10.0
    _meters: dict[tuple[Place, float], Meter] = field(
        default_factory=dict, repr=False, compare=False
    )

    def meter(self, place: Place, anchor: float) -> Meter:
        """The one meter of ``place``."""
        return self._meters.setdefault((place, anchor), Meter(self, place, anchor))

    def ask(self, query: str) -> Sequence[Mapping[str, Any]]:
        """The rows of an instant query's vector. GreenlightError says what to look at."""
        headers = {"Accept": "application/json"}
        if token := os.environ.get(TOKEN, "").strip():
            self._require_secret_way()
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(  # noqa: S310 - the spec lets only http(s) through
            f"{self.url.rstrip('/')}/api/v1/query",
            data=urllib.parse.urlencode({"query": query}).encode(),
            headers=headers,
        )
        try:
            with _OPENER.open(request, timeout=self.timeout) as response:
                return _vector(json.loads(response.read(ANSWER_BYTES)))
        except urllib.error.HTTPError as error:
            with error:
                raise GreenlightError(f"{self}: {_refusal(error)}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise GreenlightError(
                f"{self} does not answer ({reason}). `kubernetes.prometheus` of the environment "
                "says where it is; it has to be reachable from here."
            ) from None
        except (ValueError, KeyError, TypeError, HTTPException):
            raise GreenlightError(
                f"{self}: what answers there does not speak Prometheus' API. The address is that "
                "of the server, without /api/v1."
            ) from None

    def _require_secret_way(self) -> None:
        """The token goes over TLS, or does not leave this machine."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise GreenlightError(
                f"{self}: {TOKEN} is set, and is not sent without TLS. Give an https address, or "
                "take the variable away where none is wanted."
            )

    def __str__(self) -> str:
        return f"Prometheus at {self.url}"


def _vector(document: Any) -> Sequence[Mapping[str, Any]]:
    if document["status"] != "success" or document["data"]["resultType"] != "vector":
        raise ValueError("no vector")
    rows: Sequence[Mapping[str, Any]] = document["data"]["result"]
    return rows


def _refusal(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        what = "does not accept" if os.environ.get(TOKEN) else "wants a token, and there is none in"
        return f"it {what} {TOKEN} (HTTP status {error.code})"
    try:
        said = str(json.load(error)["error"])
        token = os.environ.get(TOKEN, "").strip()
        return f"it refused the query: {said.replace(token, '***') if token else said}"
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP status {error.code}; is this the address of Prometheus itself?"


@dataclass
class Meter:
    """The counts of one slot, from ``anchor`` (epoch seconds) on or since an hour before the first
    look. They only grow as long as this object is there: what Prometheus forgets, it remembers.
    """

    prometheus: Prometheus
    place: Place
    anchor: float
    _since: float = 0.0
    _known: Reading | None = None
    _asked: float = 0.0  # monotonic

    def measure(self, pods: Collection[str] | None = None) -> Measured:
        """The counts. ``pods`` are those that have to be in them: ready for longer than Prometheus
        takes to find and read one. None: whichever it reads.

        GreenlightError where they are not known, never zeros.
        """
        return queries.measured(self._read(pods), self._since)

    def in_flight(self, pods: Collection[str] | None = None) -> int:
        """Requests under way now; GreenlightError as for ``measure``."""
        return queries.in_flight(self._read(pods))

    def taken(self, pods: Collection[str]) -> int:
        """Answers that ``pods``, which are gone, took from callers. GreenlightError where one of
        them was never read.
        """
        return queries.taken(self._look(at_most=0), pods)

    def _read(self, pods: Collection[str] | None) -> Reading:
        known = self._look()
        bad = queries.unread(known, pods, self.prometheus.fresh)
        if bad or not known.counts or (pods is None and not known.scraped):
            raise GreenlightError(self._explanation(bad))
        return known

    def _look(self, at_most: float | None = None) -> Reading:
        """All that is known; what was asked up to ``at_most`` seconds ago is good enough."""
        now, enough = self.prometheus.clock.monotonic(), self.prometheus.remembered
        if self._known is not None and now - self._asked > LOOKBACK_SECONDS:
            self._known = None  # nobody has looked for too long: pods came and went unseen
        if self._known is None:
            return self._first(now)
        if now - self._asked >= (enough if at_most is None else at_most):
            found = self._ask(min(now - self._asked + self.prometheus.fresh, self._age()))
            self._known, self._asked = queries.merge(self._known, found), now
        return self._known

    def _first(self, now: float) -> Reading:
        found = self._ask(min(self._age(), LOOKBACK_SECONDS))
        if found.counts:
            self._since = max(self.anchor, found.at - LOOKBACK_SECONDS)
            self._known, self._asked = found, now
        return found

    def _age(self) -> float:
        """Seconds from the anchor until now: what was in the slot before it does not count."""
        return max(self.prometheus.clock.time() - self.anchor, 1.0)

    def _ask(self, seconds: float) -> Reading:
        return queries.parse(self.prometheus.ask(queries.counts(self.place, seconds)))

    def _explanation(self, bad: Mapping[str, str]) -> str:
        """Which pods are not measured, and what to look at."""
        rows = self.prometheus.ask(queries.targets(self.place))
        up = {row["metric"]["pod"]: float(row["value"][1]) for row in rows}
        if not bad and not up:
            return f"{self.prometheus} reads no pod of {self.place}. {self._no_target()}"
        told = [f"{pod} {why}. {self._remedy(up.get(pod))}" for pod, why in sorted(bad.items())]
        told = told or [f"it has read nothing of them. {self._remedy(min(up.values()))}"]
        return f"{self.prometheus} does not know the counts of {self.place}: {' '.join(told)}"

    def _remedy(self, up: float | None) -> str:
        if up is None:
            return self._no_target()
        if not up:
            return "Its /metrics does not answer there: does a NetworkPolicy keep Prometheus out?"
        return "It has only just begun, or reading hangs: look at Prometheus' own log and targets."

    def _no_target(self) -> str:
        return (
            f"Is there a PodMonitor {self.place.application} in {self.place.namespace}, and does "
            "Prometheus select it (podMonitorSelector, podMonitorNamespaceSelector)?"
        )
