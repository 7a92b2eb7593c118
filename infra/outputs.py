"""What the program exports, as release/outputs.py has it; a secret stops the program.

The engine keeps what is marked as secret encrypted, but whoever reads a stack's outputs gets it in
the clear, into logs and files. So nothing secret is ever an output, encrypted or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from release.outputs import VERSION


class SecretOutputError(pulumi.RunError):
    """An output holds what the engine keeps secret."""


def export(target: str, outputs: Mapping[str, Any]) -> None:
    """Export ``outputs`` by name, with the contract's version and the ``target``.

    The run ends with SecretOutputError, which names the output, where one is a secret.
    """
    pulumi.export("version", VERSION)
    pulumi.export("target", target)
    for name, value in outputs.items():
        pulumi.export(name, _public(name, value))


def _public(name: str, value: Any) -> pulumi.Output[Any]:
    """``value`` as an output that cannot be had if it is secret."""
    found = pulumi.Output.from_input(value)
    return pulumi.Output(
        found.resources(), found.future(with_unknowns=True), found.is_known(), _open(name, found)
    )


async def _open(name: str, found: pulumi.Output[Any]) -> bool:
    if await found.is_secret():
        raise SecretOutputError(
            f"the output '{name}' holds a secret: expected ids, names and addresses alone. Put the "
            "secret into Key Vault and export its id"
        )
    return False
