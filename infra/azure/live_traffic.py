"""No update of an endpoint's shell in mid-rollout, and no delete of one that has traffic.

Azure takes an endpoint as a whole: an update sends the traffic that the engine last read. Refreshed
first (Pulumi.yaml says so), that is what it was a moment ago, and a rollout moves it every moment.
So an update is refused while traffic is split or mirrored. A delete, also the one of a replacement,
takes every deployment along, so it is refused while any has traffic. Whoever means it says
`pulumi config set greenlight:duringRollout keep`: an update then sends back what was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import pulumi

SETTING, KEEP = "duringRollout", "keep"


class RolloutUnderWayError(Exception):
    """An endpoint's traffic is split or mirrored, so its shell is left alone."""


class LiveTrafficError(Exception):
    """An endpoint answers requests, so it is not deleted."""


def hooks() -> pulumi.ResourceHookBinding:
    """For an online endpoint: refuse what would hurt its traffic, unless the stack says so."""
    update = _let_go if _kept() else refuse_in_mid_rollout
    return pulumi.ResourceHookBinding(before_update=[update], before_delete=[guard()])


@cache
def guard() -> pulumi.ResourceHook:
    """What stands before each delete. The engine knows it by its name, and asks the program for it
    although the endpoint is no longer in there: every stack registers it, whatever it declares."""
    return pulumi.ResourceHook("live-traffic", _let_go if _kept() else refuse_with_traffic)


def refuse_in_mid_rollout(args: pulumi.ResourceHookArgs) -> None:
    """RolloutUnderWayError where more than one deployment has traffic, or one gets a copy of it."""
    shares, copies = _shares(args, "traffic"), _shares(args, "mirrorTraffic")
    if len(shares) > 1 or copies:
        copied = f", a copy to {_said(copies)}" if copies else ""
        raise RolloutUnderWayError(
            f"{args.name}: a rollout is under way ({_said(shares)}{copied}). Wait for its end or "
            f"bring it back (greenlight rollback); `{_command()}` updates the shell all the same "
            "and keeps the traffic as it was read"
        )


def refuse_with_traffic(args: pulumi.ResourceHookArgs) -> None:
    """LiveTrafficError where a deployment of an endpoint that is to be deleted has traffic."""
    shares = _shares(args, "traffic")
    if shares:
        raise LiveTrafficError(
            f"{args.name}: it has live traffic ({_said(shares)}), and a delete or a replacement "
            f"takes its deployments along. Move callers away first; `{_command()}` deletes it all "
            "the same"
        )


def _let_go(_: pulumi.ResourceHookArgs) -> None:
    """The stack says that it is meant."""


def _kept() -> bool:
    return pulumi.Config("greenlight").get(SETTING) == KEEP


def _command() -> str:
    return f"pulumi config set greenlight:{SETTING} {KEEP}"


def _shares(args: pulumi.ResourceHookArgs, name: str) -> dict[str, float]:
    """Per cent by deployment, those with none left out, as Azure last said."""
    outputs: Mapping[str, Any] = args.old_outputs or {}
    properties = outputs.get("properties") or {}
    return {slot: share for slot, share in (properties.get(name) or {}).items() if share}


def _said(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{slot} {share:g} %" for slot, share in sorted(shares.items()))
