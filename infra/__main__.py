"""The Pulumi program: settings → components → a versioned contract of outputs."""

from __future__ import annotations

import sys

import pulumi

from infra.settings import parse_settings
from release.errors import GreenlightError

OUTPUTS_VERSION = 1


def main() -> None:
    """Provision what the stack's settings name. What is wrong with them is said, not traced."""
    try:
        _provision(pulumi.Config("greenlight"))
    except GreenlightError as error:
        pulumi.log.error(str(error))
        sys.exit(error.exit_code)


def _provision(config: pulumi.Config) -> None:
    settings = parse_settings(
        config.require("target"), config.require("app"), config.get("with") or ""
    )
    from infra.local.stack import provision

    pulumi.export("version", OUTPUTS_VERSION)
    pulumi.export("environments", provision(settings))


if __name__ == "__main__":
    main()
