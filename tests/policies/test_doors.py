"""The doors cost nothing until somebody goes through them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("checkov", "pulumi", "pulumi_policy", "pulumi_azure_native", "grpc")


@pytest.mark.parametrize("door", ["gate", "suppressions", "checks.azure", "pack.pack"])
def test_a_door_imports_what_it_needs_when_it_is_used(door: str) -> None:
    """checkov takes seconds, Pulumi one; a command's --help must not pay for them."""
    code = f"import sys, policies.{door}; print([m for m in {HEAVY!r} if m in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
