"""Reads the facts that limits are judged by from Azure itself, where somebody has credentials.

Sizes, quota and free names belong to a subscription and change by the day, so an answer of a
minute ago is worth more than a table. The table stands in only where there are no credentials at
all: a call that fails with them is an error, for a limit that was not looked up is not kept.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Protocol

from pipelines.arm import Arm
from policies.limits.facts import (
    SPOT,
    TOTAL,
    AzureFacts,
    Free,
    Offer,
    Quota,
    Service,
    Size,
    family_key,
    region_key,
)
from policies.limits.tables import table
from release.errors import BadInput, GreenlightError, Problem

SCOPE = "https://management.azure.com/.default"
SUBSCRIPTION = ("AZURE_SUBSCRIPTION_ID", "ARM_SUBSCRIPTION_ID")
CREDENTIALS = ("AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "ARM_CLIENT_ID")
"""Variables that say that somebody means to sign in: then not being able to is an error."""

ENDPOINTS = "Microsoft.MachineLearningServices/workspaces/onlineEndpoints"
_ML = "Microsoft.MachineLearningServices"


class Session(Protocol):
    """Azure Resource Manager, signed in. Paths begin at its root."""

    def listed(self, path: str, api: str, filtered: str = "") -> list[dict[str, Any]]:
        """All values of a list, its further pages included."""

    def asked(self, path: str, api: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question that is put with POST."""


@dataclass(frozen=True)
class _Question:
    """How a provider is asked whether a name is free."""

    path: str
    api: str
    name: str
    type: str
    answer: str


AVAILABILITY = {
    "microsoft.storage/storageaccounts": _Question(
        "Microsoft.Storage/checkNameAvailability",
        "2024-01-01",
        "name",
        "Microsoft.Storage/storageAccounts",
        "nameAvailable",
    ),
    "microsoft.keyvault/vaults": _Question(
        "Microsoft.KeyVault/checkNameAvailability",
        "2023-07-01",
        "name",
        "Microsoft.KeyVault/vaults",
        "nameAvailable",
    ),
    "microsoft.containerregistry/registries": _Question(
        "Microsoft.ContainerRegistry/checkNameAvailability",
        "2023-07-01",
        "name",
        "Microsoft.ContainerRegistry/registries",
        "nameAvailable",
    ),
    "microsoft.eventhub/namespaces": _Question(
        "Microsoft.EventHub/checkNameAvailability", "2024-01-01", "name", "", "nameAvailable"
    ),
}
"""By ARM type in small letters. Azure ML has no such question for its endpoints."""


def azure_facts(
    environment: Mapping[str, str],
    region: str,
    names: Sequence[tuple[str, str]] = (),
    *,
    connect: Callable[[Callable[[], str]], Session] = Arm,
) -> AzureFacts:
    """Live facts of ``region``, or the table if ``environment`` has no credentials.

    ``names`` are types and names to ask after. ``connect`` makes a session of a function that
    gives a token. Raises BadInput where the environment is half set up, GreenlightError where
    Azure does not answer.
    """
    subscription = named_subscription(environment)
    named = [variable for variable in CREDENTIALS if environment.get(variable)]
    if not subscription and not named:
        return _table("no Azure subscription named")
    if not subscription:
        raise _half(
            " or ".join(SUBSCRIPTION), f"only {named[0]}", "Set it to the subscription's id"
        )
    token = _token(environment, named)
    if token is None:
        return _table("no Azure credentials")
    return fetch(connect(token), subscription, region, names)


def named_subscription(environment: Mapping[str, str]) -> str:
    """The subscription that ``environment`` names, or nothing."""
    return next((environment[v] for v in SUBSCRIPTION if environment.get(v)), "")


