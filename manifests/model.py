"""What is rendered: an application in an environment, and the release in each of its slots."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from release.bundle import Release
from release.integrity import canonical, sha256
from release.kubernetes_section import Kubernetes

SHORT = 12
"""Hexadecimal digits of a digest in an object's name: 48 bits, for a handful of objects."""

PROMPT = re.compile(rf"prompt-[0-9a-f]{{{SHORT}}}")
"""Names of ConfigMaps with a bundle, and of none beside them: an application may be called
prompt-tester, and then its other ConfigMaps begin alike.
"""

INSTANCE = "app.kubernetes.io/instance"
"""The label by which Argo CD before 3.0 tells what is its own."""

DOMAIN = "greenlight.dev"
"""What comes before the slash in labels and annotations of our own, on nodes (``infra``) too."""


def own(name: str) -> str:
    """The key of a label or an annotation of our own."""
    return f"{DOMAIN}/{name}"


Piece = tuple[str, str, str, Mapping[str, Any]]
"""Kind, name and template of an object, and the values that the template takes."""


@dataclass(frozen=True)
class Slot:
    """One slot and the release in it."""

    name: str
    release: Release
    markers: tuple[str, ...] | None = None
    """The model's control tokens, as ``release.markers`` reads them from its file. None where
    there is no file here: then whatever has their shape is taken apart in callers' texts."""
    refusal: tuple[str, ...] | None = None
    """Phrases by which the application refuses. None: its refusals are not counted."""

    @cached_property
    def bundle(self) -> str:
        """What the application serves, as the JSON that it reads."""
        release = self.release
        content = {
            "application": release.application,
            "label": release.label,
            "release": release.digest,
            "prompt": release.prompt.model_dump(mode="json"),
            "parameters": release.parameters.model_dump(mode="json"),
            "markers": None if self.markers is None else sorted(self.markers),
            "refusal": self.refusal,
        }
        return canonical(content).decode()

    @cached_property
    def prompt_name(self) -> str:
        """The name of the ConfigMap with the bundle: another content has another name."""
        return f"prompt-{sha256(self.bundle.encode())[:SHORT]}"

    @cached_property
    def server_name(self) -> str:
        """The name of the model server: equal for releases that can share one.

        One that a release asks for alone holds the slot, so that nobody else comes to it.
        """
        key = self.release.engine_key[:SHORT]
        dedicated = self.release.engine.isolation == "dedicated"
        return f"model-{self.name}-{key}" if dedicated else f"model-{key}"

    @property
    def version(self) -> str:
        """The release's short digest, as ``app.kubernetes.io/version``."""
        return self.release.label.rpartition("@")[2]

    @property
    def annotations(self) -> dict[str, str]:
        """What says, to a reader of the cluster alone, which release is served and by what."""
        return {
            own("application"): self.release.application,
            own("label"): self.release.label,
            own("release"): self.release.digest,
            own("server"): self.server_name,
        }


@dataclass(frozen=True)
class Rendering:
    """``weights`` are per cent of requests by slot; ``mirror`` per cent that a slot gets a copy of.

    ``drain_seconds``: how long a pod that goes may finish what it has begun. ``known``: the slots
    that the route leads to, where others than the rendered ones are there.
    """

    application: str
    environment: str
    settings: Kubernetes
    slots: tuple[Slot, ...]
    weights: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)
    drain_seconds: int = 30
    known: tuple[str, ...] = ()

    @property
    def routed(self) -> tuple[str, ...]:
        """The names of the slots that the route knows."""
        return self.known or tuple(slot.name for slot in self.slots)

    @property
    def full_name(self) -> str:
        """Application and environment by a name that no other two have: neither has a dot in its
        own, and a dash joins ``a-b`` in ``c`` as it joins ``a`` in ``b-c``. At most 63 characters,
        as the value of a label.
        """
        return f"{self.application}.{self.environment}"

    @property
    def controlled_as(self) -> str:
        """The name of the object by which a controller follows it; without one as if it had one."""
        git = self.settings.git
        return (git.name if git else None) or self.full_name

    @property
    def namespace(self) -> str:
        """The namespace that everything is in."""
        return self.settings.namespace_of(self.application, self.environment)

    @property
    def folder(self) -> str:
        """Where in a Git repository its objects are."""
        set_apart = self.settings.git.folder if self.settings.git else None
        return set_apart or f"{self.application}/{self.environment}"

    @property
    def callers_name(self) -> str:
        """The name of the ConfigMap with the digests of testers' keys, which is never rendered."""
        return f"{self.application}-callers"

    @cached_property
    def labels(self) -> dict[str, str]:
        """What every object of it carries that a folder of Git may have. By the instance Argo CD
        tells what is its own, where it tracks by labels.
        """
        return {
            "app.kubernetes.io/name": self.application,
            INSTANCE: self.controlled_as,
            "app.kubernetes.io/managed-by": "greenlight",
            own("environment"): self.environment,
        }

    @property
    def ours(self) -> dict[str, str]:
        """What tells objects and pods of the application from all others: somebody else's, such as
        those of a chart, may have its name as a label.
        """
        kept = ("app.kubernetes.io/name", "app.kubernetes.io/managed-by")
        return {key: self.labels[key] for key in kept}

    @cached_property
    def labels_apart(self) -> dict[str, str]:
        """What objects carry that are in no folder: without the instance, since Argo CD takes away
        what has its mark, and neither a file nor an owner.
        """
        return {key: one for key, one in self.labels.items() if key != INSTANCE}

    def of_slot(self, slot: str) -> str:
        """The name of what serves ``slot``."""
        return f"{self.application}-{slot}"

    def slot(self, name: str) -> Slot:
        """The slot called ``name``; KeyError where there is none."""
        return {one.name: one for one in self.slots}[name]


def labelled(
    r: Rendering, name: str, component: Mapping[str, str], apart: bool = False
) -> dict[str, Any]:
    """The values by which templates name, label and find the pods of ``component``. ``apart``: it
    is in no folder of Git.
    """
    labels = {**(r.labels_apart if apart else r.labels), **component}
    selector = {"app.kubernetes.io/name": r.application, **component}
    return {"name": name, "labels": labels, "selector": selector, "pod_labels": labels}
