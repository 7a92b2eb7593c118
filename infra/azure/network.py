"""The stack's own network, and the private endpoints of everything in it.

Whether there are any is one switch, ``network.private``: every component calls
``Network.private_endpoint`` for what it made, and this decides. Names resolve through private DNS
zones that are linked to the network, each made when the first endpoint needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
from pulumi_azure_native import network, privatedns

from infra.azure.context import Context
from infra.azure.monitoring import Monitoring
from policies.rules.azure.zones import ZONES

NODES, ENDPOINTS, PRIVATE = "nodes", "endpoints", "private-endpoints"

SUBNETS = (NODES, ENDPOINTS, PRIVATE)

PORTS = ("443", "5671-5672", "9093")
"""What private endpoints are reached on: HTTPS, and Event Hubs' AMQP and Kafka."""


@dataclass(frozen=True)
class NetworkArgs:
    """``address_space`` is a private IPv4 network from /12 to /22."""

    address_space: str


def subnets(space: str) -> dict[str, str]:
    """The address ranges of the subnets: half for nodes, an eighth each for the two others.

    A quarter stays free, because a subnet that is in use cannot grow.
    """
    nodes, rest = IPv4Network(space).subnets(1)
    endpoints, private, *_ = rest.subnets(2)
    return {NODES: str(nodes), ENDPOINTS: str(endpoints), PRIVATE: str(private)}


class Network(pulumi.ComponentResource):
    """Virtual network, a security group for each subnet, private endpoints and their DNS."""

    def __init__(
        self, name: str, context: Context, monitoring: Monitoring, args: NetworkArgs
    ) -> None:
        super().__init__("greenlight:azure:Network", name)
        self._context = context
        self._zones: dict[str, privatedns.PrivateZone] = {}
        self._groups = {subnet: self._security_group(subnet) for subnet in SUBNETS}
        for subnet, group in self._groups.items():
            monitoring.diagnostics(f"nsg-{subnet}", group.id, self, metrics=False)
        self.network = self._virtual_network(args.address_space)
        self.register_outputs({"id": self.network.id})

    def subnet(self, name: str) -> pulumi.Output[str]:
        """The id of the subnet: NODES, ENDPOINTS or PRIVATE."""
        if name not in SUBNETS:
            raise ValueError(f"expected a subnet among {', '.join(SUBNETS)}, found {name}")
        return pulumi.Output.concat(self.network.id, "/subnets/", self._named("snet", name))

    def private_endpoint(
        self, name: str, target: pulumi.Input[str], group: str, parent: pulumi.Resource
    ) -> network.PrivateEndpoint | None:
        """Where the switch is on, the way to ``target``, a resource's id, with its name in DNS.

        ``group`` is the group id, a key of ZONES; ValueError for another.
        """
        if group not in ZONES:
            raise ValueError(f"expected a group among {', '.join(ZONES)}, found {group}")
        if not self._context.private:
            return None
        endpoint = self._endpoint(name, target, group, parent)
        self._zone_group(name, endpoint, ZONES[group])
        return endpoint

    def _named(self, kind: str, part: str = "") -> str:
        return self._context.names.of(kind, part)

    def _virtual_network(self, space: str) -> network.VirtualNetwork:
        context = self._context
        return network.VirtualNetwork(
            "network",
            virtual_network_name=self._named("vnet"),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            address_space=network.AddressSpaceArgs(address_prefixes=[space]),
            subnets=[self._subnet(name, prefix) for name, prefix in subnets(space).items()],
            opts=pulumi.ResourceOptions(parent=self, protect=context.keeps),
        )

    def _subnet(self, name: str, prefix: str) -> network.SubnetArgs:
        return network.SubnetArgs(
            name=self._named("snet", name),
            address_prefix=prefix,
            default_outbound_access=False,
            network_security_group=network.NetworkSecurityGroupArgs(id=self._groups[name].id),
            # Without it a security group does not hold for private endpoints.
            private_endpoint_network_policies=(
                "NetworkSecurityGroupEnabled" if name == PRIVATE else "Disabled"
            ),
        )

    def _security_group(self, subnet: str) -> network.NetworkSecurityGroup:
        context = self._context
        return network.NetworkSecurityGroup(
            f"nsg-{subnet}",
            network_security_group_name=self._named("nsg", subnet),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            security_rules=_rules(subnet),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _endpoint(
        self, name: str, target: pulumi.Input[str], group: str, parent: pulumi.Resource
    ) -> network.PrivateEndpoint:
        context = self._context
        link = network.PrivateLinkServiceConnectionArgs(
            name=name, private_link_service_id=target, group_ids=[group]
        )
        return network.PrivateEndpoint(
            f"{name}-endpoint",
            private_endpoint_name=self._named("pep", name),
            resource_group_name=context.group,
            location=context.location,
            tags=context.tags,
            subnet=network.SubnetArgs(id=self.subnet(PRIVATE)),
            private_link_service_connections=[link],
            opts=pulumi.ResourceOptions(parent=parent),
        )

    def _zone_group(
        self, name: str, endpoint: network.PrivateEndpoint, zones: Sequence[str]
    ) -> None:
        names = [zone.format(region=self._context.location) for zone in zones]
        config = network.PrivateDnsZoneConfigArgs
        network.PrivateDnsZoneGroup(
            f"{name}-dns",
            private_dns_zone_group_name="default",
            private_endpoint_name=endpoint.name,
            resource_group_name=self._context.group,
            private_dns_zone_configs=[
                config(name=zone.replace(".", "-"), private_dns_zone_id=self._zone(zone).id)
                for zone in names
            ],
            opts=pulumi.ResourceOptions(parent=endpoint),
        )

    def _zone(self, name: str) -> privatedns.PrivateZone:
        if name not in self._zones:
            self._zones[name] = self._linked_zone(name)
        return self._zones[name]

    def _linked_zone(self, name: str) -> privatedns.PrivateZone:
        context = self._context
        zone = privatedns.PrivateZone(
            name,
            private_zone_name=name,
            resource_group_name=context.group,
            location="global",
            tags=context.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        privatedns.VirtualNetworkLink(
            f"{name}-link",
            virtual_network_link_name=self._named("vnet"),
            private_zone_name=zone.name,
            resource_group_name=context.group,
            location="global",
            tags=context.tags,
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=self.network.id),
            opts=pulumi.ResourceOptions(parent=zone),
        )
        return zone


def _inbound(
    name: str, priority: int, source: str, ports: Sequence[str] = ("*",), allow: bool = True
) -> network.SecurityRuleArgs:
    single = ports[0] if len(ports) == 1 else None
    return network.SecurityRuleArgs(
        name=name,
        priority=priority,
        direction="Inbound",
        access="Allow" if allow else "Deny",
        protocol="Tcp" if allow and "*" not in ports else "*",
        source_address_prefix=source,
        source_port_range="*",
        destination_address_prefix="*",
        destination_port_range=single,
        destination_port_ranges=None if single else list(ports),
    )


def _rules(subnet: str) -> list[network.SecurityRuleArgs]:
    """Who gets into a subnet: nobody from outside the network."""
    ports = {NODES: ("*",), ENDPOINTS: ("443",), PRIVATE: PORTS}[subnet]
    balanced = [] if subnet == PRIVATE else [_inbound("allow-balancer", 110, "AzureLoadBalancer")]
    return [
        _inbound("allow-network", 100, "VirtualNetwork", ports),
        *balanced,
        _inbound("deny-others", 4096, "*", allow=False),
    ]
