"""A resource of another provider, which could do anything, within a component, which does none."""

from __future__ import annotations

import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Anything(ResourceProvider):
    """Stands for whatever no rule sees."""

    def create(self, props: dict[str, object]) -> CreateResult:
        """Nothing, for it is only planned."""
        return CreateResult("one", props)


class Unseen(Resource):
    """A resource that the program itself provides."""


around = pulumi.ComponentResource("greenlight:azure:Around", "around")
Unseen(Anything(), "unseen", {}, pulumi.ResourceOptions(parent=around))
