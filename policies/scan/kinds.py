"""What a file is, and what in it has to be judged.

checkov passes over a file that it cannot parse and an object that it cannot name. So this is
decided here first: a file that is not what it says is bad input, and what the file holds is
written down, for comparison with what checkov then says that it saw.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from policies.rules.findings import shown
from release.errors import BadInput, Problem

Kind = Literal["arm", "kubernetes", "github_actions"]

SUFFIXES = frozenset({".json", ".yaml", ".yml"})
MAX_BYTES = 4 << 20
"""Azure takes templates up to 4 MB, Kubernetes objects up to 1.5 MB: the rest is a mistake."""

MAX_NODES = 100_000
"""Of a YAML document with its aliases written out: half a kilobyte of them can be a billion."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KUSTOMIZE = "kustomize.config.k8s.io/"  # a build file of kustomize's, no object of a cluster


@dataclass(frozen=True)
class Scannable:
    """A file for one of checkov's runners. ``holds``: its resources as checkov calls them."""

    file: str
    kind: Kind
    holds: tuple[str, ...] = ()


_TOP = {
    key.lower(): key
    for key in ("$schema", "contentVersion", "resources", "parameters", "variables", "outputs")
}
"""Keys of a template: Azure takes them in any case, checkov does not."""


def classify(file: str, data: bytes) -> Scannable | None:
    """What ``file`` with ``data`` is; None where no scanner takes it. BadInput where it is broken.

    A workflow is known by its folder, a template and a manifest by what they say they are.
    """
    suffix = PurePosixPath(file).suffix
    if suffix.lower() == ".jsonc":
        _refuse_comments(file, data)
    if suffix.lower() not in SUFFIXES:
        return None
    found = _read(file, suffix.lower(), _text(file, data))
    if found and len(data) > MAX_BYTES:
        megabytes = f"{len(data) / (1 << 20):.1f} MB"
        raise _bad(file, None, f"at most {MAX_BYTES >> 20} MB", megabytes, _SPLIT)
    if found and suffix != suffix.lower():
        raise _bad(file, None, "a suffix in small letters", suffix, _RENAME)
    return found


def _read(file: str, suffix: str, text: str) -> Scannable | None:
    if suffix == ".json":
        return _json(file, text)
    if is_workflow(file):
        for node in _nodes(file, text):
            _require_bounded(file, node)
        return Scannable(file, "github_actions")
    return _manifest(file, text)


def _refuse_comments(file: str, data: bytes) -> None:
    """Refuse a template that checkov would not take for one."""
    if re.search(rb'"\$schema"\s*:[^\n]*deploymentTemplate', data, re.IGNORECASE):
        raise _bad(file, None, "a template in .json, without comments", ".jsonc", _RENAME)


def is_workflow(file: str) -> bool:
    """By its folder, as GitHub itself knows them."""
    path = Path(file).resolve()
    return path.parent.parts[-2:] == (".github", "workflows") and path.suffix.lower() in (
        ".yml",
        ".yaml",
    )


