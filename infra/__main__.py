"""The Pulumi program: settings → components → a versioned contract of outputs."""

from __future__ import annotations

import pulumi

from infra.settings import parse_settings

OUTPUTS_VERSION = 1


def main() -> None:
    """Provision every environment of the application that the stack's settings name."""
    config = pulumi.Config("greenlight")
    settings = parse_settings(
        config.require("target"), config.require("app"), config.get("with") or ""
    )
    from infra.local.stack import provision

    pulumi.export("version", OUTPUTS_VERSION)
    pulumi.export("environments", provision(settings))


if __name__ == "__main__":
    main()
