"""Which resources are another provider's: no rule has a form of them that it could judge."""

from __future__ import annotations

NATIVE = "azure-native:"
BOOKKEEPING = ("pulumi:pulumi:Stack", "pulumi:providers:")
"""What Pulumi keeps for itself: the stack, and the providers. Nothing of it is made anywhere."""


def is_foreign(kind: str, custom: bool) -> bool:
    """Whether a resource is made by another provider. A component, not ``custom``, by none."""
    return custom and not kind.startswith((NATIVE, *BOOKKEEPING))
