"""Facts from Azure, read from a local server that speaks the JSON of Azure Resource Manager."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.arm import Arm
from pipelines.azure_facts import azure_facts, fetch
from policies.limits.capacity import capacity
from policies.limits.check import check_limits
from policies.limits.facts import AzureFacts, Offer, Quota
from policies.limits.request import Deployment, Request
from policies.limits.tables import table
from release.errors import BadInput, GreenlightError
from tests.policies.limits.cases import resources

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
ROOT = f"/subscriptions/{SUBSCRIPTION}/providers"
SKUS = f"{ROOT}/Microsoft.Compute/skus"
COMPUTE = f"{ROOT}/Microsoft.Compute/locations/swedencentral/usages"
LEARNING = f"{ROOT}/Microsoft.MachineLearningServices/locations/swedencentral/usages"
OWN = f"/subscriptions/{SUBSCRIPTION}/resources"
STORAGE = f"{ROOT}/Microsoft.Storage/checkNameAvailability"
NAMES = (
    ("Microsoft.Storage/storageAccounts", "sttaken"),
    ("Microsoft.Storage/storageAccounts", "stfree"),
    ("Microsoft.MachineLearningServices/workspaces/onlineEndpoints", "bot"),
)


def sku(name: str, family: str, told: Mapping[str, str], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "virtualMachines",
        "name": name,
        "family": family,
        "locations": ["SwedenCentral"],
        "locationInfo": [{"location": "SwedenCentral", "zones": ["1", "2", "3"]}],
        "capabilities": [{"name": key, "value": value} for key, value in told.items()],
        "restrictions": [],
        **more,
    }


def usage(value: str, words: str, limit: int, used: int, **more: Any) -> dict[str, Any]:
    name = {"value": value, "localizedValue": words}
    return {"unit": "Count", "currentValue": used, "limit": limit, "name": name, **more}


A100 = {
    "vCPUs": "24",
    "MemoryGB": "220",
    "GPUs": "1",
    "MaxResourceVolumeMB": "65536",
    "CpuArchitectureType": "x64",
    "EphemeralOSDiskSupported": "True",
}
FAMILY = "standardNCADSA100v4Family"
IN_WORDS = "Standard NCADSA100v4 Family Cluster Dedicated vCPUs"
ENDLESS = "Standard D Family Cluster Dedicated vCPUs"
ANSWERS: dict[str, Any] = {
    SKUS: [
        {"resourceType": "disks", "name": "Premium_LRS"},
        sku(
            "Standard_NC24ads_A100_v4",
            "standardNCADSA100v4Family",
            A100,
            restrictions=[{"type": "Zone", "restrictionInfo": {"zones": ["1"]}}],
        ),
        sku(
            "Standard_NC40ads_H100_v5",
            "standardNCADSH100v5Family",
            {"vCPUs": "40"},
            restrictions=[{"type": "Location", "reasonCode": "NotAvailableForSubscription"}],
        ),
        sku("Standard_X2_v9", "standardXv9Family", {"vCPUs": "2", "GPUs": "1"}),
    ],
    COMPUTE: [
        usage("cores", "Total Regional vCPUs", 350, 10),
        usage("lowPriorityCores", "Total Regional Spot vCPUs", 100, 0),
        usage("standardNCADSA100v4Family", "Standard NCADS_A100_v4 Family vCPUs", 48, 24),
    ],
    LEARNING: [
        usage("TotalCores", "Total Cluster Dedicated Regional vCPUs", 500, 0),
        usage("LowCores", "Total Cluster LowPriority Regional vCPUs", 90, 0),
        usage(FAMILY, IN_WORDS, 72, 24),
        usage(FAMILY, IN_WORDS, 9, 9, id=f"{ROOT}/x/workspaces/mlw-a/usages/{FAMILY}"),
        usage(ENDLESS, ENDLESS, -1, 0),
        usage("Clusters", "Clusters", 200, 1),
    ],
    OWN: [
        {"name": "mlw-x/bot", "location": "swedencentral"},
        {"name": "mlw-x/other", "location": "westeurope"},
    ],
}


@dataclass
class Azure:
    """The stand-in: what it answers, what it was asked, and what it does first."""

    url: str = ""
    answers: dict[str, Any] = field(default_factory=lambda: dict(ANSWERS))
    asked: list[tuple[str, str, dict[str, list[str]]]] = field(default_factory=list)
    first: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    pages: int = 2

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Any:
        if path == STORAGE:
            return {"nameAvailable": json.loads(body)["name"] == "stfree"}
        rows = self.answers.get(path)
        if rows is None or method != "GET":
            return None
        start = int(query.get("skip", ["0"])[0])
        page: dict[str, Any] = {"value": rows[start : start + self.pages]}
        if start + self.pages < len(rows):
            page["nextLink"] = f"{self.url}{path}?skip={start + self.pages}"
        return page


@pytest.fixture
def azure() -> Iterator[Azure]:
    stand_in = Azure()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = parse_qs(parts.query)
            stand_in.asked.append((self.command, parts.path, query))
            if self.headers["Authorization"] != "Bearer token":
                self.respond(401, {}, b"{}")
            elif stand_in.first:
                self.respond(*stand_in.first.pop(0))
            else:
                answer = stand_in.answer(self.command, parts.path, query, body)
                self.respond(200 if answer else 404, {}, json.dumps(answer or {}).encode())

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def respond(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield stand_in
    server.shutdown()
    server.server_close()
    thread.join()


def session(azure: Azure, waits: list[float] | None = None) -> Arm:
    return Arm(lambda: "token", azure.url, sleep=(waits if waits is not None else []).append)


def read(azure: Azure) -> AzureFacts:
    now = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    return fetch(session(azure), SUBSCRIPTION, "Sweden Central", NAMES, now=lambda: now)


def test_the_facts_say_that_they_are_live_and_since_when(azure: Azure) -> None:
    """The output tells a minute-old answer from a table."""
    facts = read(azure)
    assert (facts.origin, facts.live) == ("live, 2026-11-22T10:00:00Z", True)


def test_sizes_are_azures_and_the_gpu_model_is_the_tables(azure: Azure) -> None:
    """Azure tells how many GPUs a size has, and neither their model nor their memory."""
    facts = read(azure)
    known, strange = facts.size("Standard_NC24ads_A100_v4"), facts.size("Standard_X2_v9")
    assert known is not None
    assert (known.vcpus, known.temp_gib, known.family) == (24, 64.0, "standardNCADSA100v4Family")
    assert known.gpu == table().sizes["standard_nc24ads_a100_v4"].gpu
    assert strange is not None
    assert (strange.vcpus, int(strange.gpus)) == (2, 1)
    assert strange.gpu_memory_gib is None


def test_a_size_is_offered_restricted_or_absent(azure: Azure) -> None:
    """Absent is a no where the whole list of the region was read."""
    facts = read(azure)
    a100 = facts.offer("standard_nc24ads_a100_v4", "swedencentral")
    assert a100 == Offer(False, frozenset({"2", "3"}))
    assert facts.offer("Standard_NC40ads_H100_v5", "swedencentral") == Offer(True, frozenset("123"))
    assert facts.offer("Standard_D4s_v5", "swedencentral") == "absent"
    assert facts.offer("Standard_D4s_v5", "westeurope") == "unknown"


def test_machines_and_azure_ml_have_quotas_of_their_own(azure: Azure) -> None:
    """A workspace's share of a quota and a limit that is none are left out."""
    facts = read(azure)
    a100 = "standard NCADSA100v4 Family"
    assert facts.quota("swedencentral", "compute", a100) == Quota(48, 24)
    assert facts.quota("swedencentral", "ml", a100) == Quota(72, 24)
    assert facts.quota("swedencentral", "compute", "total") == Quota(350, 10)
    assert facts.quota("swedencentral", "ml", "total") == Quota(500, 0)
    assert facts.quota("swedencentral", "ml", "spot") == Quota(90, 0)
    assert facts.quota("swedencentral", "ml", "Standard D Family") is None


