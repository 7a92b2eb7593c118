"""No update of an endpoint's shell in mid-rollout.

Azure takes an endpoint as a whole: an update sends the traffic that the engine last read. Refreshed
first (Pulumi.yaml says so), that is what it was a moment ago, and a rollout moves it every moment.
So an update is refused while traffic is split. Whoever has to update all the same says
`pulumi config set greenlight:duringRollout keep`: what was read is then sent back.
"""

from __future__ import annotations

import pulumi

SETTING, KEEP = "duringRollout", "keep"


class RolloutUnderWayError(Exception):
    """An endpoint's traffic is split, so its shell is left alone."""


def hooks() -> pulumi.ResourceHookBinding:
    """For an online endpoint: refuse its update in mid-rollout, unless the stack says otherwise."""
    if pulumi.Config("greenlight").get(SETTING) == KEEP:
        return pulumi.ResourceHookBinding()
    return pulumi.ResourceHookBinding(before_update=[refuse_in_mid_rollout])


def refuse_in_mid_rollout(args: pulumi.ResourceHookArgs) -> None:
    """RolloutUnderWayError where more than one deployment has traffic."""
    properties = (args.old_outputs or {}).get("properties") or {}
    traffic = {name: share for name, share in (properties.get("traffic") or {}).items() if share}
    if len(traffic) > 1:
        split = ", ".join(f"{name} {share:g} %" for name, share in sorted(traffic.items()))
        raise RolloutUnderWayError(
            f"{args.name}: a rollout is under way ({split}). Wait for its end or bring it back "
            f"(greenlight rollback); `pulumi config set greenlight:{SETTING} {KEEP}` updates the "
            "shell all the same and keeps the traffic as it was read"
        )
