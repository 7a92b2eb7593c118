"""What the engine says of a resource, read so that nothing is shown and nothing goes by.

Pulumi's SDK hands secrets to policies in the clear, so that a rule could not tell them from plain
text and a finding could show one; and a policy that touches a value which is not known yet becomes
an advisory, which stops nothing. Both are fail open. Here a secret is ``[secret]`` and what is not
known is ``<unknown>``, as in a preview's JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from policies.arm.resource import UNKNOWN
from policies.rules.azure.values import SECRET

READER = "deserialize_properties"
"""The SDK's function that every input passes through; pulumi_policy 1.21 keeps it in ``policy``."""


def read_inputs_openly(sdk: ModuleType) -> None:
    """Let the SDK read inputs as ``inputs`` does. RuntimeError when it has no such place."""
    if not callable(getattr(sdk.policy, READER, None)):
        raise RuntimeError(f"this pulumi_policy has no {READER}: secrets would be shown")
    setattr(sdk.policy, READER, inputs)


def inputs(given: Mapping[str, Any], _secrets: bool = False) -> dict[str, Any]:
    """The inputs of a resource, from what the engine sends (Struct as a mapping)."""
    return {key: _value(value) for key, value in given.items()}


def plain(value: Any) -> Any:
    """``value`` in dicts and lists: the SDK hands over wrappers, and its own are no lists.

    What looks at a list would find none, and with it nothing wrong.
    """
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(one) for one in value]
    return value


def _value(value: Any) -> Any:
    from pulumi_policy import proxy
    from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

    if isinstance(value, Mapping):
        if SPECIAL_SIG_KEY not in value:
            return inputs(value)
        return SECRET if value[SPECIAL_SIG_KEY] == SPECIAL_SECRET_SIG else UNKNOWN
    if isinstance(value, list):
        return [_value(item) for item in value]
    if isinstance(value, str) and proxy._is_unknown(value):
        return UNKNOWN
    return int(value) if isinstance(value, float) and value.is_integer() else value
