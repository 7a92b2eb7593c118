"""Other projects' definitions, which later targets validate against: data, never copied here.

``GREENLIGHT_DEFINITIONS`` says where they are; docs/testing.md what has to be there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def definitions(kind: str) -> Path:
    """The folder of definitions of this kind; without it, fail in CI and skip loudly elsewhere."""
    base = os.environ.get("GREENLIGHT_DEFINITIONS") or str(ROOT.parent / "shared")
    folder = Path(base) / kind
    if folder.is_dir():
        return folder
    reason = f"no {kind} in {base}: set GREENLIGHT_DEFINITIONS to the folder that holds them"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def test_custom_resource_definitions_can_be_read() -> None:
    """Each names a kind with at least one served version."""
    files = sorted(definitions("crds").glob("*.yaml"))

    assert files
    for file in files:
        for document in filter(None, yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)):
            versions = document["spec"]["versions"]
            assert document["spec"]["names"]["kind"], file
            assert any(version["served"] for version in versions), file


def test_azure_resource_types_can_be_read() -> None:
    """Each file holds types of the namespace and version that its name says."""
    files = sorted(definitions("azure-types").glob("*.json"))

    assert files
    for file in files:
        namespace, _, version = file.stem.partition("@")
        names = [one.get("name", "") for one in json.loads(file.read_text())]
        start, end = f"{namespace}/", f"@{version}"
        matching = [name for name in names if name.lower().startswith(start) and name.endswith(end)]
        assert matching, file