def _text(file: str, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(file, None, "UTF-8", f"{error.reason} at byte {error.start}", _FIX) from None


def _json(file: str, text: str) -> Scannable | None:
    try:
        document = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise _bad(file, line, "JSON", str(error), _FIX) from None
    if not isinstance(document, dict):
        return None
    if {"$schema", "contentversion"} <= {key.lower() for key in document}:
        return _template(file, text, document)
    if _is_like_a_template(document):
        raise _bad(file, None, "$schema and contentVersion of a template", "not both", _SPELL)
    return _manifest(file, text) if {"apiVersion", "kind"} <= document.keys() else None


def _is_like_a_template(document: dict[str, Any]) -> bool:
    """Whether it has resources of Azure's, whatever its head says."""
    keys = {key.lower() for key in document}
    if {"$schema", "contentversion", "resources"} <= keys:
        return True
    listed = next((value for key, value in document.items() if key.lower() == "resources"), ())
    return isinstance(listed, list) and any(
        isinstance(one, dict)
        and "apiVersion" in one
        and str(one.get("type", "")).lower().startswith("microsoft.")
        for one in listed
    )


def _no_number(text: str) -> Any:
    raise ValueError(f"{text}, which JSON does not have")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that names each key once: of two, whoever reads it takes another one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{shown(twice)} twice in an object")
    return found


def _template(file: str, text: str, document: dict[str, Any]) -> Scannable | None:
    odd = next((key for key in document if key.lower() in _TOP and key not in _TOP.values()), None)
    if odd is not None:
        expected = f"`{_TOP[odd.lower()]}`"
        raise _bad(file, None, expected, f"`{shown(odd)}`, which checkov passes over", _FIX)
    told = next(_showing_keys(document), None)
    if told is not None:
        line = next((n for n, one in enumerate(text.splitlines(), 1) if f'"{told}"' in one), None)
        raise _bad(file, line, "outputs without keys", f"`list...()` in {shown(told)}", _KEYS)
    if "resources" not in document:
        return None  # a file of parameters
    resources = document["resources"]
    if not isinstance(resources, list):
        raise _bad(file, None, "`resources` as a list", type(resources).__name__, _NAMED)
    for resource in resources:
        if not isinstance(resource, dict) or not {"type", "name"} <= resource.keys():
            raise _bad(file, None, "resources with type and name", "one without", _FIX)
    return Scannable(file, "arm", tuple(str(resource["type"]) for resource in resources))


def _showing_keys(value: Any) -> Iterator[str]:
    """The outputs of a template, and of those nested in it, that ask Azure for keys or secrets.

    What is deployed is kept with its outputs, for everybody who may read the deployment.
    """
    if isinstance(value, dict):
        outputs = next((one for key, one in value.items() if key.lower() == "outputs"), None)
        for name, one in outputs.items() if isinstance(outputs, dict) else ():
            if _LISTED.search(json.dumps(one)):
                yield name
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _showing_keys(one)


def _manifest(file: str, text: str) -> Scannable | None:
    objects = [node for node in _nodes(file, text) if {"apiVersion", "kind"} <= _keys(node).keys()]
    objects = [node for node in objects if not _says(node, "apiVersion").startswith(_KUSTOMIZE)]
    if not objects:
        return None
    for node in objects:
        _require_bounded(file, node)
    held = (name for node in objects for name in _names(file, node))
    return Scannable(file, "kubernetes", tuple(held))


def _names(file: str, node: yaml.MappingNode) -> Iterator[str]:
    """The name of an object as checkov writes it, of each object where it is a List."""
    kind, line = _says(node, "kind"), node.start_mark.line + 1
    if not kind or not _says(node, "apiVersion"):
        raise _bad(file, line, "text as kind and apiVersion", "something else", _RENDER)
    items = _keys(node).get("items")
    if kind == "List" and isinstance(items, yaml.SequenceNode):
        for item in items.value:
            if isinstance(item, yaml.MappingNode):
                yield from _names(file, item)
        return
    metadata = _keys(node).get("metadata")
    if not isinstance(metadata, yaml.MappingNode) or not _says(metadata, "name"):
        raise _bad(file, line, f"metadata.name of the {kind}", "none", _NAME)
    yield f"{kind}.{_says(metadata, 'namespace') or 'default'}.{_says(metadata, 'name')}"


def _nodes(file: str, text: str) -> Iterator[yaml.MappingNode]:
    """The mappings that the documents of a file are."""
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            if isinstance(node, yaml.MappingNode):
                yield node
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        found = getattr(error, "problem", None) or type(error).__name__
        raise _bad(file, line, "YAML", found, _RENDER) from None


def _require_bounded(file: str, document: yaml.Node) -> None:
    """BadInput where aliases make more of a document than anybody could judge."""
    written: dict[int, int] = {}
    try:
        whole = _expanded(document, written)
    except RecursionError:
        whole = MAX_NODES + 1
    if whole > max(MAX_NODES, len(written)):
        line = document.start_mark.line + 1
        expected = f"at most {MAX_NODES} values with the aliases written out"
        raise _bad(file, line, expected, "more", "Write out what is meant, without aliases.")


def _expanded(node: yaml.Node, written: dict[int, int]) -> int:
    """How many nodes ``node`` is with its aliases written out; ``written``: those counted before.

    RecursionError for one that holds itself.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in written:
        written[id(node)] = 0  # still being counted
        inside = _children(node)
        written[id(node)] = 1 + sum(_expanded(child, written) for child in inside)
    elif not written[id(node)]:
        raise RecursionError
    return written[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    else:
        yield from node.value


def _keys(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    """Each key's value, those that `<<` brings included: what stands in a node itself wins."""
    found: dict[str, yaml.Node] = {}
    merged = [value for key, value in node.value if key.tag == _MERGE]
    for one in merged:
        for source in reversed(one.value) if isinstance(one, yaml.SequenceNode) else [one]:
            if isinstance(source, yaml.MappingNode):
                found |= _own(source)
    return found | _own(node)


def _own(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _says(node: yaml.MappingNode, key: str) -> str:
    value = _keys(node).get(key)
    return value.value if isinstance(value, yaml.ScalarNode) else ""


_MERGE = "tag:yaml.org,2002:merge"

_LISTED = re.compile(r"\"\[.*\blist[A-Za-z]*\s*\(", re.IGNORECASE)
"""An expression that calls listKeys, listSecrets, listAccountSas or another of that family:
https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions-resource#list
"""

_KEYS = "Take it out: read the key where it is needed, or write it to Key Vault."
_FIX = "Mend it, or leave it out of the paths to check."
_NAMED = "checkov reads no symbolic names: `az bicep build` without them, or write a list."
_NAME = "Without one checkov would pass over the object in silence; name it."
_RENAME = "Rename it: checkov takes no other, and would pass it over in silence."
_SPELL = "Write it as Azure's reference does: checkov takes no other, and would pass it over."
_SPLIT = "Split it, or leave it out of the paths to check."
_RENDER = "Mend it; where it is a template for YAML, render it first, or let its name end in .j2."


def _bad(file: str, line: int | None, expected: str, found: str, remedy: str) -> BadInput:
    return BadInput(Problem(expected, found, remedy, file=file, line=line))
