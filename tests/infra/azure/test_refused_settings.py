"""Settings that the reader must refuse: exit 2, with file, line, path and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from infra.azure.settings import namespaces
from infra.settings import LOOK_IT_UP, read_azure, require_settings
from release.documents import parse_document
from release.errors import BAD_INPUT, BadInput, Problem
from release.stack_keys import KEYS, require_known_keys
from tests.infra.azure import mistakes, options


def refusal(folder: Path, settings: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What is wrong with ``settings``, as a stack's file has them; its lines are in the answer."""
    file = folder / "Pulumi.staging.yaml"
    config = {"greenlight:target": "azure", "greenlight:azure": settings}
    written = json.loads(json.dumps({"config": config}))  # each value once: no aliases
    file.write_text(yaml.safe_dump(written, sort_keys=False))
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


@pytest.mark.parametrize(("change", "path"), mistakes.HARMFUL.values(), ids=list(mistakes.HARMFUL))
def test_what_azure_would_refuse_or_what_does_harm_is_refused_here(
    tmp_path: Path, change: Mapping[str, Any], path: str
) -> None:
    """Before anything is made."""
    (found,) = refusal(tmp_path, {**options.BASE, **change})

    assert found.path == path
    assert "greenlight schema" not in found.remedy


@pytest.mark.parametrize("name", ["default", "rag-system", "kube"])
def test_a_name_that_comes_to_no_namespace_of_the_clusters_is_taken(name: str) -> None:
    """As in ``llm.yaml``: what counts is where the application runs."""
    own = {"namespace": "shop"} if name == "kube" else {}
    assert options.stack(applications=[{"name": name, **own}]).applications[0].name == name


@pytest.mark.parametrize(
    ("change", "spaces"),
    [
        ({}, ("a-bot-staging",)),
        ({"endpoint": options.ENDPOINTS["kubernetes"]}, ("a-bot-staging", "a-bot")),
        ({"endpoint": options.ENDPOINTS["kubernetes"], "namespace": "shop"}, ("shop",)),
    ],
)
def test_what_azure_ml_runs_has_a_namespace_of_its_own_unless_one_is_named(
    change: Mapping[str, Any], spaces: tuple[str, ...]
) -> None:
    """Greenlight enters no namespace by its name alone that somebody else has made."""
    given = [{"name": "a-bot", **change}]
    stack = options.stack(environment="staging", cluster=options.CLUSTER, applications=given)
    assert namespaces(stack.applications[0], "staging") == spaces


@pytest.mark.parametrize(
    ("first", "second"),
    [({"namespace": "shop"}, {"namespace": "shop"}), ({"namespace": "shop"}, {}), ({}, {})],
)
def test_applications_share_a_namespace_where_both_name_it(
    first: Mapping[str, Any], second: Mapping[str, Any]
) -> None:
    """It is not closed then. Others are apart, whatever their names begin with."""
    shared = mistakes.sharing({"name": "aaa", **first}, {"name": "aaa-bot", **second})
    assert len(options.stack(**shared).applications) == 2


def test_who_shares_a_namespace_is_told_with_whom_and_what_to_name(tmp_path: Path) -> None:
    """The later of the two is blamed."""
    change, _ = mistakes.HARMFUL["an endpoint in another application's namespace"]
    (found,) = refusal(tmp_path, {**options.BASE, **change})

    assert found.found == '"aaa-staging"'
    assert "that aaa does not come to" in found.expected
    assert "set `namespace` of either" in found.expected


@pytest.mark.parametrize("space", ["support-assistant-production", "7", "x" * 63])
def test_a_namespace_is_named_here_as_it_is_in_llm_yaml(space: str) -> None:
    """Whatever Kubernetes takes: it is none of Azure's names."""
    given = [{"name": "a-bot", "namespace": space}]
    assert options.stack(applications=given).applications[0].namespace == space


BLAMED = {
    "a region outside the allowed ones": ("location", '"westeurope"', "location: westeurope"),
    "two applications of one name": (
        "applications[1].name",
        '"support-bot"',
        "- name: support-bot",
    ),
    "an endpoint in a pool that is not there": (
        "applications[0].endpoint.pool",
        '"a100"',
        "pool: a100",
    ),
    "two pools of one name": ("cluster.gpuPools[1].name", '"a100"', "- name: a100"),
    "a pool of GPUs without any": (
        "cluster.gpuPools[0].size",
        '"Standard_D4ds_v5"',
        "size: Standard_D4ds_v5",
    ),
}


@pytest.mark.parametrize("case", BLAMED)
def test_the_very_key_is_blamed_and_only_its_value_is_shown(tmp_path: Path, case: str) -> None:
    """Where several keys do not go together as well; and what says more is the right page."""
    path, value, line = BLAMED[case]

    (found,) = refusal(tmp_path, {**options.BASE, **mistakes.TOGETHER[case]})

    text = (tmp_path / "Pulumi.staging.yaml").read_text().splitlines()
    assert (found.path, found.found) == (path, value)
    assert found.line is not None
    assert line in text[found.line - 1]
    assert found.remedy == LOOK_IT_UP


STACKS = {
    "a misspelt key": ("greenlight:tagret: azure", "2: config.*Did you mean 'greenlight:target'"),
    "no settings": ("greenlight:target: azure", "1: greenlight:azure: .*found nothing"),
    "text": ("greenlight:azure: x", "2: greenlight:azure: .*found 'x'"),
    "an empty mapping": ("greenlight:azure: {}", "2: environment: .*Add environment"),
}


@pytest.mark.parametrize("case", STACKS)
def test_a_stack_that_cannot_be_planned_is_refused_before_the_engine_starts(
    tmp_path: Path, case: str
) -> None:
    """With file, line and remedy, as everything else."""
    line, said = STACKS[case]
    file = tmp_path / "Pulumi.staging.yaml"
    file.write_text(f"config:\n  {line}\n")

    with pytest.raises(BadInput, match=f"Pulumi.staging.yaml:{said}"):
        require_settings(file, date(2026, 12, 1))


def test_a_key_of_yesterday_is_refused_and_one_of_today_is_not(tmp_path: Path) -> None:
    """Key Vault would not give it out, and every call to the provider would fail."""
    settings = {**options.BASE, "connections": [options.CONNECTION]}
    file = tmp_path / "Pulumi.staging.yaml"
    file.write_text(yaml.safe_dump({"config": {"greenlight:azure": settings}}))

    require_settings(file, date(2027, 6, 30))
    with pytest.raises(BadInput, match=r"connections\[0\]\.expires: expected 2027-07-01 or later"):
        require_settings(file, date(2027, 7, 1))


@pytest.mark.parametrize("key", ["other:tagret: x", "greenlight:myKey: {secure: v1:a}", *KEYS])
def test_a_key_that_is_somebodys_passes(key: str) -> None:
    """Other projects' keys, secrets of connections, and every one of ours."""
    text = key if ": " in key else f"{key}: x"

    require_known_keys(parse_document(f"config: {{{text}}}\n".encode(), "a.yaml"))
