"""A provider that writes down what it is asked for, in the place of one that calls Azure.

The engine attaches to it and plans the real program. Every resource gets the id that Azure would
give it, made of the names in its inputs, so that what leans on it resolves in a preview; what
nobody can know before (a principal, an address) is made up, and recognisably so.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from policies.arm.convert import to_arm
from release.errors import BadInput

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
TENANT = "00000000-0000-0000-0000-000000000001"
CLIENT = {
    "tenantId": TENANT,
    "clientId": "00000000-0000-0000-0000-000000000002",
    "objectId": "00000000-0000-0000-0000-000000000003",
}  # fmt: skip
THREADS = 16  # as many as the engine asks at once


def synthetic_guid(text: str) -> str:
    """An identifier that is always the same for ``text``; its zeros tell that it is made up."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"00000000-0000-4000-8000-{digest[:12]}"


def made_id(
    token: str, inputs: Mapping[str, Any], name: str, subscription: str = SUBSCRIPTION
) -> str:
    """The id that Azure would give it; of a type that the table does not know, any."""
    root = f"/subscriptions/{subscription}"
    try:
        arm = to_arm(token, inputs)
    except BadInput:  # the plan is refused for it, by name, once it is read
        return f"{root}/providers/{token}/{name}"
    level = root + (f"/resourceGroups/{arm.group}" if arm.group else "")
    if arm.type == "Microsoft.Resources/resourceGroups":
        return f"{level}/resourceGroups/{arm.name}"
    provider, *kinds = arm.type.split("/")
    parts = zip(kinds, arm.name.split("/"), strict=False)
    return "/".join([arm.scope or level, "providers", provider, *(f"{k}/{n}" for k, n in parts)])


KEYED = frozenset({"userAssignedIdentities", "grafanaPlugins"})
"""What azure-native takes as a list and answers as a map, as Azure does."""


def answered(value: Any) -> Any:
    """Inputs as Azure's answer has them."""
    if isinstance(value, list):
        return [answered(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {str(name): {} for name in one}
        if key in KEYED and isinstance(one, list)
        else answered(one)
        for key, one in value.items()
    }


MADE_UP: Mapping[str, Mapping[str, str]] = {
    "azure-native:managedidentity:UserAssignedIdentity": {
        "principalId": "{guid}", "clientId": "{guid}", "tenantId": TENANT,
    },
    "azure-native:machinelearningservices:OnlineEndpoint": {
        "properties.scoringUri": "https://{name}.invalid/score",
    },
    "azure-native:machinelearningservices:BatchEndpoint": {
        "properties.scoringUri": "https://{name}.invalid/jobs",
    },
    "azure-native:containerservice:ManagedCluster": {
        "oidcIssuerProfile.issuerURL": "https://{name}.invalid/", "fqdn": "{name}.invalid",
    },
    "azure-native:cognitiveservices:Account": {"properties.endpoint": "https://{name}.invalid/"},
    "azure-native:containerregistry:Registry": {"loginServer": "{name}.invalid"},
    "azure-native:operationalinsights:Workspace": {"customerId": "{guid}"},
    "azure-native:keyvault:Vault": {"properties.vaultUri": "https://{name}.invalid/"},
    "azure-native:dashboard:Grafana": {"properties.endpoint": "https://{name}.invalid/"},
}  # fmt: skip
"""What Azure alone would know, by type and path of the output: recognisably made up."""


@dataclass
class Recorder(provider_pb2_grpc.ResourceProviderServicer):
    """Answers the engine's calls for one provider, as if signed in to ``subscription``: names that
    have to be unique are made of it.
    """

    subscription: str = SUBSCRIPTION

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """What it understands."""
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True
        )

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The engine is there."""
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """No version of its own: the program says which it asks for."""
        return plugin_pb2.PluginInfo(version="0.0.0")

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        """None is needed for a plan."""
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whatever it is configured with is right."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        """It never changes."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Secrets stay marked as such all the way."""
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, acceptResources=True, acceptOutputs=True
        )

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Inputs as they are: what is wrong with them is for the rules to say."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Whether the inputs changed."""
        same = request.news == request.old_inputs
        none, some = provider_pb2.DiffResponse.DIFF_NONE, provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(changes=none if same else some)

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Nothing is created; the id is what Azure's would be."""
        token, name = request.urn.split("::")[2].split("$")[-1], request.urn.split("::")[3]
        inputs = MessageToDict(request.properties)
        made = made_id(token, inputs, name, self.subscription)
        known = {"name": made.rsplit("/", 1)[-1], **_made_up(token, made)}
        found = ParseDict(_laid_over(answered(inputs), known), struct_pb2.Struct())
        return provider_pb2.CreateResponse(id=made, properties=found)

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        """As the engine knows it."""
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Who is asking is made up; anything else cannot be known here, and is said to be so."""
        if request.tok == "azure-native:authorization:getClientConfig":
            client = {**CLIENT, "subscriptionId": self.subscription}
            return provider_pb2.InvokeResponse(**{"return": ParseDict(client, struct_pb2.Struct())})
        failure = provider_pb2.CheckFailure(
            property="",
            reason=f"{request.tok} asks Azure, and a preview without credentials cannot",
        )
        return provider_pb2.InvokeResponse(failures=[failure])

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """There is nothing to end."""
        return empty_pb2.Empty()


def _made_up(token: str, made: str) -> dict[str, Any]:
    """Outputs that Azure would compute; ``{guid}`` is an identifier that is always the same."""
    found: dict[str, Any] = {}
    for path, value in MADE_UP.get(token, {}).items():
        *above, last = path.split(".")
        inner = found
        for key in above:
            inner = inner.setdefault(key, {})
        name, guid = made.rsplit("/", 1)[-1], synthetic_guid(made + path)
        inner[last] = value.format(name=name, guid=guid)
    return found


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, nested; what ``above`` says counts."""
    both = {
        key: _laid_over(below[key], value)
        for key, value in above.items()
        if isinstance(value, dict) and isinstance(below.get(key), dict)
    }
    return {**below, **above, **both}


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[int]:
    """Serve ``recorder`` on a port of this machine while the block runs."""
    server = grpc.server(futures.ThreadPoolExecutor(THREADS))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(recorder, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()