def test_S16_names_are_free_taken_or_unknown(azure: Azure) -> None:
    """Azure ML cannot be asked; what the subscription has itself is taken."""
    facts = read(azure)
    kinds = {name: facts.names.get((type_.lower(), name)) for type_, name in NAMES}
    assert kinds == {"sttaken": "taken", "stfree": "free", "bot": "taken"}
    plan = resources([["endpoint", "mlw-a/other"]])
    limits = check_limits(plan, facts, Request("swedencentral"))
    assert "GL-NAME-002" in {finding.rule for finding in limits.findings}


def test_S04_live_quota_decides(azure: Azure) -> None:
    """Two slots of one A100 each are the 48 cores that are left, of two each they are not."""
    facts = read(azure)

    def verdict(count: int) -> str:
        wanted = Deployment("bot", "Standard_NC24ads_A100_v4", count)
        return capacity((), facts, Request("swedencentral", deployments=(wanted,)))[0].verdict

    assert (verdict(1), verdict(2)) == ("pass", "fail")


def test_all_pages_of_a_list_are_read_and_the_region_is_asked_for(azure: Azure) -> None:
    """Sizes come in several pages; the first question names the region as ARM writes it."""
    read(azure)
    skus = [query for _, path, query in azure.asked if path == SKUS]
    assert skus[0]["$filter"] == ["location eq 'swedencentral'"]
    assert len(skus) == 2


def test_a_busy_azure_is_asked_again_when_it_says(azure: Azure) -> None:
    """429 with Retry-After, then 503, then the answer."""
    azure.first = [(429, {"Retry-After": "7"}, b""), (503, {}, b"")]
    waits: list[float] = []
    assert session(azure, waits).listed(OWN, "2021-04-01")
    assert waits == [7.0, 1.0]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b'{"error": {"code": "AuthorizationFailed", "message": "no"}}', "role Reader"),
        (
            404,
            b'{"error": {"code": "SubscriptionNotFound", "message": "no"}}',
            "SubscriptionNotFound",
        ),
        (500, b"<html>", "without an answer the limit is not known"),
        (200, b"[]", "expected a JSON object"),
        (200, b"{", "expected a JSON object"),
        (200, b"{}", "expected a JSON object"),
        (302, b"", "302"),
    ],
)
def test_a_call_that_fails_is_an_error_and_never_the_table(
    azure: Azure, status: int, body: bytes, said: str
) -> None:
    """It names the call, what Azure said and what to do, and nothing of the token."""
    azure.first = [(status, {"Location": f"{azure.url}/elsewhere"}, body)]
    with pytest.raises(GreenlightError, match=said) as raised:
        read(azure)
    assert "/Microsoft.Compute/skus" in str(raised.value)
    assert "token" not in str(raised.value)


