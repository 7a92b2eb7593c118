"""Write docs/llm-yaml.md from the models: ``python docs/reference.py``. A test compares them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from release.model_section import RESERVED_SOURCES
from release.spec import RESERVED, RESERVED_TARGETS, json_schema

FILE = Path(__file__).parent / "llm-yaml.md"

HEAD = """# llm.yaml

One file describes an application. Unknown keys are refused, with a suggestion; so are YAML
aliases, anchors and tags, keys given twice, and files over 1 MiB. `no`, `on` and dates are text.
`--with FILE` lays a partial file over it: mappings merge, everything else is replaced whole.

This page is written by `python docs/reference.py`; a test keeps it current.
"""


def page() -> str:
    """The whole page."""
    schema = json_schema()
    sections = [("the whole file", schema), *sorted(schema["$defs"].items())]
    parts = [HEAD, *(section(name, value) for name, value in sections), _reserved()]
    return "\n".join(parts)


def section(name: str, schema: dict[str, Any]) -> str:
    """A model's fields as a table: what each may be, its default, what it means."""
    required = schema.get("required", ())
    rows = [
        f"| `{key}` | {_type(value)} | {_default(key, value, required)} | {_meaning(value)} |"
        for key, value in schema["properties"].items()
    ]
    title = name if name == "the whole file" else f"`{name}`"
    said = " ".join(schema.get("description", "").split())
    table = ["| key | value | default | meaning |", "|---|---|---|---|", *rows]
    return "\n".join([f"## {title}\n", f"{said}\n", *table, ""])


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return f"[`{_name(value)}`](#{_name(value).lower()})"
    if either := value.get("anyOf") or value.get("oneOf"):
        return " or ".join(_type(one) for one in either if one.get("type") != "null")
    if "enum" in value or "const" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        items = value.get("items") or value.get("prefixItems", [{}])[0]
        return f"list of {_type(items)}"
    if value.get("type") == "object":
        values = value.get("additionalProperties") or next(
            iter(value["patternProperties"].values())
        )
        return "mapping" if values is True else f"mapping of names to {_type(values)}"
    return str(value.get("type", "any")) + _bounds(value)


def _bounds(value: dict[str, Any]) -> str:
    if "exclusiveMinimum" in value:
        least = f"more than {value['exclusiveMinimum']}"
    elif "minimum" in value:
        least = f"at least {value['minimum']}"
    else:
        return ""
    most = f", at most {value['maximum']}" if "maximum" in value else ""
    return f", {least}{most}"


def _name(value: dict[str, Any]) -> str:
    return str(value["$ref"].rpartition("/")[2])


def _default(key: str, value: dict[str, Any], required: Any) -> str:
    if key in required:
        return "required"
    if "$ref" in value:
        return "as below"
    default = value.get("default")
    return "none" if default is None else f"`{json.dumps(default)}`"


def _meaning(value: dict[str, Any]) -> str:
    return re.sub(r"\s+", " ", value.get("description", "")).replace("|", "\\|")


def _reserved() -> str:
    names = ", ".join(f"`{name}`" for name in RESERVED)
    targets = ", ".join(f"`{name}`" for name in RESERVED_TARGETS)
    sources = ", ".join(f"`{name}:`" for name in RESERVED_SOURCES)
    return (
        "## Reserved\n\nThese have no engine yet and are refused by name, so that nobody believes "
        f"that something acts on them.\n\n- sections: {names}\n- targets: {targets}\n"
        f"- sources of models: {sources}\n"
    )


if __name__ == "__main__":
    FILE.write_text(page())
