"""A stack's exported state: what is read of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from pipelines.exported import MARK, State, read_state
from pipelines.preview import preview
from release.errors import BAD_INPUT, BadInput

VAULT = "azure-native:keyvault:Vault"
SECRET = "azure-native:keyvault:Secret"
GROUP = "/subscriptions/s-1/resourceGroups/rg"
ROOT = Path(__file__).resolve().parents[2]


def resource(token: str = VAULT, stack: str = "staging", **more: Any) -> dict[str, Any]:
    """A resource as an export has it."""
    urn = f"urn:pulumi:{stack}::greenlight::{token}::one"
    inputs = {"vaultName": "kv-a", "resourceGroupName": "rg", "location": "westeurope"}
    known = {"urn": urn, "type": token, "id": f"{GROUP}/providers/x/kv-a", "inputs": inputs}
    return known | more


def written(folder: Path, *resources: Any) -> Path:
    """An export that holds ``resources``."""
    file = folder / "state.json"
    manifest = {"time": "2026-11-22T10:00:00Z", "magic": "", "version": ""}
    deployment = {"manifest": manifest, "resources": list(resources)}
    file.write_text(json.dumps({"version": 3, "deployment": deployment}))
    return file


def test_what_is_there_is_read_with_where_it_is(tmp_path: Path) -> None:
    """The engine's own resources are none of Azure's, and one that is to be deleted is gone."""
    engine = {"urn": "urn:pulumi:staging::greenlight::pulumi:pulumi:Stack::s", "type": "pulumi:p:S"}
    gone = resource(inputs={"vaultName": "kv-old"}, delete=True)

    found = read_state(written(tmp_path, engine, gone, resource()), "staging")

    assert [(one.name, one.at("location")) for one in found.resources] == [("kv-a", "westeurope")]
    assert found.subscription == "s-1"


def test_a_stack_that_holds_nothing_is_no_mistake(tmp_path: Path) -> None:
    """Before the first ``up`` there is nothing to compare with."""
    file = tmp_path / "state.json"
    file.write_text('{"version": 3, "deployment": {"manifest": {"time": ""}}}')

    assert read_state(file, "staging") == State()


@pytest.mark.parametrize("kept", [{"ciphertext": "v1:abc"}, {"plaintext": '"sk-in-the-clear"'}])
def test_secrets_stay_hidden(tmp_path: Path, kept: dict[str, str]) -> None:
    """The engine marks them by a key of its own; what is in them is never read, also where an
    export was made with --show-secrets.
    """
    inputs = {"vaultName": "v", "secretName": "s", "properties": {"value": {MARK: "1b47", **kept}}}
    file = written(tmp_path, resource(SECRET, inputs=inputs))

    (found,) = read_state(file, "staging").resources

    assert found.at("properties.value") == "[secret]"


BROKEN = {
    "no JSON": b"{",
    "encrypted as a whole": b"\x85\x02\x0c\x03sk-in-the-clear",
    "empty": b"",
    "a list": b"[]",
    "nothing of an export": b"{}",
    "the backend's own file": b'{"version": 3, "checkpoint": {"latest": {"resources": []}}}',
    "resources that are none": b'{"deployment": {"resources": [1]}}',
    "resources without a name": b'{"deployment": {"resources": [{"type": "a:b:C"}]}}',
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=list(BROKEN))
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, data: bytes) -> None:
    """With what to do, and without what is in it."""
    file = tmp_path / "state.json"
    file.write_bytes(data)

    with pytest.raises(BadInput) as refused:
        read_state(file, "staging")

    (one,) = refused.value.problems
    assert one.file == str(file)
    assert "pulumi stack export --stack staging --file state.json" in one.remedy
    assert "sk-in" not in str(one)


def test_a_state_of_another_stack_is_refused_by_name(tmp_path: Path) -> None:
    """Each resource would look new, and nothing would be compared."""
    with pytest.raises(BadInput, match="'greenlight/staging', found that of 'greenlight/other'"):
        read_state(written(tmp_path, resource(stack="other")), "staging")


def test_inputs_that_are_one_secret_are_refused(tmp_path: Path) -> None:
    """Nothing of them could be compared, so nothing passes."""
    file = written(tmp_path, resource(inputs={MARK: "1b47", "ciphertext": "v1:abc"}))

    with pytest.raises(BadInput, match="all of them are encrypted"):
        read_state(file, "staging")


def test_a_state_of_another_subscription_than_the_signed_in_one_is_refused(tmp_path: Path) -> None:
    """Before the engine is started."""
    environment = {"AZURE_SUBSCRIPTION_ID": "s-2"}

    with pytest.raises(BadInput, match="a state of subscription 's-2', found resources in 's-1'"):
        preview(ROOT, "staging", state=written(tmp_path, resource()), environment=environment)


def test_on_the_command_line_that_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not there, too."""
    missing = str(tmp_path / "missing.json")

    assert main(["preview", "--stack", "staging", "--state", missing]) == BAD_INPUT
    assert "missing.json: --state: expected a file to read" in capsys.readouterr().err