def test_an_azure_that_is_away_is_an_error(azure: Azure) -> None:
    """After a few tries."""
    gone = Arm(lambda: "token", "http://127.0.0.1:1", sleep=lambda _: None)
    with pytest.raises(GreenlightError, match="does not answer"):
        gone.listed(OWN, "2021-04-01")


def test_the_token_goes_to_no_other_host(azure: Azure) -> None:
    """Neither to a next page somewhere else nor to an address without TLS."""
    azure.first = [(200, {}, b'{"value": [], "nextLink": "https://elsewhere.example/x"}')]
    with pytest.raises(GreenlightError, match=r"elsewhere\.example"):
        session(azure).listed(OWN, "2021-04-01")
    with pytest.raises(BadInput, match="https"):
        Arm(lambda: "token", "http://management.example")


def test_a_region_without_machines_is_refused_by_name(azure: Azure) -> None:
    """Azure answers an unknown region with an empty list."""
    azure.answers[SKUS] = []
    with pytest.raises(BadInput, match="swedencentral"):
        read(azure)


def never(_: Callable[[], str]) -> Arm:
    raise AssertionError("nobody is to connect")


@pytest.mark.parametrize("installed", [True, False])
def test_without_credentials_the_table_stands_in_and_says_why(
    monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """Nobody named, and nobody signed in."""
    _identity(monkeypatch, installed=installed, signed_in=False)
    facts = azure_facts({}, "swedencentral", connect=never)
    assert facts.origin == f"{table().origin}, no Azure subscription named"
    facts = azure_facts({"AZURE_SUBSCRIPTION_ID": "x"}, "swedencentral", connect=never)
    assert facts.origin == f"{table().origin}, no Azure credentials"
    assert not facts.live


@pytest.mark.parametrize(
    ("environment", "installed", "said"),
    [
        ({"AZURE_CLIENT_ID": "a"}, True, "AZURE_SUBSCRIPTION_ID"),
        ({"AZURE_CLIENT_ID": "a", "ARM_SUBSCRIPTION_ID": "b"}, False, "azure-identity"),
        ({"AZURE_CLIENT_ID": "a", "ARM_SUBSCRIPTION_ID": "b"}, True, "did not let the identity"),
    ],
)
def test_credentials_that_are_meant_and_do_not_work_are_an_error(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], installed: bool, said: str
) -> None:
    """The table would pass for what somebody believes to be live."""
    _identity(monkeypatch, installed=installed, signed_in=False)
    with pytest.raises(GreenlightError, match=said) as raised:
        azure_facts(environment, "swedencentral", connect=never)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("kind", ["DefaultAzureCredential", "ClientSecretCredential"])
def test_with_credentials_azure_is_asked(
    monkeypatch: pytest.MonkeyPatch, azure: Azure, kind: str
) -> None:
    """Those that Pulumi takes are taken as well."""
    made = _identity(monkeypatch, installed=True, signed_in=True)
    secret = {"ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c", "ARM_CLIENT_SECRET": "s3cret"}
    environment = {"ARM_SUBSCRIPTION_ID": SUBSCRIPTION}
    environment |= secret if kind == "ClientSecretCredential" else {}
    facts = azure_facts(environment, "swedencentral", connect=lambda token: Arm(token, azure.url))
    assert facts.live
    assert made == [kind]


def _identity(monkeypatch: pytest.MonkeyPatch, *, installed: bool, signed_in: bool) -> list[str]:
    """azure-identity as it behaves: present or not, with somebody signed in or not."""
    made: list[str] = []

    class ClientAuthenticationError(Exception):
        pass

    def credential(kind: str) -> Callable[..., Any]:
        def make(*_: str) -> Any:
            made.append(kind)
            return SimpleNamespace(get_token=get_token)

        return make

    def get_token(_: str) -> Any:
        if not signed_in:
            raise ClientAuthenticationError("s3cret was tried")
        return SimpleNamespace(token="token")

    identity, exceptions = ModuleType("azure.identity"), ModuleType("azure.core.exceptions")
    for kind in ("DefaultAzureCredential", "ClientSecretCredential"):
        setattr(identity, kind, credential(kind))
    exceptions.ClientAuthenticationError = ClientAuthenticationError  # type: ignore[attr-defined]
    modules: dict[str, Any] = {
        "azure": ModuleType("azure"),
        "azure.core": ModuleType("azure.core"),
        "azure.core.exceptions": exceptions,
        "azure.identity": identity if installed else None,
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made
