"""What every part of the kubernetes target stands on: one environment, seen and routed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from manifests.model import Rendering, Slot
from manifests.render import Rendered, render_route
from pipelines.gitops.controllers import FIELD_MANAGERS
from pipelines.targets.base import PlatformError
from pipelines.targets.kubernetes.api import MANAGER, Api
from pipelines.targets.kubernetes.facts import (
    APPLICATION,
    ENVIRONMENT,
    MANAGED,
    SLOT,
    Live,
    address_of,
    labels,
    ready_since,
)
from pipelines.targets.kubernetes.fence import Anchor
from pipelines.targets.kubernetes.leftovers import displaced
from pipelines.targets.kubernetes.refusals import DeniedError, OwnedError
from pipelines.targets.kubernetes.routing import ALL, Routing, read_route, why_not_accepted
from release.kubernetes_section import Kubernetes

POLL_SECONDS = 0.25
ACCEPTED_SECONDS = 30.0
"""For the gateway to follow a route: those that are well take a second."""

HELD_SECONDS = 2.0
"""For a controller that was applying the route to have done it, and to be seen."""

Object = Mapping[str, Any]


@dataclass(frozen=True)
class Ground:
    """One environment in a namespace of a cluster. ``drain_seconds``: what a pod that goes gets."""

    application: str
    environment: str
    settings: Kubernetes
    drain_seconds: int = 30
    api: Api = field(default_factory=Api)

    @property
    def namespace(self) -> str:
        """Where everything of it is."""
        return self.rendering().namespace

    @property
    def ours(self) -> dict[str, str]:
        """The labels of all that is made here."""
        return {APPLICATION: self.application, **MANAGED}

    @cached_property
    def anchor(self) -> Anchor:
        """The Lease that fences."""
        return Anchor(self.api, self.namespace, self.application, self.environment)

    @property
    def manager(self) -> str:
        """Who applies what is rendered, and so owns the fields: by Git that is its controller."""
        git = self.settings.git
        return FIELD_MANAGERS[git.controller] if git else MANAGER

    def rendering(self, *slots: Slot) -> Rendering:
        """``slots`` in this environment."""
        return Rendering(
            self.application, self.environment, self.settings, slots,
            drain_seconds=self.drain_seconds,
        )  # fmt: skip

    def of_slot(self, slot: str) -> str:
        """The name of what serves ``slot``."""
        return self.rendering().of_slot(slot)

    def live(self) -> Live:
        """What is there now, and is of this environment."""
        return Live(
            application=self.application,
            gateway_name=self.settings.gateway.name,
            route=self.route_now(),
            gateway=self._gateway(),
            deployments=self._list("Deployment"),
            pods=self._list("Pod"),
        )

    def maps(self) -> list[dict[str, Any]]:
        """The ConfigMaps of ours."""
        return self._list("ConfigMap")

    def _list(self, kind: str) -> list[dict[str, Any]]:
        found = self.api.list(kind, self.namespace, self.ours)
        return [one for one in found if self._is_ours(one)]

    def _is_ours(self, one: Object) -> bool:
        """Another environment of the application may have come to the same namespace before."""
        return labels(one).get(ENVIRONMENT, self.environment) == self.environment

    def displaced(self, wanted: Iterable[Rendered], slot: str) -> list[dict[str, Any]]:
        """The autoscaler that ``wanted`` for ``slot`` has no more; never somebody else's."""
        names = displaced(wanted, self.of_slot(slot))
        found = (self.api.get(kind, name, self.namespace) for kind, name in names)
        return [one for one in found if one and self.ours.items() <= labels(one).items()]

    def _gateway(self) -> Object | None:
        """Empty for who may not read it, as a watcher may not."""
        gateway = self.settings.gateway
        try:
            return self.api.get("Gateway", gateway.name, gateway.namespace)
        except DeniedError:
            return {}

    def address(self, live: Live) -> str:
        """Where callers ask; empty where that cannot be known."""
        return address_of(live.gateway, self.settings.gateway.hostnames)

    def route_now(self) -> dict[str, Any] | None:
        """The HTTPRoute, None before it was made."""
        found = self.api.get("HTTPRoute", self.application, self.namespace)
        return found if found and self._is_ours(found) else None

    def routing(self) -> Routing:
        """What the route says now; nothing where there is none."""
        route = self.route_now()
        return read_route(route, self.application) if route else Routing()

    def route(self, routing: Routing) -> Rendered:
        """The HTTPRoute that says ``routing``."""
        known, weights, mirror = routing.slots, routing.weights, routing.mirror
        return render_route(replace(self.rendering(), known=known, weights=weights, mirror=mirror))

    def let_in(self, slot: str, routing: Routing, fence: int) -> None:
        """The route, which says ``routing``, knows ``slot``: by its pin, and with no weight."""
        if slot not in routing.slots:
            self._agree(routing, fence)
            slots = tuple(sorted({*routing.slots, slot}))
            self.write(Routing(slots, routing.weights, routing.mirror), fence)

    def let_out(self, slot: str, routing: Routing, fence: int) -> None:
        """The route, which says ``routing``, forgets ``slot``: nothing new comes to it."""
        if slot in routing.slots:
            self._agree(routing, fence)
            slots = tuple(one for one in routing.slots if one != slot)
            mirror = {name: one for name, one in routing.mirror.items() if name != slot}
            self.write(Routing(slots, routing.weights, mirror), fence)

    def _agree(self, routing: Routing, fence: int) -> None:
        """Say what the route says, so that who wrote just that by hand stops no change of slots
        alone. Where nobody has all, that is no state to settle on: they may mean it.
        """
        if ALL in routing.weights.values():
            self.write(routing, fence)

    def write(self, routing: Routing, fence: int) -> None:
        """The route says ``routing``, whole. A controller that made it from Git gives way: what it
        says once it is there belongs to the rollout. So does who wrote by hand what we say as well.
        """
        git = self.settings.git
        controller = {FIELD_MANAGERS[git.controller]} if git else set()
        try:
            wanted = self.route(routing).object
            self.anchor.apply(wanted, fence, lambda found: controller | of_one_mind(found))
        except OwnedError as error:
            weights = ", ".join(f"{slot} {one}" for slot, one in routing.weights.items())
            how = (
                f"Who wrote it by hand can write the weights that are wanted ({weights or 'none'})"
            )
            raise OwnedError(f"{error}. {how}, and run again", error.owners) from None

    def hold(self, routing: Routing, fence: int) -> None:
        """Say ``routing`` again where a controller that was just at work has put back what it had
        read before: Argo CD lays the weights that it knows over the route whenever it applies it.
        """
        wanted = {slot: one for slot, one in routing.weights.items() if one}
        since, give_up = time.monotonic(), time.monotonic() + ACCEPTED_SECONDS
        while time.monotonic() < since + HELD_SECONDS:
            if dict(self.routing().weights) != wanted:
                self.write(routing, fence)
                self.await_accepted()
                since = time.monotonic()
            if since > give_up:
                raise PlatformError(
                    f"{self.environment}: something keeps putting back other weights"
                )
            time.sleep(POLL_SECONDS)

    def await_accepted(self) -> None:
        """PlatformError when the gateway does not follow what the route says now."""
        give_up = time.monotonic() + ACCEPTED_SECONDS
        while reason := self._why_not_accepted():
            if time.monotonic() > give_up:
                raise PlatformError(
                    f"{self.environment}: the route {self.application} is written, but {reason} "
                    f"(waited {ACCEPTED_SECONDS:g} s)"
                )
            time.sleep(POLL_SECONDS)

    def _why_not_accepted(self) -> str:
        route = self.route_now()
        return why_not_accepted(route, self.settings.gateway.name) if route else "it is not there"


def of_one_mind(route: Object) -> set[str]:
    """Managers who wrote the route's rules as we have: who writes others takes them from us.

    By an update, as ``kubectl edit`` does. Who applies them means to keep them.
    """
    owners = [
        (one["manager"], one["operation"])
        for one in route["metadata"].get("managedFields") or ()
        if "f:rules" in (one.get("fieldsV1") or {}).get("f:spec", {})
    ]
    is_ours = (MANAGER, "Apply") in owners
    return {manager for manager, operation in owners if is_ours and operation == "Update"}


def ready_pods(live: Live, slot: str) -> list[Object]:
    """The pods of ``slot`` that answer."""
    return [pod for pod in live.pods if labels(pod).get(SLOT) == slot and ready_since(pod)]
