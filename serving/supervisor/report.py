"""What the supervisor tells the others: observed.json and endpoints.json. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.processes import Identity
from serving.slots import Desired
from serving.supervisor.plan import Life, Unit
from serving.supervisor.units import GATEWAY, application_name, application_socket

Document = dict[str, Any]


def state(life: Life | None, wanted: Unit | None) -> str:
    """One word for a process: starting, ready, failed or stopping."""
    if wanted is None:
        return "stopping"
    if life is None or life.unit.command != wanted.command:
        return "starting"
    if life.ready:
        return "ready"
    return "failed" if life.failed else "starting"


def _process(life: Life | None, wanted: Unit | None) -> Document:
    process = life.process if life else None
    return {
        "pid": process.pid if process else None,
        "started": process.started if process else None,
        "state": state(life, wanted),
        "restarts": life.restarts if life else 0,
        "reason": life.reason if life else "",
    }


def _slot(
    desired: Desired, name: str, lives: Mapping[str, Life], units: Mapping[str, Unit]
) -> Document:
    """A slot is as good as the worse of its application and its engine."""
    spec, unit = desired.slots[name], application_name(name)
    own = _process(lives.get(unit), units.get(unit))
    engine = _process(lives.get(spec.engine.unit), units.get(spec.engine.unit))
    if own["state"] in ("starting", "ready") and engine["state"] in ("starting", "failed"):
        own |= {"state": engine["state"]}
        own |= {"reason": f"engine: {engine['reason']}"} if engine["reason"] else {}
    return {
        **own,
        "release": spec.release,
        "label": spec.label,
        "socket": application_socket(name),
        "engine": spec.engine.key,
    }


def _leaving(desired: Desired, lives: Mapping[str, Life]) -> dict[str, Document]:
    """Applications whose slot is no longer desired, until they are gone."""
    prefix = application_name("")
    kept = {application_name(name) for name in desired.slots}
    return {
        name.removeprefix(prefix): {
            **_process(life, None),
            "release": None,
            "label": None,
            "socket": life.unit.address,
            "engine": None,
        }
        for name, life in lives.items()
        if name.startswith(prefix) and name not in kept
    }


def observed(
    supervisor: Identity,
    desired: Desired,
    lives: Mapping[str, Life],
    units: Mapping[str, Unit],
    problem: str,
) -> Document:
    """observed.json. ``fence`` is that of the desired.json which it answers to.

    ``problem`` is why desired.json could not be followed; empty when it is.
    """
    engines = {spec.engine.unit: spec.engine for spec in desired.slots.values()}
    gateway = units.get(GATEWAY) or (lives[GATEWAY].unit if GATEWAY in lives else None)
    return {
        "fence": desired.fence,
        "problem": problem,
        "supervisor": {"pid": supervisor.pid, "started": supervisor.started},
        "gateway": {
            **_process(lives.get(GATEWAY), units.get(GATEWAY)),
            "address": f"http://{gateway.address}" if gateway else None,
        },
        "slots": {
            **{name: _slot(desired, name, lives, units) for name in desired.slots},
            **_leaving(desired, lives),
        },
        "engines": {
            engine.key: {**_process(lives.get(name), units.get(name)), "socket": engine.socket}
            for name, engine in engines.items()
        },
    }


def endpoints(desired: Desired, seen: Document) -> Document:
    """endpoints.json: where the gateway finds each desired slot, and whether it may go there."""
    return {
        "slots": {
            name: {
                "socket": application_socket(name),
                "release": spec.label,
                "ready": seen["slots"][name]["state"] == "ready",
            }
            for name, spec in desired.slots.items()
        }
    }
