"""The repository's Azure stacks, provisioned by the real engine: their outputs and their state.

The provider records instead of calling Azure. ``preview --state`` then compares with what is there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest

from cli.__main__ import main
from infra.outputs import export
from pipelines.outputs import read_outputs
from pipelines.planning import planner
from pipelines.stack_settings import read_settings, stack_file
from release.errors import REFUSED, WAITING, GreenlightError
from release.outputs import AzureOutputs
from tests.infra.azure.hosted import hosted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SUBSCRIPTION = "77777777-7777-7777-7777-777777777777"
SECRET = "to-be-known-at-up"


@dataclass(frozen=True)
class Up:
    """What the engine says of a stack that is there."""

    stack: str
    outputs: str
    state: str


@pytest.fixture(scope="module")
def up(engine: str) -> Iterator[Callable[[str], Up]]:
    """Provisions a stack of the repository, once."""
    found: dict[str, Up] = {}
    with hosted() as host:

        def provisioned(stack: str) -> Up:
            if stack not in found:
                found[stack] = _provision(stack, host)
            return found[stack]

        yield provisioned


def _provision(stack: str, host: str) -> Up:
    config = read_settings(stack_file(ROOT, stack))["config"]
    if cluster := config["greenlight:azure"].get("cluster"):
        cluster["mlDomain"] = "inference.test-of-this.net"  # an update takes no reserved one
    with planner(ROOT, stack, SUBSCRIPTION) as engine:
        engine.of("up", config, "--yes", "--skip-preview", host)
        outputs = engine.run("stack", "output", "--json", "--stack", stack)
        return Up(stack, outputs, engine.run("stack", "export", "--stack", stack))


@pytest.mark.parametrize("stack", ["staging", "production"])
def test_outputs_are_those_of_the_contract(up: Callable[[str], Up], stack: str) -> None:
    """All that the engine gives is in it, and nothing that is not."""
    said = up(stack).outputs
    found = read_outputs(said)

    assert isinstance(found, AzureOutputs)
    assert found.model_dump(exclude_unset=True) == json.loads(said)
    assert SECRET not in said


@pytest.mark.parametrize("deep", [False, True])
def test_a_program_that_would_export_a_secret_is_stopped(engine: str, deep: bool) -> None:
    """The output is named, and what is in it is not shown."""

    def program() -> None:
        key = pulumi.Output.secret("sk-never-to-be-seen")
        export("azure", {"environment": "dev", "leak": {"in": [{"it": key}]} if deep else key})

    with (
        hosted(program) as host,
        planner(ROOT, "leaking") as ready,
        pytest.raises(GreenlightError, match="the output 'leak' holds a secret") as stopped,
    ):
        ready.plan({}, host)
    assert "sk-never" not in str(stopped.value)


def preview(
    state: str, folder: Path, capsys: pytest.CaptureFixture[str], stack: str = "production"
) -> tuple[int, Mapping[str, Any]]:
    """The exit code of ``preview --state``, and its document, in which no secret may be."""
    file = folder / "state.json"
    file.write_text(state)
    code = main(["preview", "--stack", stack, "--state", str(file), "--out", str(folder), "--json"])
    said = capsys.readouterr()
    written = [one.read_text() for one in folder.iterdir() if one != file]
    for text in (said.out, said.err, *written):
        assert "ciphertext" not in text
        assert SECRET not in text
    return code, json.loads(said.out)


def fixed(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Findings about what cannot be changed."""
    return [one for one in document["findings"] if one["rule"].startswith("GL-FIXED")]


def test_S18_a_state_that_is_equal_has_no_finding(
    up: Callable[[str], Up], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that are made of the subscription are those of the state's, so nothing is renamed."""
    code, document = preview(up("production").state, tmp_path, capsys)

    assert fixed(document) == []
    assert code == WAITING  # quota that only Azure could tell
    bodies = json.dumps(document["resources"])
    assert f"/subscriptions/{SUBSCRIPTION}/" in bodies


CHANGED: Mapping[str, tuple[str, str, Any]] = {
    "workspace": ("machinelearningservices:Workspace", "hbiWorkspace", False),
    "cluster": ("containerservice:ManagedCluster", "networkProfile.networkPlugin", "none"),
    "storage": ("storage:StorageAccount", "location", "westeurope"),
    "h100x8": ("containerservice:AgentPool", "vmSize", "Standard_NC24ads_A100_v4"),
}
"""By the resource's name: its type, the input that differs, and what that was."""


def changed(state: str) -> str:
    """``state`` with what CHANGED says."""
    document = json.loads(state)
    for one in document["deployment"]["resources"]:
        type_, path, was = CHANGED.get(one["urn"].rpartition("::")[2], ("", "", None))
        if one["type"] == f"azure-native:{type_}":
            *above, last = path.split(".")
            inputs = functools.reduce(lambda inner, key: inner[key], above, one["inputs"])
            assert inputs[last] != was
            inputs[last] = was
    return json.dumps(document)


def test_S18_what_cannot_be_changed_is_refused_where_it_is_declared(
    up: Callable[[str], Up], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each with the line of the program, and exit 3."""
    code, document = preview(changed(up("production").state), tmp_path, capsys)

    assert code == REFUSED
    found = {one["resource"].rpartition("::")[2]: one for one in fixed(document)}
    assert set(found) == set(CHANGED)
    for name, (_, path, was) in CHANGED.items():
        assert found[name]["rule"] == "GL-FIXED-001"
        assert f"{path.rpartition('.')[2]} to stay '{was}'" in found[name]["expected"]
        lines = (ROOT / found[name]["file"]).read_text().splitlines()
        assert found[name]["file"].startswith("infra/azure/")
        assert 0 < found[name]["line"] <= len(lines)
