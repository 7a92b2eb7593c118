"""docs/rights.yaml gives what is asked for, and nothing that decides about all the rest."""

from __future__ import annotations

import pytest
import yaml

from docs import rights
from docs.rights import FILE, page, rules
from manifests.watcher import rules as watchers
from pipelines.targets.kubernetes.kinds import KINDS, Kind, kind_of, resource
from release.errors import GreenlightError
from tests.manifests.variants import VARIANTS, rendered


def granted(*roles: str) -> set[tuple[str, str, str]]:
    """Group, resource and verb."""
    return {
        (group, resource, verb)
        for role in roles for one in rules(role)
        for group in one["apiGroups"] for resource in one["resources"] for verb in one["verbs"]
    }  # fmt: skip


def test_the_file_is_current() -> None:
    """``python -m docs.rights`` writes it anew."""
    assert page() == FILE.read_text()


def test_a_kind_that_is_new_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, instead of left without rights."""
    monkeypatch.setattr(rights, "KINDS", {**KINDS, "Novelty": Kind("v1", "novelties")})

    with pytest.raises(GreenlightError, match="no rights for Novelty"):
        page()


@pytest.mark.parametrize("variant", VARIANTS)
def test_whatever_is_rendered_may_be_made_and_read(variant: str) -> None:
    """An apply takes both patch and create."""
    of = granted("greenlight-cluster", "greenlight-environment")
    kinds = {
        kind_of(resource(one.object))
        for one in rendered(variant) if one.kind not in rights.FOLLOWED
    }  # fmt: skip

    for kind in kinds:
        group = kind.version.rpartition("/")[0]
        assert {(group, kind.plural, verb) for verb in ("get", "create", "patch")} <= of, kind


@pytest.mark.parametrize("variant", VARIANTS)
def test_whoever_starts_a_watcher_has_all_rights_that_it_gets(variant: str) -> None:
    """The API server lets nobody hand on more, and neither bind nor escalate is asked for."""
    of = granted("greenlight-environment")

    for rule in watchers(VARIANTS[variant]):
        assert {(rule.group, one, verb) for one in rule.resources for verb in rule.verbs} <= of


def test_nothing_is_given_that_would_give_everything() -> None:
    """No wildcard, no Secret to read, nobody to become, no right to hand on others."""
    of = granted(*rights.ROLES)
    secrets = {verb for group, resource, verb in of if resource == "secrets"}

    assert not {"*"} & {text for one in of for text in one}
    assert not {"bind", "escalate", "impersonate", "deletecollection"} & {one[2] for one in of}
    assert secrets == {"create", "patch", "delete"}


def test_the_file_binds_what_an_environment_needs_and_no_controller() -> None:
    """Who may patch an Application may deploy whatever they like."""
    objects = list(yaml.safe_load_all(FILE.read_text()))
    bound = {one["roleRef"]["name"] for one in objects if one["kind"] == "ClusterRoleBinding"}

    assert {one["metadata"]["name"] for one in objects if one["kind"] == "ClusterRole"} == {
        *rights.ROLES
    }
    assert bound == {*rights.ROLES} - {"greenlight-by-git"}
