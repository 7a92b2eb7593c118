"""Event Hubs: what applications that work on streams read and write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import eventhub

from infra.azure.context import Context
from infra.azure.settings import Events as Settings


@dataclass(frozen=True)
class EventsArgs:
    """``readers``: names of the applications; each reads every hub at its own pace."""

    settings: Settings
    readers: tuple[str, ...] = ()


class Events(pulumi.ComponentResource):
    """A namespace without keys, and its hubs by name."""

    namespace_id: pulumi.Output[str]
    namespace_name: pulumi.Output[str]
    hubs: Mapping[str, eventhub.EventHub]

    def __init__(
        self,
        name: str,
        context: Context,
        args: EventsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:Events", name, None, opts)
        self._context, self._args = context, args
        self._namespace = self._make_namespace(name)
        self.hubs = {hub: self._hub(hub) for hub in args.settings.hubs}
        for hub in args.settings.hubs:
            for reader in args.readers:
                self._reader(hub, reader)
        self.namespace_id, self.namespace_name = self._namespace.id, self._namespace.name
        self.register_outputs({"namespaceId": self.namespace_id, "hubs": list(self.hubs)})

    def _make_namespace(self, name: str) -> eventhub.Namespace:
        context, settings = self._context, self._args.settings
        return eventhub.Namespace(
            name,
            namespace_name=context.names.short("evhns"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            sku=eventhub.SkuArgs(
                name=eventhub.SkuName.STANDARD,
                tier=eventhub.SkuTier.STANDARD,
                capacity=settings.throughput_units,
            ),
            identity=eventhub.IdentityArgs(
                type=eventhub.ManagedServiceIdentityType.SYSTEM_ASSIGNED
            ),
            is_auto_inflate_enabled=True,
            maximum_throughput_units=settings.most_throughput_units,
            disable_local_auth=True,
            minimum_tls_version=eventhub.TlsVersion.TLS_VERSION_1_2,
            public_network_access=context.public_access,
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )

    def _hub(self, hub: str) -> eventhub.EventHub:
        settings = self._args.settings
        return eventhub.EventHub(
            hub,
            event_hub_name=hub,
            namespace_name=self._namespace.name,
            resource_group_name=self._context.group,
            partition_count=settings.partitions,
            retention_description=eventhub.RetentionDescriptionArgs(
                cleanup_policy=eventhub.CleanupPolicyRetentionDescription.DELETE,
                retention_time_in_hours=settings.retention_hours,
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=self._context.keeps),
        )

    def _reader(self, hub: str, reader: str) -> None:
        eventhub.ConsumerGroup(
            f"{hub}-{reader}",
            consumer_group_name=reader,
            event_hub_name=self.hubs[hub].name,
            namespace_name=self._namespace.name,
            resource_group_name=self._context.group,
            opts=pulumi.ResourceOptions(parent=self),
        )
