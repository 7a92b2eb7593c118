"""The program under Pulumi's mocks, in process: what it declares, as the engine would get it."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
import yaml
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks

from infra.azure import live_traffic
from infra.azure.settings import AzureSettings
from infra.azure.stack import provision
from infra.settings import STACKS, read_azure
from policies.arm.convert import to_arm
from policies.arm.resource import ArmResource

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
SECRET = "4dabf18193072939515e22adb298388d"
"""The engine's key of a value with a meaning of its own; its own meaning is in the value."""

SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"
KEY = "sk-never-to-be-seen"
HIDDEN = "[secret]"

PARENTS = ("resourceGroupName", "workspaceName", "vaultName")
"""Inputs that name what a resource is in."""


@dataclass(frozen=True)
class Declared:
    """A resource that the program declared. Values that the engine keeps secret are HIDDEN."""

    token: str
    name: str
    id: str
    inputs: Mapping[str, Any]
    protect: bool
    ignored: tuple[str, ...]
    waits_for: tuple[str, ...]

    def at(self, path: str, default: Any = None) -> Any:
        """The input at a dotted path."""
        value: Any = self.inputs
        for part in path.split("."):
            value = value.get(part, default) if isinstance(value, Mapping) else default
        return value


@dataclass(frozen=True)
class Recorded:
    """All that one run declared, and its outputs."""

    resources: tuple[Declared, ...]
    outputs: Mapping[str, Any]

    def of(self, *tokens: str) -> list[Declared]:
        """Those of these types, such as ``storage:StorageAccount``."""
        wanted = {f"azure-native:{token}" for token in tokens}
        return [one for one in self.resources if one.token in wanted]

    def one(self, token: str) -> Declared:
        """The only one of its type."""
        (found,) = self.of(token)
        return found

    def bodies(self) -> list[ArmResource]:
        """What Azure would be told."""
        azure = [one for one in self.resources if one.token.startswith("azure-native:")]
        return [to_arm(one.token, one.inputs, urn=one.name) for one in azure]


class _Azure(pulumi.runtime.Mocks):
    """Answers like Azure: an id made of the name, and what it adds of its own."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        state = dict(args.inputs)
        named = {key: value for key, value in args.inputs.items() if key.lower().endswith("name")}
        own = {key: value for key, value in named.items() if key not in PARENTS} or named
        state["name"] = next(reversed(own.values()), args.name)
        state |= {"principalId": f"principal-{args.name}", "clientId": f"client-{args.name}"}
        if isinstance(state.get("properties"), dict):
            state["properties"] = state["properties"] | {"scoringUri": f"https://{args.name}/score"}
        if isinstance(identity := state.get("identity"), dict):
            # What goes in as a list of ids comes back with one entry an id.
            ids = identity.get("userAssignedIdentities") or []
            state["identity"] = identity | {"userAssignedIdentities": {one: {} for one in ids}}
        return _id(args.typ, args.name), state

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        client = {"subscriptionId": SUBSCRIPTION, "tenantId": TENANT}
        return client | {"clientId": SUBSCRIPTION, "objectId": SUBSCRIPTION}, []


def _id(token: str, name: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/{token.replace(':', '/')}/{name}"


class _Monitor(mocks.MockMonitor):
    """Keeps each request as it came: secrets marked, options included."""

    def __init__(self) -> None:
        super().__init__(_Azure())
        self.requests: list[Any] = []

    def RegisterResource(self, request: Any) -> Any:
        self.requests.append(request)
        with _own_loop():
            return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def Invoke(self, request: Any) -> Any:
        with _own_loop():
            return super().Invoke(request)  # type: ignore[no-untyped-call]


@contextmanager
def _own_loop() -> Iterator[None]:
    """A loop for the engine's thread that this runs in: Pulumi would make one and leave it open."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            yield
        finally:
            asyncio.set_event_loop(None)
            loop.close()
    else:
        yield


def settings_of(stack: str) -> AzureSettings:
    """The settings of a stack of the repository.

    A date without quotes is no text to the engine either, so it fails here as it does there.
    """
    file = STACKS / f"Pulumi.{stack}.yaml"
    value = yaml.safe_load(file.read_text())["config"]["greenlight:azure"]
    return read_azure(json.loads(json.dumps(value)), Path(file))


def record(settings: AzureSettings) -> Recorded:
    """What the program declares for these settings."""
    return recorded(lambda: provision(settings, _secrets(settings)))


def recorded(program: Callable[[], Mapping[str, Any]]) -> Recorded:
    """What ``program`` declares, and the outputs that it returns."""
    monitor = _Monitor()
    outputs: dict[str, str] = {}
    asyncio.set_event_loop(asyncio.new_event_loop())
    mocks.set_mocks(monitor.mocks, preview=False, monitor=monitor)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> pulumi.Output[None]:
        return pulumi.Output.json_dumps(program()).apply(lambda text: outputs.update(found=text))

    try:
        # Mocks call no hooks.
        hooks = patch.multiple(live_traffic, hooks=pulumi.ResourceHookBinding, guard=lambda: None)
        with hooks, uncollected():
            run()
    finally:
        asyncio.get_event_loop().close()
        asyncio.set_event_loop(None)
    resources = tuple(_declared(request) for request in monitor.requests)
    return Recorded(resources, json.loads(outputs["found"]))


@contextmanager
def uncollected() -> Iterator[None]:
    """Without Python's garbage collector, which takes more than half of the time of a run: Pulumi
    makes tens of thousands of futures, and each thousand of them has the whole SDK looked at.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _secrets(settings: AzureSettings) -> dict[str, pulumi.Output[str]]:
    return {one.secret: pulumi.Output.secret(KEY) for one in settings.connections}


def _declared(request: Any) -> Declared:
    return Declared(
        token=request.type,
        name=request.name,
        id=_id(request.type, request.name),
        inputs=_hidden(MessageToDict(request.object)),
        protect=request.protect,
        ignored=tuple(request.ignoreChanges),
        waits_for=tuple(request.dependencies),
    )


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SECRET) == SECRET_VALUE:
            return HIDDEN
        return {key: _hidden(inner) for key, inner in value.items()}
    return [_hidden(inner) for inner in value] if isinstance(value, list) else value


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys included."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value
