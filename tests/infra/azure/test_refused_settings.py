"""Settings that the reader must refuse: exit 2, with file, line, path and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from infra.settings import read_azure
from release.errors import BAD_INPUT, BadInput, Problem
from tests.infra.azure import mistakes, options


def refusal(folder: Path, settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with ``settings``, as a stack's file has them; its lines are in the answer."""
    file = folder / "Pulumi.staging.yaml"
    config = {"greenlight:target": "azure", "greenlight:azure": settings}
    file.write_text(yaml.safe_dump({"config": config}, sort_keys=False))
    with pytest.raises(BadInput) as refused:
        read_azure(settings, file)
    assert refused.value.exit_code == BAD_INPUT
    lines = file.read_text().splitlines()
    for one in refused.value.problems:
        assert one.file == str(file)
        assert one.line is not None
        assert 0 < one.line <= len(lines)
        assert one.expected
        assert one.remedy
    return refused.value.problems


@given(mistakes.mistaken())
def test_a_mistake_is_refused_where_it_was_made(
    tmp_path_factory: pytest.TempPathFactory, mistake: mistakes.Mistake
) -> None:
    """A key that is not known, or a value of another type, anywhere in any settings: by its path,
    and nothing else is blamed.
    """
    found = refusal(tmp_path_factory.mktemp("stack"), mistake.settings)

    assert {one.path for one in found if not one.path.startswith(mistake.path)} == set()


@pytest.mark.parametrize(
    "mistake", list(mistakes.without_what_is_needed()), ids=lambda mistake: mistake.path
)
def test_what_is_missing_is_named(tmp_path: Path, mistake: mistakes.Mistake) -> None:
    """There is no default for what nobody else can decide."""
    (found,) = refusal(tmp_path, mistake.settings)

    assert (found.path, found.found) == (mistake.path, "nothing")
    assert found.remedy == f"Add {mistake.path.rpartition('.')[2]}."


@pytest.mark.parametrize("change", mistakes.TOGETHER.values(), ids=list(mistakes.TOGETHER))
def test_what_does_not_go_together_is_refused(tmp_path: Path, change: Mapping[str, Any]) -> None:
    """Each setting by itself is right."""
    assert len(refusal(tmp_path, {**options.BASE, **change})) == 1
