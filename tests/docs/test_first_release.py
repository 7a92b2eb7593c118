"""What docs/first-release.md tells to write is taken by the loader, the renderer, an API server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.rights import ROLES
from manifests.gitops import render_controller
from manifests.model import Rendering
from manifests.render import render_route, render_shell
from pipelines.targets.kubernetes.watching import watcher_objects
from release.spec import Spec, load_spec
from tests.cluster.client import Cluster, as_text

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    """Of docs/."""
    return (ROOT / f"docs/{name}.md").read_text()


PAGE = page("first-release")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
ENVIRONMENTS = ("staging", "production")


def block(key: str) -> str:
    """The one block that begins with ``key``."""
    (found,) = (one for one in BLOCKS if one.startswith(f"{key}:"))
    return str(found)


def loaded(folder: Path, **more: Any) -> Spec:
    """The page's section laid over the example, and ``more`` in each environment."""
    document = yaml.safe_load(block("ledger"))
    for one in document["environments"].values():
        one["kubernetes"] |= more
    change = folder / "change.yaml"
    change.write_text(json.dumps(document))
    return load_spec(ROOT / "examples/support-bot", (change,))


def placed(spec: Spec, environment: str) -> Rendering:
    """``environment`` with nothing in it yet."""
    settings = spec.environments[environment].kubernetes
    assert settings
    return Rendering(spec.name, environment, settings, slots=())


def test_every_block_is_tried() -> None:
    """Here, one by one."""
    assert {one.partition(":")[0] for one in BLOCKS} == {"apiVersion", "ledger", "git"}
    assert len(BLOCKS) == 3


def test_the_section_is_taken_as_it_is_written(tmp_path: Path) -> None:
    """Each environment is in a cluster, under a name of its own, and measured; the record is
    shared.
    """
    change = tmp_path / "change.yaml"
    change.write_text(block("ledger"))
    spec = load_spec(ROOT / "examples/support-bot", (change,))
    there = [spec.environments[one].kubernetes for one in ENVIRONMENTS]

    assert {one.target for one in spec.environments.values()} == {"kubernetes"}
    assert spec.ledger
    assert all(one and one.measured_at for one in there)
    assert len({one.gateway.hostnames for one in there if one}) == len(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_it_describes_can_be_rendered(tmp_path: Path, environment: str) -> None:
    """The environment, and what watches it."""
    spec = loaded(tmp_path)
    r = placed(spec, environment)

    assert {one.kind for one in render_shell(r)} >= {"NetworkPolicy", "ServiceAccount"}
    assert watcher_objects(r, spec)[-1].kind == "Deployment"


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_the_lines_for_git_are_taken(tmp_path: Path, controller: str) -> None:
    """For either of the controllers that they name."""
    git = yaml.safe_load(block("git"))["git"] | {"controller": controller}

    found = render_controller(placed(loaded(tmp_path, git=git), "staging"))
    assert found[-1].kind in ("Application", "Kustomization")


def test_flux_can_be_given_an_account_by_the_patch_that_its_page_has(tmp_path: Path) -> None:
    """For a Flux that is locked down."""
    (found,) = re.findall(r"patch Kustomization `\*`: `(.*?)`", page("gitops"), re.S)
    git = yaml.safe_load(block("git"))["git"] | {"controller": "flux"}
    patch = {"kind": "Kustomization", "name": "*", "patch": yaml.safe_load(found)}

    one = render_controller(placed(loaded(tmp_path, git=git, patches=[patch]), "staging"))[-1]
    assert one.object["spec"]["serviceAccountName"] == "NAME"


def test_a_route_can_be_kept_to_one_listener_by_the_patch_that_its_page_has(
    tmp_path: Path,
) -> None:
    """So that nothing passes over an open one beside it."""
    (found,) = re.findall(r"patch of HTTPRoute `APP`: `(.*?)`", page("kubernetes"), re.S)
    patch = {"kind": "HTTPRoute", "name": "support-bot", "patch": yaml.safe_load(found)}

    one = render_route(placed(loaded(tmp_path, patches=[patch]), "staging"))
    assert [each["sectionName"] for each in one.object["spec"]["parentRefs"]] == ["https"]


def test_accounts_can_be_given_what_nodes_pull_with(tmp_path: Path) -> None:
    """By the patch that the page has in a line."""
    (found,) = re.findall(r"`(\{kind: ServiceAccount.*?\})` in `patches`", PAGE, re.S)
    spec = loaded(tmp_path, patches=[yaml.safe_load(found)])
    r = placed(spec, "staging")
    accounts = [one.object for one in (*render_shell(r), *watcher_objects(r, spec))
                if one.kind == "ServiceAccount"]  # fmt: skip

    assert len(accounts) == 2
    assert all(one["imagePullSecrets"] == [{"name": "registry"}] for one in accounts)


def test_every_role_is_explained() -> None:
    """In the table of the page."""
    assert {*re.findall(r"^\| `(greenlight-\S+)` \|", PAGE, re.M)} == {*ROLES}


@pytest.mark.slow
def test_an_api_server_takes_the_gateway_and_the_rights(cluster: Cluster) -> None:
    """Asked for a dry run: names are not the tests' own."""
    gateway = yaml.safe_load(block("apiVersion"))
    gateway["metadata"]["namespace"] = "default"
    rights = (ROOT / "docs/rights.yaml").read_text()
    how = ("--server-side", "--validate=strict", "--dry-run=server", "--filename=-")

    cluster.must("apply", *how, given=as_text(gateway))
    cluster.must("apply", *how, given=rights)
