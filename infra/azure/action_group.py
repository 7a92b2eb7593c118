"""Who is told: one action group, which every alert and the budget use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import monitor

from infra.azure.context import Context


@dataclass(frozen=True)
class ActionGroupArgs:
    """``emails``: addresses."""

    emails: Sequence[str]


class ActionGroup(pulumi.ComponentResource):
    """Sends mail to each address, in Azure's common form of alerts."""

    group_id: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        context: Context,
        args: ActionGroupArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:ActionGroup", name, None, opts)
        group = monitor.ActionGroup(
            name,
            action_group_name=context.names.of("ag"),
            group_short_name=context.settings.workload,
            resource_group_name=context.group,
            location="global",
            tags=context.tags,
            enabled=True,
            email_receivers=[_receiver(email) for email in args.emails],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.group_id = group.id
        self.register_outputs({"groupId": self.group_id})


def _receiver(email: str) -> monitor.MicrosoftCommonEmailReceiverArgs:
    return monitor.MicrosoftCommonEmailReceiverArgs(
        name=email, email_address=email, use_common_alert_schema=True
    )
