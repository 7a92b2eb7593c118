"""Where code and weights come from: registries that the platform trusts, by digest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.arm.resource import UNKNOWN, ArmResource
from policies.rules.azure import kinds
from policies.rules.azure.bounds import Bounds
from policies.rules.azure.values import (
    equals,
    is_unknown,
    said,
    value_at,
    where,
)
from policies.rules.findings import shown
from policies.rules.rule import PlanRule, Rule

LEARN = "https://learn.microsoft.com/azure"

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
CATALOG = re.compile(r"azureml://registries/(?P<registry>[^/]+)/models/")


def rules(bounds: Bounds) -> tuple[Rule, ...]:
    """The rules of this module."""
    return (*_images(bounds), *_sources(bounds), *_registry(bounds))


def plan_rules(bounds: Bounds) -> tuple[PlanRule, ...]:
    """The rules of this module over a whole plan: none."""
    return ()


def _images(bounds: Bounds) -> tuple[Rule, ...]:
    hosts = ", ".join(bounds.images)
    return (
        Rule(
            id="GL-AZ-IMG-001",
            title="Images come from allowed registries",
            types=(kinds.EXTENSION, kinds.DEPLOYMENT),
            expected=f"images from {hosts}",
            remedy="Copy the image into an allowed registry: `az acr import`.",
            source=f"{LEARN}/container-registry/container-registry-best-practices",
            check=lambda resource: _foreign_image(resource, bounds.images),
        ),
        Rule(
            id="GL-AZ-IMG-002",
            title="Images are named by digest",
            types=(kinds.EXTENSION, kinds.DEPLOYMENT),
            expected="REGISTRY/IMAGE@sha256:DIGEST",
            remedy="Write the digest that was scanned; a tag can be moved.",
            source=f"{LEARN}/container-registry/container-registry-image-tag-version",
            check=_moving_image,
        ),
    )


def _sources(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IMG-003",
            title="Extensions follow the stable train",
            types=(kinds.EXTENSION,),
            expected="releaseTrain: Stable",
            remedy="Remove it or set it to Stable.",
            source=f"{LEARN}/aks/cluster-extensions",
            check=equals("properties.releaseTrain", "Stable", default="Stable"),
        ),
        Rule(
            id="GL-AZ-IMG-004",
            title="Catalog models come from allowed registries",
            types=(kinds.SERVERLESS, kinds.SUBSCRIPTION),
            expected=f"azureml://registries/{'|'.join(bounds.models)}/models/...",
            remedy="Take the model from an allowed registry, or have this one allowed.",
            source=f"{LEARN}/machine-learning/how-to-share-models-pipelines-across-workspaces-with-registries",
            check=lambda resource: _foreign_model(resource, bounds.models),
        ),
        Rule(
            id="GL-AZ-IMG-005",
            title="GitOps follows an encrypted source",
            types=(kinds.FLUX,),
            expected="a gitRepository.url of https:// or ssh://, or ociRepository.insecure: false",
            remedy="Name the repository by https:// or ssh://.",
            source=f"{LEARN}/azure-arc/kubernetes/conceptual-gitops-flux2",
            check=_open_source,
        ),
    )


def _registry(bounds: Bounds) -> tuple[Rule, ...]:
    return (
        Rule(
            id="GL-AZ-IMG-006",
            title="The container registry can be private",
            types=(kinds.REGISTRY,),
            expected="sku.name: Premium",
            remedy="Set it: the others have no private endpoints.",
            source=f"{LEARN}/container-registry/container-registry-skus",
            check=equals("sku.name", "Premium"),
            severity=bounds.when_private,
        ),
        Rule(
            id="GL-AZ-IMG-007",
            title="Images do not leave a closed registry",
            types=(kinds.REGISTRY,),
            expected="policies.exportPolicy.status: disabled, where public access is off",
            remedy="Set it: an export carries images past the network's rules.",
            source=f"{LEARN}/container-registry/data-loss-prevention",
            check=where(
                lambda one: value_at(one, "properties.publicNetworkAccess") == "Disabled",
                equals("properties.policies.exportPolicy.status", "disabled", default="enabled"),
            ),
            severity="warn",
        ),
    )


def _named_images(resource: ArmResource) -> Iterator[str]:
    """Every value of the resource that is meant as an image, UNKNOWN among them."""
    for key in ("configurationSettings", "environmentVariables"):
        settings = value_at(resource, f"properties.{key}", {})
        if settings == UNKNOWN:
            yield UNKNOWN
        elif isinstance(settings, Mapping):
            yield from (str(v) for k, v in settings.items() if _means_image(k))
    image = value_at(resource, "properties.environmentId", "")
    if image and not str(image).startswith(("azureml:", "/subscriptions/")):
        yield str(image)


def _means_image(key: Any) -> bool:
    words = re.split(r"[._-]", str(key).lower())
    return words[-1] == "image" or words[-2:] == ["image", "repository"]


def _foreign_image(resource: ArmResource, hosts: tuple[str, ...]) -> str | None:
    for image in _named_images(resource):
        if is_unknown(image):
            return "an image that is not known yet"
        host, slash, _ = image.partition("/")
        if not slash or host.lower() not in hosts:
            return shown(image)
    return None


def _moving_image(resource: ArmResource) -> str | None:
    moving = (image for image in _named_images(resource) if not DIGEST.search(image))
    image = next(moving, None)
    return None if image is None else shown(image)


def _foreign_model(resource: ArmResource, registries: tuple[str, ...]) -> str | None:
    settings = "modelSettings.modelId" if resource.type == kinds.SERVERLESS else "modelId"
    model = value_at(resource, f"properties.{settings}", "")
    told = CATALOG.match(str(model))
    return None if told and told["registry"] in registries else said(settings, model)


def _open_source(resource: ArmResource) -> str | None:
    if value_at(resource, "properties.ociRepository"):
        insecure = value_at(resource, "properties.ociRepository.insecure", False)
        return None if insecure is False else said("ociRepository.insecure", insecure)
    url = value_at(resource, "properties.gitRepository.url", "")
    encrypted = url != UNKNOWN and str(url).startswith(("https://", "ssh://"))
    return None if encrypted else said("gitRepository.url", url)
