"""The Pulumi program: settings → components → a versioned contract of outputs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pulumi

from infra.outputs import export
from infra.settings import (
    ROOT,
    STACKS,
    parse_local,
    parse_target,
    read_azure,
    require_days_ahead,
    require_own_domain,
)
from release.errors import GreenlightError


def main() -> None:
    """Provision what the stack's settings name. What is wrong with them is said, not traced."""
    try:
        _provision(pulumi.Config("greenlight"))
    except GreenlightError as error:
        pulumi.log.error(str(error))
        sys.exit(error.exit_code)


def _provision(config: pulumi.Config) -> None:
    if parse_target(config.require("target")) == "local":
        _provision_local(config)
    else:
        _provision_azure(config)
    if asked := config.get_object("gitops"):
        _provision_gitops(asked)


def _provision_gitops(asked: Mapping[str, Any]) -> None:
    from infra.gitops.component import GitopsFolders
    from infra.gitops.settings import read_gitops

    GitopsFolders(*read_gitops(asked, ROOT))


def _provision_local(config: pulumi.Config) -> None:
    from infra.local.stack import provision

    settings = parse_local(config.require("app"), config.get("with") or "")
    export("local", {"environments": provision(settings)})


def _provision_azure(config: pulumi.Config) -> None:
    from infra.azure.stack import provision

    file = STACKS / f"Pulumi.{pulumi.get_stack()}.yaml"
    written = config.require_object("azure")
    settings = read_azure(written, file)
    if not pulumi.runtime.is_dry_run():
        require_own_domain(settings, written, file)
        require_days_ahead(settings, written, file, datetime.now(UTC).date())
    secrets = {one.secret: config.require_secret(one.secret) for one in settings.connections}
    export("azure", provision(settings, secrets))


if __name__ == "__main__":
    # The process ends with the program. Until then each thousand of Pulumi's futures would have
    # the whole SDK looked at for garbage: a fifth of the time that a preview takes.
    gc.disable()
    main()
