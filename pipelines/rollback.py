"""``rollback``: back to a release that was live, at once, whoever else is at work.

Neither evidence nor a policy nor somebody's lease stands in its way: it takes over with a higher
fence, and the writes of the one before are refused from then on.
"""

from __future__ import annotations

from pipelines.apply import apply
from pipelines.bringing_back import plan_return
from pipelines.gather import gather_for_return
from pipelines.reporting import Reporter
from pipelines.run import open_run
from pipelines.ship import Outcome
from pipelines.workspace import Workspace
from release.errors import GreenlightError

BY_HAND = "brought back by hand"


def rollback(
    workspace: Workspace, environment: str, reporter: Reporter, *, reason: str = BY_HAND,
    dry_run: bool = False,
) -> Outcome:  # fmt: skip
    """Return ``environment`` to the release before, or to the one that a rollout is replacing.

    The release that it leaves is held. GreenlightError when there is nothing to return to.
    """
    environment = workspace.environment(environment)
    facts = gather_for_return(workspace, workspace.entries(), environment)
    plan = plan_return(facts, environment, reason)  # nothing to return to: nothing is written
    if not plan.steps:
        return Outcome(plan)
    if not facts.environments[0].provisioned:
        raise GreenlightError(
            f"{environment} does not run ({facts.environments[0].reason}): there is nothing to "
            "move. `greenlight ship` provisions it and brings back what was live."
        )
    if dry_run:
        return Outcome(plan)
    with open_run(workspace, "rollback", (environment,), reporter, takeover=True) as run:
        facts = gather_for_return(workspace, run.ledger.refresh(), environment)
        plan = plan_return(facts, environment, reason)
        apply(run, plan)
        return Outcome(plan, tuple(run.results))
