"""``greenlight report``: where the page goes, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.__main__ import main
from release.ledger import open_ledger
from release.state import StateFolder
from tests.pipelines.rollouts import first

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def told(app: Path) -> Path:
    """An application with a signed ledger of one rollout in production."""
    ledger = open_ledger(StateFolder(app), "tiny-bot")
    for _, kind, environment, data in first():
        ledger.append(kind, environment, data)
    return app


def test_it_is_written_into_the_work_folder_and_its_path_is_printed(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All environments are in it, the last one first."""
    assert main(["report", str(told)]) == 0

    file = told / ".greenlight/work/report.html"
    assert capsys.readouterr().out == f"{file}\n"
    text = file.read_text()
    assert 0 < text.index('id="production"') < text.index('id="staging"')


def test_with_json_the_path_is_one_document(
    told: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "else/where.html"

    assert main(["report", str(told), "--out", str(file), "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == {"file": str(file)}
    assert file.is_file()
    assert not (told / ".greenlight/work").exists()


@pytest.mark.parametrize("name", ["llm.yaml", "."])
def test_it_takes_the_place_of_nothing_but_a_page(told: Path, name: str) -> None:
    """A slip of the keyboard must not cost somebody their llm.yaml."""
    before = (told / "llm.yaml").read_bytes()

    assert main(["report", str(told), "--out", str(told / name)]) == 2
    assert (told / "llm.yaml").read_bytes() == before


def test_one_environment_has_a_page_of_its_own(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(told), "--env", "production"]) == 0

    text = Path(capsys.readouterr().out.strip()).read_text()
    assert 'id="production"' in text
    assert 'id="staging"' not in text


def test_a_ledger_that_was_changed_is_not_told(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused by name, and no page is written."""
    entry = told / ".greenlight/ledger/tiny-bot/000002.json"
    entry.write_bytes(entry.read_bytes()[:-1])

    assert main(["report", str(told)]) == 3
    assert "000002.json" in capsys.readouterr().err
    assert not (told / ".greenlight/work").exists()


def test_a_place_where_it_cannot_be_written_is_bad_input(
    told: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(told), "--out", str(told / "llm.yaml/x.html")]) == 2
    assert "Name another file with --out." in capsys.readouterr().err
