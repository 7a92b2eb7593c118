"""One of several processes acts: by a Lease, as Kubernetes' own controllers choose theirs.

Whoever holds the Lease renews it. Others watch it by their own clocks that nobody can set, and take
it when it has not changed for as long as it lasts. Whoever could not renew it for a shorter time
acts no more, so that between one leader and the next there is a while without any, and never two at
once. No process is chosen twice: one that lost has to begin anew, knowing nothing.

The client's own `kubernetes.leaderelection` was looked at (docs/decisions/0011-leader-election.md).
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from release.errors import GreenlightError, Waiting

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
"""The variable by which the kubelet tells a pod where the API server is."""


@dataclass(frozen=True)
class Terms:
    """Seconds: a Lease that is not renewed for ``lasts`` may be taken; a leader that could not
    renew it for ``acts`` does nothing more; ``pause`` between tries; ``answer`` for one request.
    """

    lasts: float = 12.0
    acts: float = 8.0
    pause: float = 2.0
    answer: float = 3.0


@dataclass(frozen=True)
class Claim:
    """What a Lease says. ``version`` changes with every write to it; empty: there is none yet."""

    holder: str = ""
    version: str = ""
    acquired: str = ""
    transitions: int = 0


class OvertakenError(GreenlightError):
    """Somebody else wrote the Lease after it was read; nothing was written."""


class LeaseAwayError(GreenlightError):
    """The Lease could not be read or written; nobody knows whether it was."""


class NotLeadingError(Waiting):
    """Another process acts now; this one does nothing more."""


class LeaseObject(Protocol):
    """A Lease, wherever it is kept."""

    def read(self) -> Claim:
        """What it says. LeaseAwayError."""

    def write(self, claim: Claim) -> None:
        """Say ``claim``, if it is still at ``claim.version``. OvertakenError, LeaseAwayError."""


def this_candidate() -> str:
    """A name that no other process has: a pod's container that starts again has another."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Election:
    """A candidate. Its ``attempt`` is called again and again; ``leads`` says whether it may act."""

    def __init__(
        self, lease: LeaseObject, me: str, tell: Callable[[str], None],
        terms: Terms = Terms(), clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._lease, self._me, self._tell = lease, me, tell
        self._terms, self._clock = terms, clock
        self._seen, self._seen_at, self._said = Claim(), clock(), ""
        self._until: float | None = None
        self._heard: float | None = None
        self._over = False

    def leads(self) -> bool:
        """Whether this process may act at this moment. Once it was not any more, never again."""
        if self._until is not None and self._clock() >= self._until:
            self._over = True
        return self._until is not None and not self._over

    def hears(self) -> bool:
        """Whether the Lease could be had within the time that it lasts: read, and written where
        that was to be done.
        """
        return self._heard is not None and self._clock() - self._heard < self._terms.lasts

    @property
    def lost(self) -> bool:
        """Whether it led, and does not any more."""
        return self._until is not None and not self.leads()

    def require(self) -> None:
        """NotLeadingError unless this process may act at this moment."""
        if not self.leads():
            raise NotLeadingError(f"{self._me} does not lead: another process acts, or will")

    def attempt(self) -> None:
        """Take the Lease if it is free, renew it if it is ours. What fails is said, and no more."""
        if self.lost:
            return
        asked = self._clock()
        try:
            self._try(asked)
        except OvertakenError:
            pass  # who it was is seen at the next look
        except LeaseAwayError as error:
            self._say(str(error))
            return
        self._heard = asked

    def _try(self, asked: float) -> None:
        found = self._look(asked)
        if found.holder not in ("", self._me) and not self._ran_out(asked):
            self._follow(found.holder)
            return
        self._lease.write(self._ours(found))
        self._until = asked + self._terms.acts  # counted from before the request: it may be slow
        self._say(f"{self._me} leads")

    def resign(self) -> None:
        """Give the Lease back, so that nobody has to wait until it runs out."""
        if not self.leads():
            return
        self._over = True
        try:
            found = self._lease.read()
            if found.holder == self._me:
                self._lease.write(replace(found, holder=""))
        except (OvertakenError, LeaseAwayError):
            return  # it runs out

    def _look(self, now: float) -> Claim:
        found = self._lease.read()
        if found != self._seen:
            self._seen, self._seen_at = found, now
        return found

    def _ran_out(self, now: float) -> bool:
        return now - self._seen_at >= self._terms.lasts

    def _ours(self, found: Claim) -> Claim:
        if found.holder == self._me:
            return found
        grown = found.transitions + (1 if found.version else 0)
        return Claim(self._me, found.version, "", grown)

    def _follow(self, holder: str) -> None:
        if self._until is not None:
            self._over = True
        self._say(f"{holder} leads")

    def _say(self, text: str) -> None:
        """Once, however long it stays so."""
        if text != self._said:
            self._tell(text)
            self._said = text


class Candidacy:
    """An election in the background: one thread tries, another sees when its time is over.

    ``lost`` is called, from a thread, as soon as this process has led and may not any more. The
    thread that tries can be waiting for an answer just then, which is why another one looks.
    """

    def __init__(self, election: Election, terms: Terms, lost: Callable[[], None]) -> None:
        self._election, self._terms, self._lost = election, terms, lost
        self._stop = threading.Event()
        loops = {"election": self._try, "election-guard": self._guard}
        self._threads = [
            threading.Thread(target=loop, name=name, daemon=True) for name, loop in loops.items()
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and give the Lease back; returns when that is done or was tried."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._election.resign()

    def _try(self) -> None:
        try:
            while not self._stop.is_set():
                self._election.attempt()
                self._stop.wait(self._terms.pause)
        finally:
            if not self._stop.is_set():  # something that nobody thought of: nobody would renew
                self._lost()

    def _guard(self) -> None:
        while not self._stop.wait(0.2):
            if self._election.lost:
                self._lost()
                return


@dataclass(frozen=True)
class KubernetesLease:
    """A Lease in a cluster: the one that this pod is in, else the one of KUBECONFIG."""

    namespace: str
    name: str
    terms: Terms = Terms()

    def read(self) -> Claim:
        """What it says; an empty claim when there is none."""
        found = self._ask("get", "read_namespaced_lease", self.name, self.namespace)
        if found is None:
            return Claim()
        spec = found.spec
        acquired = spec.acquire_time.strftime(_MICRO_TIME) if spec.acquire_time else ""
        return Claim(
            spec.holder_identity or "",
            found.metadata.resource_version,
            acquired,
            spec.lease_transitions or 0,
        )

    def write(self, claim: Claim) -> None:
        """Create or replace it, with the time of now."""
        body = self._body(claim)
        if claim.version:
            self._ask("update", "replace_namespaced_lease", self.name, self.namespace, body)
        else:
            self._ask("create", "create_namespaced_lease", self.namespace, body)

    def _body(self, claim: Claim) -> dict[str, Any]:
        now = datetime.now(UTC).strftime(_MICRO_TIME)
        meta = {"name": self.name, "namespace": self.namespace}
        if claim.version:
            meta["resourceVersion"] = claim.version
        spec = {
            "holderIdentity": claim.holder,
            "leaseDurationSeconds": max(1, round(self.terms.lasts)) if claim.holder else 1,
            "acquireTime": claim.acquired or now,
            "renewTime": now,
            "leaseTransitions": claim.transitions,
        }
        return {"apiVersion": _API, "kind": "Lease", "metadata": meta, "spec": spec}

    def _ask(self, verb: str, call: str, *given: Any) -> Any:
        """One request; None for a Lease that is not there to be read."""
        from kubernetes.client.exceptions import ApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        what = f"{verb} Lease {self.namespace}/{self.name}"
        try:
            return getattr(self._api, call)(*given, _request_timeout=self.terms.answer)
        except ApiException as error:
            if error.status == 404 and verb == "get":
                return None
            if error.status in (404, 409):
                raise OvertakenError(f"{what}: {error.status}") from None
            reason = f"the API server answered {error.status} {error.reason or ''}".rstrip()
        except (HTTPError, OSError) as error:
            reason = f"the API server does not answer ({type(error).__name__})"
        except ConfigException as error:
            reason = f"nobody says where the API server is ({error})"
        raise LeaseAwayError(f"cannot {what}: {reason}") from None

    @cached_property
    def _api(self) -> Any:
        """Made at the first use. Nothing is tried again here: ``Election`` does."""
        from kubernetes import client, config

        settings = client.Configuration()
        file = os.environ.get("KUBECONFIG")  # the client read it when it was imported
        if file is None and IN_CLUSTER in os.environ:
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(config_file=file, client_configuration=settings)
        settings.retries = 0
        return client.CoordinationV1Api(client.ApiClient(settings))


_API = "coordination.k8s.io/v1"
_MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
"""Kubernetes' MicroTime: the six digits are always there, which isoformat leaves out when 0."""
