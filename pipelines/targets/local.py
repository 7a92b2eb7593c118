"""The local target: slots below a supervisor, traffic through a gateway, on this machine."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.cache import ModelCache
from pipelines.facts import SlotFacts, SlotState
from pipelines.targets.base import (
    Copies,
    DeployFailedError,
    Endpoint,
    Histogram,
    Measured,
    StaleFenceError,
    TargetFacts,
)
from release.bundle import Release
from release.errors import BadInput, GreenlightError
from release.ledger import FileWitness, Mark
from release.state import StateFolder
from serving import keys, local
from serving.slots import SlotSpec

GONE_WITHIN = 120.0  # seconds: what stops is killed by its supervisor long before
POLL = 0.1  # seconds between looks at a slot that is starting
PATIENCE = 10.0  # seconds for an answer of the gateway's own, beyond any deadline asked for

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Past any proxy that the user's shell names: these calls carry a key, to this machine alone."""


@dataclass(frozen=True)
class EnvironmentWitness(FileWitness):
    """Remembers the ledger's head in the environment's folder, while there is one."""

    def note(self, mark: Mark) -> None:
        """Remember ``mark``, unless the environment is not there (or no more)."""
        if self.path.parent.is_dir():
            super().note(mark)


@dataclass(frozen=True)
class LocalTarget:
    """One environment in a folder of the application's state.

    ``ready_within``: seconds that a release may take to load; whoever hangs is given up then.
    """

    application: str
    environment: str
    state: StateFolder
    cache: ModelCache
    ready_within: float = 600.0

    @property
    def folder(self) -> Path:
        """Where the environment's files are."""
        return self.state.environment(self.environment)

    @property
    def witness(self) -> EnvironmentWitness:
        """This target's memory of the ledger's head."""
        return EnvironmentWitness(self.folder / "seen.json")

    def key_file(self, role: str) -> Path:
        """The file of a caller's key: role user, tester or operator."""
        return self.state.keys / f"{self.environment}.{role}.key"

    def facts(self) -> TargetFacts:
        """What is there: from the supervisor's files, and from the gateway where it answers.

        Where something cannot be read it is not provisioned, with the reason: that mends it.
        """
        slots: dict[str, SlotFacts] = {}
        try:
            declared = local.declared(self.folder)
            slots = _slot_facts(declared.slots, {})  # what is known as long as nobody says more
            slots = _slot_facts(declared.slots, local.observed(self.folder))
            found = local.read(self.folder)
            if found is None:
                return TargetFacts(False, slots=slots, reason="it is not provisioned")
            if not found.alive:
                reason = "its gateway does not answer"
                return TargetFacts(False, found.address, slots, reason=reason)
            weights = self._call("GET", "/-/routes")["weights"]
        except GreenlightError as error:
            return TargetFacts(False, slots=slots, reason=str(error))
        watched = bool(declared.watch)
        return TargetFacts(True, found.address, slots, _nonzero(weights), watched=watched)

    def drift(self) -> tuple[str, ...]:
        """Nothing: it is kept nowhere else."""
        return ()

    def provision(self, fence: int) -> None:
        """Nothing: the engine makes it."""

    def destroy(self, fence: int) -> tuple[str, ...]:
        """Nothing: the engine takes it away."""
        return ()

    def room(self, release: Release) -> None:
        """Nobody counts: processes of one machine share it."""

    def deploy(
        self, slot: str, release: Release, fence: int, scale: int | None = None, whole: bool = True
    ) -> None:
        """Start ``release`` in ``slot``; return when it has answered a real prompt."""
        if scale not in (None, 1):
            raise GreenlightError(f"a local slot has one copy, {scale} were asked for")
        slots = self._slots_if_known()
        if slot in slots and self._state(slot, release)[0] == "ready":
            self._declare(slots, fence)  # it runs: a way back needs no file that has gone since
            return
        self._declare({**slots, slot: self._slot_spec(slot, release)}, fence)
        deadline = time.monotonic() + self.ready_within
        while True:
            state, reason = self._state(slot, release)
            if state == "ready":
                return
            if state == "failed" or time.monotonic() > deadline:
                waited = "" if state == "failed" else f" within {self.ready_within:g} s"
                raise DeployFailedError(
                    f"{release.label} did not get ready in {self.environment}/{slot}{waited}: "
                    f"{reason or 'no reason was given'}"
                )
            time.sleep(POLL)

    def expose(
        self, weights: Mapping[str, int], fence: int, mirror: Mapping[str, int] | None = None
    ) -> None:
        """Set the gateway's weights and mirror, whole; durable when this returns."""
        routes: dict[str, Any] = {"fence": fence, "weights": dict(weights)}
        for slot, percent in (mirror or {}).items():
            routes["mirror"] = {"slot": slot, "percent": percent}
        self._call("PUT", "/-/routes", routes)

    def measure(self, slot: str) -> Measured:
        """The gateway's counts of ``slot`` since it started."""
        document = self._call("GET", "/-/counts")
        if slot not in document["slots"]:
            raise GreenlightError(f"{self.environment}: the gateway has no counts of {slot}")
        counts = document["slots"][slot]
        return Measured(
            since=document["since"],
            requests=counts["requests"],
            errors=counts["errors"],
            truncated=counts["truncated"],
            cut=counts["cut"],
            abandoned=counts["abandoned"],
            declined=counts["declined"],
            refused=counts["refused"],
            synthetic=counts["synthetic"],
            in_flight=counts["in_flight"],
            latency=_histogram(counts["latency_seconds"]),
            first_token=_histogram(counts["first_token_seconds"]),
            inter_token=_histogram(counts["inter_token_seconds"]),
            copies=_copies(counts["mirror"]),
        )

    def watch(self, on: bool, fence: int) -> None:
        """Let the supervisor keep a watcher running, or no longer."""
        with self._at_work():
            local.watch(self.folder, str(self.state.app) if on else "", fence)

    def retire(self, slot: str, deadline: float, fence: int) -> int:
        """Drain ``slot`` for at most ``deadline`` seconds, then stop it; requests that were cut."""
        cut = 0
        with self._at_work():  # a stale fence drains nobody
            local.declare(self.folder, local.declared(self.folder).slots, fence)
        if slot in local.observed(self.folder).get("slots", {}):
            drained = self._call(
                "POST", f"/-/drain/{slot}", {"deadline_seconds": deadline}, deadline + PATIENCE
            )
            cut = int(drained["cut"])
        with self._at_work():
            slots = local.declared(self.folder).slots
        self._declare({name: spec for name, spec in slots.items() if name != slot}, fence)
        self._wait_until_gone(slot)
        return cut

    def endpoint(self, slot: str) -> Endpoint:
        """The gateway, pinned to ``slot``, with what is asked marked as synthetic."""
        return Endpoint(
            url=self._address(),
            headers={
                "Authorization": f"Bearer {self._key('tester')}",
                "x-greenlight-slot": slot,
                "x-greenlight-synthetic": "1",
            },
            model=self.application,
        )

    def _slot_spec(self, slot: str, release: Release) -> dict[str, Any]:
        file = release.file
        if file is None:
            raise DeployFailedError(f"{release.label}: its weights are only a cluster's to fetch")
        model = self.cache.path(file.sha256)
        if not model.is_file():
            raise DeployFailedError(
                f"the model of {release.label} is not in the cache ({model}). "
                "`greenlight ship` with that release's sources puts it back. If it was dropped to "
                "make room, raise GREENLIGHT_CACHE_BYTES."
            )
        key = release.engine_key
        engine = release.engine.model_dump(exclude={"isolation", "version"})
        if release.engine.isolation == "dedicated":
            key = f"{slot}-{key}"
        return {
            "release": release.digest,
            "label": release.label,
            "bundle": {
                "application": release.application,
                "prompt": {
                    "inputs": {name: {"required": True} for name in release.prompt.inputs},
                    "messages": [m.model_dump(mode="json") for m in release.prompt.messages],
                },
                "parameters": release.parameters.model_dump(mode="json"),
            },
            "engine": {
                **engine,
                "key": key,
                "model": str(model),
                "model_sha256": file.sha256,
            },
        }

    def _slots_if_known(self) -> Mapping[str, SlotSpec]:
        """The declared slots; none where the declaration is damaged: they are declared anew."""
        try:
            return local.declared(self.folder).slots
        except BadInput:
            return {}

    def _declare(self, slots: Mapping[str, SlotSpec | dict[str, Any]], fence: int) -> None:
        with self._at_work():
            local.declare(self.folder, slots, fence)

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """In the middle of a step it is no bad input, which promises that nothing was changed."""
        try:
            yield
        except local.StaleFence as error:
            raise StaleFenceError(f"{self.environment}: {error}") from error
        except BadInput as error:
            raise GreenlightError(f"{self.environment}: {error}") from error

    def _state(self, slot: str, release: Release) -> tuple[str, str]:
        found = local.observed(self.folder).get("slots", {}).get(slot, {})
        if found.get("release") != release.digest:
            return "starting", "the supervisor has not taken it up"
        return found["state"], found.get("reason", "")

    def _wait_until_gone(self, slot: str) -> None:
        deadline = time.monotonic() + GONE_WITHIN
        while slot in local.observed(self.folder).get("slots", {}):
            if time.monotonic() > deadline:
                raise GreenlightError(f"{self.environment}/{slot} does not stop")
            time.sleep(POLL)

    def _address(self) -> str:
        with self._at_work():
            found = local.read(self.folder)
        if found is None:
            raise GreenlightError(f"{self.environment} is not provisioned")
        return str(found.address)

    def _key(self, role: str) -> str:
        path = self.key_file(role)
        try:
            with self._at_work():
                return keys.read(path)
        except OSError as error:
            raise GreenlightError(
                f"{path}: the key of the role {role} cannot be read ({error.strerror}). "
                "`greenlight ship` makes keys that are missing."
            ) from None

    def _call(
        self, method: str, path: str, body: Any = None, patience: float = PATIENCE
    ) -> dict[str, Any]:
        """One call of the gateway's admin interface. StaleFenceError on a fence that is over."""
        request = urllib.request.Request(  # noqa: S310 - the address is the gateway's own
            f"{self._address()}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._key('operator')}",
                "Content-Type": "application/json",
            },
        )
        try:
            with _DIRECT.open(request, timeout=patience) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.HTTPError as error:
            text = _message(error)
            if error.code == 409 and method == "PUT":
                raise StaleFenceError(f"{self.environment}: {text}") from None
            raise GreenlightError(f"{self.environment}: the gateway refused: {text}") from None
        except (OSError, ValueError) as error:
            raise GreenlightError(
                f"{self.environment}: its gateway does not answer ({error})"
            ) from None


def _copies(document: Mapping[str, Any]) -> Copies:
    latency = _histogram(document["latency_seconds"])
    return Copies(document["requests"], document["errors"], document["different"], latency)


def _histogram(document: Mapping[str, Any]) -> Histogram:
    buckets = tuple((float(bound), int(count)) for bound, count in document["buckets"])
    return Histogram(buckets, document["count"], document["sum"])


def _message(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP status {error.code}"


def _nonzero(weights: Mapping[str, int]) -> dict[str, int]:
    return {slot: weight for slot, weight in weights.items() if weight}


def _slot_facts(
    declared: Mapping[str, SlotSpec], observed: Mapping[str, Any]
) -> dict[str, SlotFacts]:
    """Declared slots with what the supervisor sees of them."""
    seen = observed.get("slots", {})
    facts = {}
    for name, spec in declared.items():
        found = seen.get(name, {})
        current = found.get("release") == spec.release
        state: SlotState = found["state"] if current else "starting"
        facts[name] = SlotFacts(
            release=spec.release,
            state=state,
            reason=found.get("reason", "") if current else "",
            engine=spec.engine.key,
            reachable=state == "ready",
        )
    return facts
