"""Whether the engine has to run, and what is known of it before it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.engine import Engine
from pipelines.facts import EnvironmentFacts
from pipelines.provisioned import read_provisioned
from pipelines.provisioning import fingerprint, provision, provision_reason
from pipelines.workspace import Workspace, open_running, open_workspace
from tests.tiny import edit

FENCES = {"staging": 1, "production": 1}

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def provisioned(app: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An application whose engine has run well."""

    def up(engine: Engine, *_: Any) -> dict[str, Any]:
        checkpoint_of(engine).parent.mkdir(parents=True)
        checkpoint_of(engine).write_text("{}")
        return {}

    monkeypatch.setattr(Engine, "up", up)
    workspace = open_workspace(app)
    provision(workspace, FENCES, print)
    return workspace


def checkpoint_of(engine: Engine) -> Path:
    """The engine's state."""
    return engine.state.pulumi / "backend/.pulumi/stacks/greenlight/local.json"


def test_a_good_run_leaves_nothing_to_do(provisioned: Workspace) -> None:
    here = EnvironmentFacts("staging", provisioned=True)

    assert provision_reason(provisioned, [here]) == ""


def test_an_engine_whose_state_is_gone_has_to_run(provisioned: Workspace) -> None:
    """What it does not know of it cannot remove; run again, it adopts what serves."""
    checkpoint_of(Engine(provisioned.state, provisioned.root)).unlink()

    assert provision_reason(provisioned, []) == "the engine's state is gone"


@pytest.mark.parametrize("again", [False, True], ids=["the first run", "a later run"])
def test_a_run_that_is_cut_off_is_known_with_its_spec(
    request: pytest.FixtureRequest, app: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """Gateways may run by then: they are reached, whatever becomes of llm.yaml."""
    if again:
        request.getfixturevalue("provisioned")

    def up(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "up", up)
    workspace = open_workspace(app)
    with pytest.raises(KeyboardInterrupt):
        provision(workspace, FENCES, print)
    edit(app / "llm.yaml", "license:", "licence:")

    last = read_provisioned(workspace.state)
    assert last is not None
    assert last.fingerprint != fingerprint(workspace)
    assert open_running(app).environments == ("staging", "production")
    assert provision_reason(workspace, []) != ""
