"""An environment on this machine: a folder, and the processes that serve from it.

``create`` and ``destroy`` are what the Pulumi resource calls; ``declare`` and ``observed``
are what the target adapter speaks through. None of them waits for more than it names.
"""

from __future__ import annotations

import http.client
import shutil
import signal
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from release.errors import BadInput, GreenlightError, Problem
from release.files import locked, read_json, write_json
from serving import keys, processes, supervisor
from serving.processes import Found, Identity
from serving.slots import NOTHING, Desired, SlotSpec, parse_desired
from serving.supervisor import DESIRED, OBSERVED, listener
from serving.supervisor.logs import tail
from serving.supervisor.plan import STOP_ORDER
from serving.supervisor.units import GATEWAY_MODULE, MODULES, units_of

ROLES = ("user", "tester", "operator")
"""``tester`` may pin a slot, ``operator`` may also move traffic."""

SUPERVISOR_MODULE = "serving.supervisor"
SETTINGS, CALLERS, ROUTES = listener.SETTINGS, "callers.json", "routes.json"
START_SECONDS = 60.0
"""For the gateway to answer. It takes about a second; a loaded machine gets its time."""

OBSERVE_SECONDS = 15.0
"""For a supervisor that has just been started to say what it sees."""

STOP_SECONDS = 30.0
"""For the supervisor to stop everything in order: gateway 10, applications 5, engines 5."""

SWEEPS = 5
"""Rounds of looking for what is left. A process that was just being started shows up late."""


@dataclass(frozen=True)
class RateLimit:
    """Requests: so many a second in the long run, and up to ``burst`` at once."""

    per_second: float
    burst: int


@dataclass(frozen=True)
class EnvironmentSettings:
    """What an environment is asked to be. ``port`` 0: the kernel gives one, and it is kept.

    ``refusal``: an answer that holds one of these phrases is counted as a refusal.
    ``rate_limit`` is for the user's key; None: it may ask as often as it wants.
    """

    application: str
    environment: str
    keys_folder: Path
    host: str = "127.0.0.1"
    port: int = 0
    refusal: tuple[str, ...] = ()
    rate_limit: RateLimit | None = None


@dataclass(frozen=True)
class EnvironmentFacts:
    """What an environment is. ``pid`` and ``started`` are the supervisor's, None without one."""

    application: str
    environment: str
    address: str
    folder: str
    pid: int | None
    started: float | None
    alive: bool


class StaleFence(GreenlightError):
    """Somebody with a later lease has written since."""

    def __init__(self, offered: int, stored: int) -> None:
        super().__init__(
            f"The fence {offered} is stale: {stored} has been seen. Another run holds the lease;"
            " let it finish, or start again to get a lease of your own."
        )
        self.offered, self.stored = offered, stored


def create(folder: Path, settings: EnvironmentSettings) -> EnvironmentFacts:
    """Bring the environment in ``folder`` up, and wait until its gateway answers.

    On one that runs already it changes nothing. When a new one cannot start, nothing of it
    is left, and the GreenlightError says why.
    """
    folder = folder.resolve()
    _finish_destroying(folder)
    fresh = not any((folder / name).exists() for name in (SETTINGS, DESIRED))
    try:
        return update(folder, settings)
    except BaseException:
        if fresh:
            destroy(folder)
        raise


def read(folder: Path) -> EnvironmentFacts | None:
    """What the environment in ``folder`` is now; None when there is none, BadInput when its
    settings or its port cannot be read.

    One whose supervisor has died gets a new one: after a restart of the machine, whoever
    looks first brings it back.
    """
    folder = folder.resolve()
    try:
        settings = listener.read_settings(folder)
    except FileNotFoundError:
        return None
    supervisor.revive(folder)
    return _facts(folder, settings)


def update(folder: Path, settings: EnvironmentSettings) -> EnvironmentFacts:
    """Bring an environment to ``settings``. Only a new address interrupts: it moves the gateway.

    What was lost of settings, port, callers or keys is put right, and interrupts nobody. The
    engines and applications go on; a new supervisor takes them over.
    """
    folder = folder.resolve()
    _finish_destroying(folder)
    before = _settings_before(folder)
    after = _write_settings(folder, settings)
    moved = bool(before) and any(before[name] != after[name] for name in ("host", "port"))
    if moved:
        (folder / listener.PORT).unlink(missing_ok=True)
    gateways = [one.pid for one in _of_module(processes.marked(folder), GATEWAY_MODULE)]
    if moved or listener.mend_port(folder, gateways) or not before:
        _end_modules(folder, SUPERVISOR_MODULE, number=signal.SIGKILL)  # it went by what was there
    if moved:
        _end_modules(folder, GATEWAY_MODULE, number=signal.SIGTERM)
    return _bring_up(folder)


def admits(folder: Path, keys_folder: Path) -> bool:
    """Whether every role's key is there, and is the one that the gateway knows. Makes nothing."""
    try:
        environment = listener.read_settings(folder)["environment"]
        callers = read_json(folder / CALLERS)["callers"]
        known = {caller["role"]: caller["sha256"] for caller in callers}
        given = {role: keys.read(key_file(keys_folder, environment, role)) for role in ROLES}
    except (OSError, BadInput, KeyError, TypeError):
        return False
    return known == {role: keys.digest(key) for role, key in given.items()}


