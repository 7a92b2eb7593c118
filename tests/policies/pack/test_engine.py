"""The real engine, with the pack: it refuses what the rules refuse, and shows no secret."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PACK = ROOT / "policies/pack/greenlight-policies"
PROJECT = """\
name: greenlight
runtime: python
"""
SETTINGS = """\
config:
  greenlight:azure:
    environment: production
    allowedLocations: [swedencentral]
"""
PROGRAM = """\
import pulumi
from pulumi_azure_native import keyvault, storage

keyvault.Secret("kept", secret_name="kept", vault_name="kv", resource_group_name="rg",
    properties={"value": pulumi.Output.secret("made-up-and-kept")})
keyvault.Secret("shown", secret_name="shown", vault_name="kv", resource_group_name="rg",
    properties={"value": "made-up-and-shown"})
storage.StorageAccount("store", account_name="st", resource_group_name="rg", location="eastus",
    kind="StorageV2", sku={"name": "Standard_LRS"})
"""

pytestmark = pytest.mark.slow


class Recorder(provider_pb2_grpc.ResourceProviderServicer):
    """Stands for azure-native: takes what it is told, and gives it back with an id."""

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True
        )

    def Attach(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="3.29.0")

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Create(self, request: Any, context: Any) -> Any:
        outputs = struct_pb2.Struct()
        outputs.CopyFrom(request.properties)
        return provider_pb2.CreateResponse(id=request.urn, properties=outputs)


@pytest.fixture
def provider() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Recorder(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


def _pulumi(folder: Path, environment: dict[str, str], *args: str) -> tuple[int, str]:
    done = subprocess.run(
        ["pulumi", *args, "--non-interactive"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def _engine() -> Path:
    """The Pulumi CLI; without it the tests fail in CI, and are skipped loudly elsewhere."""
    found = os.environ.get("GREENLIGHT_PULUMI") or shutil.which("pulumi")
    if not found and os.environ.get("CI"):
        pytest.fail("the Pulumi CLI is not there; run the tests with ./greenlight test")
    return Path(found or pytest.skip("the Pulumi CLI is not there; run ./greenlight test"))


@pytest.fixture
def stack(tmp_path: Path, provider: int) -> dict[str, str]:
    """A project with a stack; the environment that the engine runs in."""
    engine = _engine()
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    (tmp_path / "__main__.py").write_text(PROGRAM)
    (tmp_path / "Pulumi.production.yaml").write_text(SETTINGS)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((str(ROOT / ".venv/bin"), str(engine.parent), os.environ["PATH"])),
        "PULUMI_DEBUG_PROVIDERS": f"azure-native:{provider}",
        "PULUMI_BACKEND_URL": f"file://{tmp_path}/state",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "made up",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    code, said = _pulumi(tmp_path, environment, "stack", "init", "production")
    assert code == 0, said
    return environment


def test_the_engine_refuses_what_the_rules_refuse(tmp_path: Path, stack: dict[str, str]) -> None:
    """Each by its rule, at its resource; what is kept secret passes and is shown nowhere."""
    settings = {"GREENLIGHT_STACK_SETTINGS": str(tmp_path / "Pulumi.production.yaml")}

    code, said = _pulumi(tmp_path, stack | settings, "preview", "--policy-pack", str(PACK))

    assert code != 0
    assert "[mandatory]  GL-AZ-NET-001  (azure-native:storage:StorageAccount: store)" in said
    assert "[mandatory]  GL-AZ-LOC-001  (azure-native:storage:StorageAccount: store)" in said
    assert "[mandatory]  GL-AZ-DGN-004" not in said, "accounts are logged at their blob service"
    assert "[mandatory]  GL-AZ-NET-011  (azure-native:storage:StorageAccount: store)" in said
    assert "[mandatory]  GL-AZ-SEC-002  (azure-native:keyvault:Secret: shown)" in said
    assert "azure-native:keyvault:Secret: kept" not in said
    assert "made-up-and" not in said


def test_s25_a_pack_that_does_not_start_stops_the_preview(
    tmp_path: Path, stack: dict[str, str]
) -> None:
    """Here, because nothing says what the stack may be."""
    code, said = _pulumi(tmp_path, stack, "preview", "--policy-pack", str(PACK))

    assert code != 0
    assert "GREENLIGHT_STACK_SETTINGS: expected the stack's settings file, found nothing" in said