def fetch(
    session: Session,
    subscription: str,
    region: str,
    names: Sequence[tuple[str, str]] = (),
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> AzureFacts:
    """What Azure says of ``region`` for ``subscription``. Raises GreenlightError if it does not.

    Of GPUs Azure tells only how many: their model and memory are the table's.
    """
    root = f"/subscriptions/{subscription}/providers"
    region = region_key(region)
    rows = session.listed(f"{root}/Microsoft.Compute/skus", "2021-07-01", f"location eq '{region}'")
    machines = [row for row in rows if row.get("resourceType") == "virtualMachines"]
    if not machines:
        raise BadInput(
            Problem(
                f"sizes of virtual machines in the region '{region}'",
                "none in Azure's answer",
                "Correct the region's name",
            )
        )
    sizes = [_size(row) for row in machines]
    return replace(
        table(),
        origin=f"live, {now().astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        live=True,
        sizes={**table().sizes, **{size.name.lower(): size for size in sizes}},
        regions=table().regions | {region},
        offers={(row["name"].lower(), region): _offer(row) for row in machines},
        whole=frozenset({region}),
        quotas=_quotas(session, root, region),
        names=_names(session, root, region, names),
    )


def _quotas(session: Session, root: str, region: str) -> dict[tuple[str, Service, str], Quota]:
    where = f"locations/{region}/usages"
    compute = session.listed(f"{root}/Microsoft.Compute/{where}", "2024-07-01")
    learning = session.listed(f"{root}/{_ML}/{where}", "2024-10-01")
    found: dict[tuple[str, Service, str], Quota] = {}
    found |= {(region, "compute", key): quota for key, quota in _read(compute, _compute_key)}
    found |= {(region, "ml", key): quota for key, quota in _read(learning, _ml_key)}
    return found


def _read(
    rows: Iterable[Mapping[str, Any]], key: Callable[[str, str], str]
) -> Iterable[tuple[str, Quota]]:
    """Quotas by family. A negative limit means that there is none, and is left out as unknown."""
    for row in rows:
        name = row["name"]
        found = key(name["value"], name.get("localizedValue") or name["value"])
        if found and row["limit"] >= 0 and "/workspaces/" not in row.get("id", ""):
            yield found, Quota(int(row["limit"]), int(row["currentValue"]))


def _compute_key(value: str, _: str) -> str:
    return {"cores": TOTAL, "lowPriorityCores": SPOT}.get(value, family_key(value))


def _ml_key(value: str, words: str) -> str:
    """Azure ML's family; the service writes what it is a quota of into its name in words."""
    plain = words.lower().replace("-", "").replace(" ", "")
    if plain.startswith("totalcluster"):
        return SPOT if "lowpriority" in plain else TOTAL
    dedicated = "clusterdedicatedvcpus" in plain
    return family_key(value).removesuffix("clusterdedicatedvcpus") if dedicated else ""


def _size(row: Mapping[str, Any]) -> Size:
    told = {entry["name"]: entry["value"] for entry in row.get("capabilities", ())}
    known = table().size(row["name"]) or Size(
        name=row["name"], family="", vcpus=0, gpus=Fraction(told.get("GPUs", "0"))
    )
    return replace(
        known,
        family=row.get("family", ""),
        vcpus=int(told["vCPUs"]),
        memory_gib=float(told["MemoryGB"]) if "MemoryGB" in told else known.memory_gib,
        temp_gib=_gib(told.get("MaxResourceVolumeMB"), known.temp_gib),
        architecture=told.get("CpuArchitectureType", known.architecture).lower(),
        ephemeral_os=_flag(told.get("EphemeralOSDiskSupported"), known.ephemeral_os),
    )


def _offer(row: Mapping[str, Any]) -> Offer:
    zones = {zone for info in row.get("locationInfo", ()) for zone in info.get("zones", ())}
    restrictions = row.get("restrictions", ())
    for restriction in restrictions:
        zones -= set(restriction.get("restrictionInfo", {}).get("zones", ()))
    kept = any(restriction.get("type") == "Location" for restriction in restrictions)
    return Offer(restricted=kept, zones=frozenset(zones))


def _names(
    session: Session, root: str, region: str, names: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Free]:
    found: dict[tuple[str, str], Free] = {}
    for type_, name in names:
        question = AVAILABILITY.get(type_.lower())
        if question:
            found[type_.lower(), name.lower()] = _free(session, root, question, name)
    if any(type_.lower() == ENDPOINTS.lower() for type_, _ in names):
        found |= dict.fromkeys(_own_endpoints(session, root, region), "taken")
    return found


def _free(session: Session, root: str, question: _Question, name: str) -> Free:
    body = {question.name: name} | ({"type": question.type} if question.type else {})
    answer = session.asked(f"{root}/{question.path}", question.api, body)
    if not isinstance(answer.get(question.answer), bool):
        raise GreenlightError(f"{question.path}: expected {question.answer} in Azure's answer")
    return "free" if answer[question.answer] else "taken"


def _own_endpoints(session: Session, root: str, region: str) -> list[tuple[str, str]]:
    """Endpoints of the subscription in ``region``: taken, if only by ourselves."""
    path = root.removesuffix("/providers") + "/resources"
    rows = session.listed(path, "2021-04-01", f"resourceType eq '{ENDPOINTS}'")
    here = [row for row in rows if region_key(row.get("location", "")) == region]
    return [(ENDPOINTS.lower(), row["name"].rpartition("/")[2].lower()) for row in here]


def _token(environment: Mapping[str, str], named: Sequence[str]) -> Callable[[], str] | None:
    """A function that gives a token, None where nobody is signed in."""
    try:
        identity = importlib.import_module("azure.identity")
    except ImportError:
        if not named:
            return None
        remedy = "Install it: uv sync --extra azure"
        raise _half("the package azure-identity", f"{named[0]} without it", remedy) from None
    secret = [
        environment.get(f"ARM_{part}") for part in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
    ]
    credential: Any = (
        identity.ClientSecretCredential(*secret)
        if all(secret)
        else identity.DefaultAzureCredential()
    )
    error = importlib.import_module("azure.core.exceptions").ClientAuthenticationError
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)  # it is said here, once
    try:
        token = str(credential.get_token(SCOPE).token)
    except (error, ValueError) as refused:  # ValueError: an id that cannot be one
        if not named:
            return None
        kind = type(refused).__name__  # its text can repeat what it was given
        raise GreenlightError(
            f"Azure did not let the identity of {named[0]} sign in ({kind}). "
            "Check its tenant, its secret or its federation"
        ) from None
    return lambda: token


def _table(reason: str) -> AzureFacts:
    return replace(table(), origin=f"{table().origin}, {reason}")


def _half(expected: str, found: str, remedy: str) -> BadInput:
    return BadInput(Problem(expected, found, remedy, file="environment"))


def _gib(megabytes: str | None, otherwise: float | None) -> float | None:
    return otherwise if megabytes is None else float(megabytes) / 1024


def _flag(value: str | None, otherwise: bool | None) -> bool | None:
    return otherwise if value is None else value.lower() == "true"
