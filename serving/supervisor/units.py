"""Desired slots → the processes that serve them. Data in, data out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from release.errors import BadInput, Problem
from serving.processes import command
from serving.slots import Desired, EngineSpec, SlotSpec
from serving.supervisor.plan import Kind, Unit

GATEWAY, WATCHER = "gateway", "watcher"
GATEWAY_MODULE, APPLICATION_MODULE, ENGINE_MODULE, WATCHER_MODULE = (
    "serving.gateway",
    "serving.application",
    "serving.engine",
    "pipelines.watcher",  # a command, not an import: it stands above the data plane
)
MODULES: dict[str, Kind] = {
    WATCHER_MODULE: "watcher",
    GATEWAY_MODULE: "gateway",
    APPLICATION_MODULE: "application",
    ENGINE_MODULE: "engine",
}
"""What a process is, by the module in its command."""


def llama_cpp(engine: EngineSpec) -> tuple[str, ...]:
    """llama.cpp's own server on a Unix socket."""
    return command(
        ENGINE_MODULE,
        *("--model", engine.model, "--sha256", engine.model_sha256, "--socket", engine.socket),
        *("--context", str(engine.context), "--parallel", str(engine.parallel)),
        *("--threads", str(engine.threads)),
    )


ENGINES: dict[str, Callable[[EngineSpec], tuple[str, ...]]] = {"llama.cpp": llama_cpp}
"""How each engine is started, by its name in llm.yaml."""


def gateway_unit(folder: Path, address: str) -> Unit:
    """The environment's one gateway. Its listening socket's number follows the command."""
    line = command(GATEWAY_MODULE, str(folder))
    return Unit(GATEWAY, "gateway", line, address, "/-/health", grace=10.0)


def engine_unit(engine: EngineSpec) -> Unit:
    """A model server. BadInput for an engine that nobody here can start."""
    builder = ENGINES.get(engine.name)
    if builder is None:
        known = "one of " + ", ".join(sorted(ENGINES))
        raise BadInput(Problem(known, repr(engine.name), path="engine.name"))
    return Unit(engine.unit, "engine", builder(engine), engine.socket, "/health", grace=5.0)


def application_name(slot: str) -> str:
    """The name of a slot's process; prefixed, so that no slot can take another's name."""
    return f"application-{slot}"


def application_socket(slot: str) -> str:
    """Where a slot answers."""
    return f"run/{slot}.sock"


def application_unit(folder: Path, slot: str, spec: SlotSpec) -> Unit:
    """The release's prompt in front of its engine."""
    line = command(APPLICATION_MODULE, str(folder), slot, "--spec", spec.fingerprint)
    return Unit(
        application_name(slot),
        "application",
        line,
        application_socket(slot),
        "/health",
        grace=5.0,
        engine=spec.engine.unit,
    )


def watcher_unit(application: str, environment: str) -> Unit:
    """Who brings blue back when the command that began a rollout is no more."""
    line = command(WATCHER_MODULE, application, environment)
    return Unit(WATCHER, "watcher", line, "", "", grace=5.0)


def units_of(folder: Path, desired: Desired, address: str) -> dict[str, Unit]:
    """Every process that shall run, by name: a gateway, an engine a key, an application a slot."""
    units = [gateway_unit(folder, address)]
    units += [engine_unit(spec.engine) for spec in desired.slots.values()]
    units += [application_unit(folder, name, spec) for name, spec in desired.slots.items()]
    units += [watcher_unit(desired.watch, folder.name)] if desired.watch else []
    return {unit.name: unit for unit in units}


def slots_by_unit(desired: Desired) -> Mapping[str, tuple[str, SlotSpec]]:
    """The slot behind each application's name."""
    return {application_name(name): (name, spec) for name, spec in desired.slots.items()}
