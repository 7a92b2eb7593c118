"""Reading what a stack says of itself: the contract of release/outputs.py, from the engine's JSON.

The program that wrote it may be of another checkout. What is not understood is refused by name,
for whoever goes on would act on the wrong endpoint or cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from release.errors import GreenlightError
from release.outputs import TARGETS, VERSION, LocalOutputs, Outputs

HIDDEN = "[secret]"
"""How the engine shows a secret to whoever may not see it."""

REMEDY = "program and pipelines come from different checkouts: run `pulumi up` with this one"


def read_outputs(said: str) -> Outputs:
    """What ``pulumi stack output --json`` wrote, as its target's outputs.

    GreenlightError for another version or target, for what lacks or is not what the contract says,
    and for a secret, which the engine shows as ``[secret]``.
    """
    found = json.loads(said)
    _require_known(found)
    hidden = [*_secrets(found, "")]
    if hidden:
        raise GreenlightError(
            f"the stack's outputs hold a secret at {', '.join(hidden)}: no output may. Take it out "
            "of the program, run `pulumi up`, and renew the secret"
        )
    try:
        return TARGETS[found["target"]].model_validate_json(said)
    except ValidationError as error:
        told = "; ".join(_told(one) for one in error.errors())
        raise GreenlightError(f"the stack's outputs are not those of version {VERSION}: {told}. "
                              f"Perhaps {REMEDY}") from None  # fmt: skip


def read_local(said: str) -> LocalOutputs:
    """The same, for a stack of this machine: GreenlightError for one of elsewhere."""
    found = read_outputs(said)
    if not isinstance(found, LocalOutputs):
        raise GreenlightError(f"the stack's outputs are of target '{found.target}', not 'local'")
    return found


def _require_known(found: Any) -> None:
    version = found.get("version") if isinstance(found, dict) else None
    if version != VERSION:
        raise GreenlightError(
            f"the stack's outputs have version {version!r}, expected {VERSION}: {REMEDY}"
        )
    target = found.get("target")
    if not isinstance(target, str) or target not in TARGETS:
        raise GreenlightError(
            f"the stack's outputs have target {target!r}, expected {' or '.join(TARGETS)}: {REMEDY}"
        )


def _secrets(value: Any, path: str) -> Iterator[str]:
    """Where the engine hides something."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _secrets(one, f"{path}.{key}" if path else str(key))
    elif value == HIDDEN:
        yield path


def _told(error: Any) -> str:
    """Where and what, never the value."""
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
