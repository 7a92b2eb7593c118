"""How far a rollout is on the steps that were set for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.story import Rollout


def steps_told(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The steps of a rollout section in words: ``25 %``, ``pause 60``."""
    return tuple(_told(step) for step in settings.get("steps", ()))


def progress(rollout: Rollout, settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """The steps that are ``done`` and those ``left``: a weight is done when it was reached, a pause
    when it is over. What a person ends counts with the step after it.
    """
    steps, words = settings.get("steps", ()), steps_told(settings)
    most = max((one.slots.get(rollout.slot, 0) for one in rollout.weights), default=0)
    reached = [i for i, step in enumerate(steps) if 0 < (_weight(step) or 0) <= most]
    done = len(steps) if rollout.outcome == "completed" else max(-1, rollout.step, *reached) + 1
    left = words[done:] if rollout.ended is None else ()
    return {"done": list(words[:done]), "left": list(left)}


def _weight(step: Mapping[str, Any]) -> int | None:
    """The weight that a step sets, by either name; None for a step that sets none."""
    found = step.get("setWeight", step.get("set_weight"))
    return None if found is None else int(found)


def _told(step: Mapping[str, Any]) -> str:
    weight = _weight(step)
    if weight is not None:
        return f"{weight} %"
    words = (f"{key} {_value(value)}".strip() for key, value in step.items() if value is not None)
    return ", ".join(words)


def _value(value: Any) -> str:
    """A setting without braces: pause: {duration: 60} is ``pause 60``."""
    if isinstance(value, Mapping):
        return " ".join(_value(one) for one in value.values() if one is not None)
    return str(value)
