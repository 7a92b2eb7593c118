"""The engine by hand: what only looks goes ahead, what may change something waits its turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.by_hand import by_hand, command_words
from pipelines.engine import Engine, app_of_the_stack
from pipelines.reporting import Silent
from pipelines.run import open_run
from pipelines.workspace import open_workspace
from release.errors import BadInput, Waiting
from release.state import StateFolder
from tests.tiny import edit

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("up", ["up"]),
        ("up --stack local --yes", ["up"]),
        ("--stack local up", ["up"]),
        ("--stack=local up", ["up"]),
        ("--yes up", ["up"]),
        ("-s local stack output --json", ["stack", "output"]),
        ("--color never --non-interactive destroy -y", ["destroy"]),
        ("stack", ["stack"]),
        ("--help", []),
        ("", []),
    ],
)
def test_the_command_is_found_behind_options(typed: str, words: list[str]) -> None:
    """Pulumi takes options before its command as well as after it."""
    assert command_words(typed.split()) == words


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the engine was started with; it does nothing."""
    seen: list[str] = []

    def run(_: Engine, verb: str, arguments: list[str]) -> int:
        seen.extend([verb, *arguments])
        return 0

    monkeypatch.setattr(Engine, "by_hand", run)
    return seen


LOOKS = ("preview", "stack ls", "stack output", "stack", "config get x", "whoami", "up --help", "")
CHANGES = (
    "up",
    "destroy",
    "refresh",
    "cancel",
    "stack rm",
    "state delete urn",
    "import a b c",
    "x",
)


@pytest.mark.parametrize("text", LOOKS)
def test_what_only_looks_waits_for_nobody(app: Path, typed: list[str], text: str) -> None:
    workspace = open_workspace(app)
    with open_run(workspace, "ship", workspace.environments, Silent()):
        assert by_hand(app, text.split()) == 0

    assert typed[1:] == text.split()


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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("config:\n  greenlight:app: [", "Pulumi.local.yaml:"),
        ("", "Pulumi.local.yaml"),
        ("config: a\n", "config: expected a mapping, found 'a'"),
        ("config:\n  greenlight:app: 3\n", "config.greenlight:app: expected the folder"),
        ("config:\n  greenlight:app: nowhere\n", "found 'nowhere'"),
        ("config: {}\n", "config.greenlight:app: expected the folder"),
    ],
)
def test_stack_settings_that_cannot_be_used_are_bad_input(
    tmp_path: Path, text: str, says: str
) -> None:
    """File and line, and no traceback."""
    file = tmp_path / "infra/stacks/Pulumi.local.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(text)

    with pytest.raises(BadInput) as caught:
        app_of_the_stack(tmp_path)

    assert says in str(caught.value)
    assert str(file) in str(caught.value)
