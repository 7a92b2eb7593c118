"""What is refused around a plan of an Azure stack, because no rule over Azure resources sees it.

A resource of another provider has no form that a rule could judge, and a secret in the settings
file is in the repository's history before anything is planned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.stack_settings import TARGET
from policies.pack.foreign import is_foreign
from policies.rules.azure.bounds import AZURE
from policies.rules.azure.credentials import holds_credential, texts
from policies.rules.findings import shown
from release.documents import Document, dotted, read_document
from release.errors import BadInput, Problem

OURS = "greenlight"

Where = tuple[str, int | None]
"""A file and a line in it; empty and None where the engine does not say."""


def is_azures(config: Mapping[str, Any]) -> bool:
    """Whether a stack with these settings is one that the rules judge."""
    return config.get(TARGET) == "azure" or AZURE in config


def refuse_foreign(states: list[tuple[Mapping[str, Any], Where]]) -> None:
    """BadInput that names every resource of ``states`` that is neither Azure's nor a component."""
    problems = [
        Problem(
            "resources of azure-native, and components of them",
            f"'{state['type']}'",
            "Nothing judges it here: take it out of this program, or write rules for its provider.",
            file=file,
            line=line,
            path=state["urn"],
        )
        for state, (file, line) in states
        if is_foreign(state["type"], state.get("custom") is not False)
    ]
    if problems:
        raise BadInput(*problems)


def refuse_plain_secrets(file: Path) -> None:
    """BadInput, with the line and never the value, for a secret that a settings file shows."""
    document = read_document(file)
    found = [_problem(document, file, path) for path in dict.fromkeys(_plain(document))]
    if found:
        raise BadInput(*found)


def _plain(document: Document) -> Iterator[tuple[str, ...]]:
    config = document.value.get("config") if isinstance(document.value, dict) else None
    known = config if isinstance(config, dict) else {}
    for name in secret_names(known.get(AZURE)):
        for key in (f"{OURS}:{name}", f"{OURS}:config:{name}"):
            if key in known and not _is_secure(known[key]):
                yield ("config", key)
    for key, value in known.items():
        if any(holds_credential(text) for _, text in texts(value)) and not _is_secure(value):
            yield ("config", key)


def _is_secure(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["secure"]


def secret_names(azure: Any) -> list[str]:
    """The secrets that connections name; what is no such list is for the program to refuse."""
    connections = azure.get("connections") if isinstance(azure, dict) else None
    found = connections if isinstance(connections, list) else []
    return [str(one["secret"]) for one in found if isinstance(one, dict) and "secret" in one]


def _problem(document: Document, file: Path, path: tuple[str, ...]) -> Problem:
    _, line = document.place(path)
    name = shown(path[-1].rpartition(":")[2])
    remedy = f"Revoke it, then keep a new one: `pulumi config set --secret {name}`."
    expected, at = "a secret that the engine encrypted (`secure:`)", dotted(path)
    return Problem(expected, "one in plain text", remedy, file=str(file), line=line, path=at)
