"""A budget for the resource group: somebody is told before the money is spent, not after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import consumption

from infra.azure.context import Context
from infra.azure.settings import Budget as Settings


@dataclass(frozen=True)
class BudgetArgs:
    """``emails``: who is told; ``action_group``: its id; ``scope``: the resource group's id."""

    settings: Settings
    emails: Sequence[str]
    action_group: pulumi.Input[str]
    scope: pulumi.Input[str]


class Budget(pulumi.ComponentResource):
    """What the stack may cost in a month, and who is told on the way there."""

    def __init__(
        self,
        name: str,
        context: Context,
        args: BudgetArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("greenlight:azure:Budget", name, None, opts)
        consumption.Budget(
            name,
            budget_name=context.names.of("budget"),
            scope=args.scope,
            category=consumption.CategoryType.COST,
            amount=args.settings.amount,
            time_grain=consumption.TimeGrainType.MONTHLY,
            time_period=consumption.BudgetTimePeriodArgs(
                start_date=f"{args.settings.start}T00:00:00Z"
            ),
            notifications=_notifications(args),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _notifications(args: BudgetArgs) -> dict[str, consumption.NotificationArgs]:
    """One for each share that was spent, and one for the month that will not fit."""
    spent = {
        f"spent{round(share * 100)}": _notification(args, share, "Actual")
        for share in args.settings.thresholds
    }
    return spent | {"forecast100": _notification(args, 1.0, "Forecasted")}


def _notification(args: BudgetArgs, share: float, kind: str) -> consumption.NotificationArgs:
    return consumption.NotificationArgs(
        enabled=True,
        operator=consumption.OperatorType.GREATER_THAN_OR_EQUAL_TO,
        threshold=round(share * 100),
        threshold_type=kind,
        contact_emails=list(args.emails),
        contact_groups=[args.action_group],
    )
