"""What ``destroy`` says is gone: also what runs elsewhere, of which this machine has no folder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipelines.destroy import environments_away
from pipelines.workspace import Workspace
from release.ledger import Mark
from release.state import StateFolder


@pytest.mark.parametrize(("seen", "found"), [(Mark(3, "a" * 64), ("production",)), (None, ())])
def test_an_environment_elsewhere_is_there_when_its_target_remembers_the_ledger(
    tmp_path: Path, seen: Mark | None, found: tuple[str, ...]
) -> None:
    """Those on this machine have a folder."""
    target = SimpleNamespace(witness=SimpleNamespace(seen=lambda: seen))
    given: Any = SimpleNamespace(
        environments=("staging", "production"),
        on=lambda _: ("staging",),
        targets={"production": target},
        state=StateFolder(tmp_path),
    )

    assert environments_away(cast(Workspace, given)) == found
