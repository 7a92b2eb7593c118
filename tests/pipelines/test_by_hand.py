"""The engine by hand: what only looks goes ahead, what may change something waits its turn."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from pipelines import past
from pipelines.by_hand import by_hand
from pipelines.engine import Engine
from pipelines.provisioned import read_provisioned, write_provisioned
from pipelines.provisioning import UNKNOWN, fingerprint
from pipelines.reporting import Silent
from pipelines.run import open_run
from pipelines.workspace import Workspace, open_workspace
from release.errors import BadInput, Waiting
from release.ledger import history
from release.state import StateFolder
from tests.tiny import edit

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the engine was started with; it does nothing."""
    seen: list[str] = []

    def run(_: Engine, arguments: list[str], takes_settings: bool) -> int:
        seen.extend(arguments)
        return 0

    monkeypatch.setattr(Engine, "by_hand", run)
    return seen


LOOKS = ("preview", "stack ls", "stack output", "stack", "config get x", "whoami", "up --help", "")
CHANGES = (
    "up",
    "destroy",
    "refresh",
    "cancel",
    "-Q destroy --stack local --yes",
    "stack import",
    "state delete urn",
    "import a b c",
    "x",
)


@pytest.mark.parametrize("text", LOOKS)
def test_what_only_looks_waits_for_nobody(app: Path, typed: list[str], text: str) -> None:
    workspace = open_workspace(app)
    with open_run(workspace, "ship", workspace.environments, Silent()):
        assert by_hand(app, text.split()) == 0

    assert typed == text.split()


@pytest.mark.parametrize("text", CHANGES)
def test_what_may_change_something_waits_for_whoever_is_at_work(
    app: Path, typed: list[str], text: str
) -> None:
    """Unknown means: it may. In the middle of a rollout nothing is done to what carries it."""
    workspace = open_workspace(app)
    with (
        open_run(workspace, "ship", workspace.environments, Silent()),
        pytest.raises(Waiting, match="held by"),
    ):
        by_hand(app, text.split())

    assert typed == []


@pytest.mark.parametrize("verb", ["up", "preview"])
def test_a_bad_file_is_said_before_the_engine_starts(
    app: Path, typed: list[str], verb: str
) -> None:
    """Not by a traceback of the program's."""
    edit(app / "llm.yaml", "license:", "licence:")

    with pytest.raises(BadInput, match="licence"):
        by_hand(app, [verb])

    assert typed == []
    assert not StateFolder(app).root.exists()


@pytest.mark.parametrize("text", ["config set a b", "config rm a", "--stack local config set a b"])
def test_settings_that_would_be_lost_are_refused(app: Path, typed: list[str], text: str) -> None:
    with pytest.raises(BadInput, match=r"Edit infra/stacks/Pulumi\.local\.yaml"):
        by_hand(app, text.split())

    assert typed == []


RECORDED = "f" * 64


@pytest.fixture
def recorded(app: Path) -> Workspace:
    """An application that was provisioned, and has a folder of one environment."""
    workspace = open_workspace(app)
    write_provisioned(workspace.state, RECORDED, workspace.spec)
    (workspace.state.environment("staging") / "log").mkdir(parents=True)
    return workspace


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("preview", RECORDED),
        ("stack output", RECORDED),
        ("up --yes", "now"),
        ("update", "now"),
        ("up --target urn", UNKNOWN),
        ("up -c a=b", UNKNOWN),
        ("up --refresh-only", UNKNOWN),
        ("refresh --yes", UNKNOWN),
        ("state delete urn", UNKNOWN),
        ("destroy --target urn", UNKNOWN),
    ],
)
@pytest.mark.usefixtures("typed")
def test_what_was_provisioned_is_known_after_a_plain_up_alone(
    recorded: Workspace, text: str, known: str
) -> None:
    """After anything else `ship` runs the engine again; the spec is kept, whatever happens."""
    assert by_hand(recorded.sources.app, text.split()) == 0

    last = read_provisioned(recorded.state)
    assert last is not None
    assert last.spec == recorded.spec
    assert last.fingerprint == (fingerprint(recorded) if known == "now" else known)


@pytest.mark.parametrize("end", [1, KeyboardInterrupt()])
def test_an_up_that_fails_or_is_cut_off_leaves_the_spec_alone(
    app: Path, monkeypatch: pytest.MonkeyPatch, end: int | BaseException
) -> None:
    def run(_: Engine, arguments: list[str], takes_settings: bool) -> int:
        if isinstance(end, BaseException):
            raise end
        return end

    monkeypatch.setattr(Engine, "by_hand", run)
    with contextlib.suppress(KeyboardInterrupt):
        by_hand(app, ["up"])

    last = read_provisioned(StateFolder(app))
    assert last is not None
    assert last.fingerprint == UNKNOWN


@pytest.mark.usefixtures("typed")
def test_a_destroy_whose_engine_knows_of_nothing_removes_what_is_there(recorded: Workspace) -> None:
    """Its state was removed, so it finds the stack empty while everything serves."""
    assert by_hand(recorded.sources.app, ["destroy", "--yes"]) == 0

    assert not recorded.state.environments.exists()
    assert [one.kind for one in history(recorded.records())].count(past.DESTROYED) == 1


@pytest.mark.usefixtures("typed")
def test_a_destroy_by_hand_says_nothing_of_what_runs_elsewhere(
    recorded: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine knows of this machine alone: a cluster serves on, and can still go back."""
    monkeypatch.setattr(Workspace, "on", lambda *_: ("staging",))

    assert by_hand(recorded.sources.app, ["destroy", "--yes"]) == 0

    (gone,) = [one for one in history(recorded.records()) if one.kind == past.DESTROYED]
    assert not past.is_destroyed(gone, "production")
    assert past.is_destroyed(gone, "staging")


@pytest.mark.parametrize("text", ["destroy --preview-only", "destroy --target urn --yes"])
@pytest.mark.usefixtures("typed")
def test_what_was_not_to_be_destroyed_is_neither_removed_nor_recorded_as_gone(
    recorded: Workspace, text: str
) -> None:
    assert by_hand(recorded.sources.app, text.split()) == 0

    assert recorded.state.environment("staging").exists()
    assert past.DESTROYED not in [one.kind for one in history(recorded.records())]