def destroy(folder: Path) -> None:
    """End every process of the environment in ``folder``, prove it, and remove the folder.

    Works on half an environment, on one whose supervisor is dead, and on none.
    """
    folder = folder.resolve()
    recorded = _recorded(folder)
    if folder.exists():
        _refuse_strange(folder)
        (folder / supervisor.STOPPING).touch()
    _end_in_order(folder, recorded)
    if folder.exists():
        shutil.rmtree(folder)


def declare(
    folder: Path,
    slots: Mapping[str, SlotSpec | Mapping[str, Any]],
    fence: int,
    watch: str | None = None,
) -> Desired:
    """Say what each slot shall run: the whole map, which replaces the one before.

    ``watch`` is the application's folder while a watcher shall guard its rollout, empty when
    none shall, None to leave that as it is.

    StaleFence when a later fence has been seen; BadInput for what cannot be run.
    """
    folder = folder.resolve()
    path = folder / DESIRED
    if not (folder / SETTINGS).exists():
        remedy = "Bring it up first: greenlight ship, or greenlight pulumi up."
        raise BadInput(Problem("an environment", "nothing", remedy, file=str(folder)))
    plain = {
        name: asdict(slot) if isinstance(slot, SlotSpec) else slot for name, slot in slots.items()
    }
    desired = parse_desired({"fence": fence, "slots": plain, "watch": watch or ""}, str(path))
    units_of(folder, desired, address="")
    with locked(folder / "desired.lock"):
        if fence < (stored := _stored_fence(folder)):
            raise StaleFence(fence, stored)
        if watch is None:
            desired = replace(desired, watch=_stored_watch(folder))
        write_json(path, asdict(desired))
    supervisor.revive(folder)
    return desired


def declared(folder: Path) -> Desired:
    """What the slots shall run. BadInput when the file is damaged."""
    path = folder.resolve() / DESIRED
    try:
        return parse_desired(read_json(path), str(path))
    except FileNotFoundError:
        return NOTHING


def watch(folder: Path, application: str, fence: int) -> Desired:
    """Keep a watcher of the application in the folder ``application`` running; empty: none."""
    return declare(folder, declared(folder).slots, fence, application)


def _stored_watch(folder: Path) -> str:
    try:
        return declared(folder).watch
    except BadInput:
        return ""


def _stored_fence(folder: Path) -> int:
    """The last declaration's fence, or that of the weights where somebody newer has set them.

    Of a damaged declaration, the last that the supervisor followed.
    """
    weighed = _fence_of(_peek(folder, ROUTES))
    try:
        return max(weighed, declared(folder).fence)
    except BadInput:
        return max(weighed, _fence_of(_peek(folder)))


def _fence_of(document: Mapping[str, Any]) -> int:
    fence = document.get("fence")
    return fence if isinstance(fence, int) else 0


def observed(folder: Path) -> dict[str, Any]:
    """What runs, as a living supervisor has written it (observed.json).

    Its ``fence`` is that of the declaration which it answers to. Empty where there is no
    environment. What a dead supervisor wrote is not believed: this waits for the next one,
    and is a GreenlightError when there is none after a while.
    """
    folder = folder.resolve()
    for _ in processes.pauses(OBSERVE_SECONDS):
        if not (folder / SETTINGS).exists():
            return {}
        supervisor.revive(folder)
        seen = _peek(folder)
        if _running(seen.get("supervisor")):
            return seen
    said = tail(folder / "log" / "supervisor.log") or "none"
    raise GreenlightError(f"The supervisor of {folder} does not run. Its last words: {said}.")


def key_file(keys_folder: Path, environment: str, role: str) -> Path:
    """Where the key of ``role`` in ``environment`` is kept, readable by its owner alone."""
    return keys_folder / f"{environment}.{role}.key"


def _finish_destroying(folder: Path) -> None:
    """What an interrupted destroy has left would never start again."""
    if (folder / supervisor.STOPPING).exists():
        destroy(folder)


def _settings_before(folder: Path) -> dict[str, Any]:
    """gateway.json; empty when there is none, or a damaged one."""
    try:
        return listener.read_settings(folder)
    except (FileNotFoundError, BadInput):
        return {}


def _write_settings(folder: Path, settings: EnvironmentSettings) -> dict[str, Any]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    kept = ("application", "environment", "host", "port")
    document: dict[str, Any] = {name: getattr(settings, name) for name in kept}
    document["refusal"] = list(settings.refusal)
    _write_changed(folder / SETTINGS, document)
    _write_changed(folder / CALLERS, {"callers": [_caller(settings, role) for role in ROLES]})
    return document


def _write_changed(path: Path, document: Any) -> None:
    try:
        if read_json(path) == document:
            return
    except (FileNotFoundError, BadInput):
        pass  # absent, or damaged from outside: we know what belongs there
    write_json(path, document)


