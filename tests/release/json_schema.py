"""JSON Schema, as far as ours goes: enough to see what an editor would mark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def valid(schema: Any, value: Any, root: Any) -> bool:
    """Whether ``value`` fits; KeyError for a keyword that this does not know."""
    kind = next((one for one, like in _KINDS.items() if isinstance(value, like)), "")
    return all(
        _RULES[name][1](rule, value, schema, root)
        for name, rule in schema.items()
        if name not in _ANNOTATIONS and _RULES[name][0] in ("", kind)
    )


def _property_is_known(rule: bool, value: Any, schema: Any, root: Any) -> bool:
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    return rule or all(
        key in known or any(re.search(pattern, key) for pattern in patterns) for key in value
    )


def _patterned(rule: Any, value: Any, schema: Any, root: Any) -> bool:
    return all(
        valid(one, inner, root)
        for pattern, one in rule.items()
        for key, inner in value.items()
        if re.search(pattern, key)
    )


Rule = Callable[[Any, Any, Any, Any], bool]
_KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
}
_ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "discriminator"}
_RULES: dict[str, tuple[str, Rule]] = {
    "$ref": ("", lambda r, v, s, root: valid(root["$defs"][r.rpartition("/")[2]], v, root)),
    "type": ("", lambda r, v, s, root: isinstance(v, _TYPES[r]) and not isinstance(v, bool)),
    "anyOf": ("", lambda r, v, s, root: any(valid(one, v, root) for one in r)),
    "oneOf": ("", lambda r, v, s, root: sum(valid(one, v, root) for one in r) == 1),
    "enum": ("", lambda r, v, s, root: v in r),
    "const": ("", lambda r, v, s, root: bool(v == r)),
    "required": ("object", lambda r, v, s, root: set(r) <= v.keys()),
    "properties": (
        "object",
        lambda r, v, s, root: all(valid(r[k], v[k], root) for k in r.keys() & v.keys()),
    ),
    "patternProperties": ("object", _patterned),
    "additionalProperties": ("object", _property_is_known),
    "propertyNames": ("object", lambda r, v, s, root: all(valid(r, key, root) for key in v)),
    "minProperties": ("object", lambda r, v, s, root: len(v) >= r),
    "maxProperties": ("object", lambda r, v, s, root: len(v) <= r),
    "items": ("array", lambda r, v, s, root: all(valid(r, one, root) for one in v)),
    "minItems": ("array", lambda r, v, s, root: len(v) >= r),
    "maxItems": ("array", lambda r, v, s, root: len(v) <= r),
    "pattern": ("string", lambda r, v, s, root: re.search(r, v) is not None),
    "minLength": ("string", lambda r, v, s, root: len(v) >= r),
    "maxLength": ("string", lambda r, v, s, root: len(v) <= r),
    "minimum": ("number", lambda r, v, s, root: v >= r),
    "maximum": ("number", lambda r, v, s, root: v <= r),
    "exclusiveMinimum": ("number", lambda r, v, s, root: v > r),
}