def _caller(settings: EnvironmentSettings, role: str) -> dict[str, Any]:
    path = key_file(settings.keys_folder, settings.environment, role)
    digest = keys.digest(keys.ensure(path))
    caller: dict[str, Any] = {"name": role, "role": role, "sha256": digest}
    if role == "user" and settings.rate_limit is not None:
        caller["rate"] = asdict(settings.rate_limit)
    return caller


def _bring_up(folder: Path) -> EnvironmentFacts:
    """Start the supervisor if there is none, and wait for the gateway."""
    supervisor.revive(folder)
    settings = listener.read_settings(folder)
    for _ in processes.pauses(START_SECONDS):
        facts = _facts(folder, settings)
        if facts.alive and facts.pid is not None:
            return facts
        if reason := _hopeless(folder):
            raise GreenlightError(reason)
    raise GreenlightError(
        f"The gateway of {settings['environment']} does not answer after {START_SECONDS:.0f} s."
        f" Its last words: {tail(folder / 'log' / 'gateway.log') or 'none'}. The supervisor's:"
        f" {tail(folder / 'log' / 'supervisor.log') or 'none'}. Logs: {folder / 'log'}."
    )


def _hopeless(folder: Path) -> str:
    """Why waiting for the gateway is of no use; empty while it is."""
    seen = _peek(folder)
    gateway = seen.get("gateway", {})
    if not _running(seen.get("supervisor")) or gateway.get("state") != "failed":
        return ""  # what a dead supervisor wrote says nothing of now
    return f"The gateway cannot start: {gateway['reason']}"


def _peek(folder: Path, name: str = OBSERVED) -> dict[str, Any]:
    """observed.json as it is, or another file; empty when there is none, or a damaged one."""
    try:
        seen = read_json(folder / name)
    except (FileNotFoundError, BadInput):
        return {}
    return seen if isinstance(seen, dict) else {}


def _running(entry: Any) -> Identity | None:
    """The process that a part of observed.json names, if that very process still runs."""
    try:
        identity = Identity(int(entry["pid"]), float(entry["started"]))
    except (KeyError, TypeError, ValueError):
        return None
    return identity if processes.alive(identity) else None


def _facts(folder: Path, settings: Mapping[str, Any]) -> EnvironmentFacts:
    by = _running(_peek(folder).get("supervisor"))
    address = listener.settled_address(folder)
    return EnvironmentFacts(
        application=settings["application"],
        environment=settings["environment"],
        address=f"http://{address}",
        folder=str(folder),
        pid=by.pid if by else None,
        started=by.started if by else None,
        alive=_answers(address),
    )


def _answers(address: str) -> bool:
    """Whether a gateway is well at ``address``."""
    connection = http.client.HTTPConnection(address, timeout=2.0)
    try:
        connection.request("GET", "/-/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _recorded(folder: Path) -> list[Identity]:
    """The processes that observed.json names, as far as they still run."""
    seen = _peek(folder)
    entries = [seen.get("supervisor"), seen.get("gateway")]
    for part in (seen.get("slots"), seen.get("engines")):
        entries += part.values() if isinstance(part, dict) else ()
    return [identity for entry in entries if (identity := _running(entry))]


def _refuse_strange(folder: Path) -> None:
    """BadInput for a folder that is no environment: it is about to be removed."""
    ours = {
        SETTINGS,
        CALLERS,
        DESIRED,
        OBSERVED,
        supervisor.LOCK,
        supervisor.STOPPING,
        "run",
        "log",
    }
    names = {entry.name for entry in folder.iterdir()}
    if names and not names & ours:
        remedy = "Nothing was removed. Remove it by hand if it is not needed."
        problem = Problem("an environment's folder", "something else", remedy, file=str(folder))
        raise BadInput(problem)


def _of_module(found: Iterable[Found], *modules: str) -> list[Identity]:
    return [one.identity for one in found if set(modules) & set(one.command)]


def _end_modules(folder: Path, *modules: str, number: signal.Signals) -> None:
    found = _of_module(processes.marked(folder), *modules)
    for identity in found:
        processes.send(identity, number)
    processes.end(found, grace=10.0)


def _end_in_order(folder: Path, recorded: list[Identity]) -> None:
    """The supervisor first, which stops the others in order; then whatever is left."""
    processes.end(_of_module(processes.marked(folder), SUPERVISOR_MODULE), STOP_SECONDS)
    for kind in STOP_ORDER:
        names = [module for module, its in MODULES.items() if its == kind]
        processes.end(_of_module(processes.marked(folder), *names), grace=10.0)
    for _ in range(SWEEPS):
        left = [one.identity for one in processes.marked(folder)]
        left += [one for one in recorded if processes.alive(one)]
        if not left:
            return
        processes.end(left, grace=1.0)
    pids = ", ".join(str(identity.pid) for identity in left)
    raise GreenlightError(
        f"Processes of {folder} cannot be ended: {pids}. Nothing was removed; end them, then"
        " destroy again."
    )
