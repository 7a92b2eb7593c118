"""What others say of the manifests: kubeconform by schemas, kubectl by what it would change."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manifests.model import Rendering
from manifests.render import Rendered, render
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.diff import changes
from pipelines.targets.kubernetes.diff_text import unified
from pipelines.targets.kubernetes.drift import drift
from tests.cluster.building import provide_kubeconform
from tests.cluster.client import Cluster, as_text
from tests.cluster.fixtures import found
from tests.manifests.making import release, rendering, settings
from tests.manifests.variants import VARIANTS

NOT_HERE = ("allOf", "anyOf", "not", "oneOf")
"""In what is said more than once of one value, no part lists all of its keys."""

NO_PODS = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"},
           "spec": {"hard": {"pods": "0"}}}  # fmt: skip
"""So that nothing runs, and what was applied stays as it is."""


def strict(schema: Any) -> Any:
    """``schema``, by which a key that is not in it is a mistake, as to a strict API server."""
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: {name: strict(one) for name, one in value.items()} if key == "properties"
        else value if key in NOT_HERE else strict(value)
        for key, value in schema.items()
    }  # fmt: skip
    open_ended = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & schema.keys()
    if "properties" in schema and not open_ended:
        kept["additionalProperties"] = False
    return kept


def write_schemas(cluster: Cluster, folder: Path) -> None:
    """A JSON Schema for every kind that the API server itself describes."""
    for path in json.loads(cluster.must("get", "--raw", "/openapi/v3"))["paths"]:
        if not path.startswith(("api/", "apis/")):
            continue
        described = json.loads(cluster.must("get", "--raw", f"/openapi/v3/{path}"))
        schemas = (described.get("components") or {}).get("schemas") or {}
        all_of_it = {"schemas": {name: strict(one) for name, one in schemas.items()}}
        for name, one in schemas.items():
            for kind in one.get("x-kubernetes-group-version-kind", ())[:1]:
                group = kind["group"] or kind["version"]
                file = folder / f"{group}_{kind['version']}_{kind['kind'].lower()}.json"
                reference = f"#/components/schemas/{name}"
                file.write_text(json.dumps({"$ref": reference, "components": all_of_it}))


class Kubeconform:
    """The program, with schemas that lie in a folder and nowhere else."""

    def __init__(self, program: str, folder: Path) -> None:
        place = (
            f"{folder}/{{{{ .Group }}}}_{{{{ .ResourceAPIVersion }}}}_{{{{ .ResourceKind }}}}.json"
        )
        self._command = [
            program,
            "-strict",
            "-summary",
            "-output=json",
            f"-schema-location={place}",
        ]

    def ask(self, *objects: Mapping[str, Any]) -> dict[str, Any]:
        """Its summary, with what it has against any of them."""
        done = subprocess.run(
            self._command, input=as_text(*objects), capture_output=True, text=True, timeout=60
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture(scope="module")
def kubeconform(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Kubeconform:
    """With the schemas of the cluster's own API server, its custom resources included."""
    program = found(pytestconfig, provide_kubeconform)
    folder = tmp_path_factory.mktemp("schemas")
    write_schemas(cluster, folder)
    return Kubeconform(program, folder)


@pytest.mark.parametrize("name", VARIANTS)
def test_kubeconform_knows_every_field(kubeconform: Kubeconform, name: str) -> None:
    """And its value, of every object."""
    objects = [one.object for one in render(VARIANTS[name])]
    said = kubeconform.ask(*objects)

    assert said["resources"] == []
    assert said["summary"] == {"valid": len(objects), "invalid": 0, "errors": 0, "skipped": 0}


@pytest.mark.parametrize("index", range(len(render(VARIANTS["plain"]))))
def test_kubeconform_would_have_said_so(kubeconform: Kubeconform, index: int) -> None:
    """A field that is not there is found in every kind of object."""
    one = render(VARIANTS["plain"])[index].object
    said = kubeconform.ask({**one, "metadata": {**one["metadata"], "lables": {}}})

    assert said["summary"]["invalid"] == 1


@contextmanager
def placed(cluster: Cluster, one: Rendering) -> Iterator[Rendering]:
    """``one`` in a namespace of its own, applied there; no pod runs."""
    with cluster.namespace() as namespace:
        cluster.must("create", f"--namespace={namespace}", "--filename=-", given=as_text(NO_PODS))
        own = replace(one, settings=one.settings.model_copy(update={"namespace": namespace}))
        how = ("--server-side", "--validate=strict", "--field-manager=greenlight", "--filename=-")
        cluster.must("apply", *how, given=as_text(*(each.object for each in render(own))))
        yield own


def told_by_kubectl(cluster: Cluster, objects: tuple[Rendered, ...]) -> list[str]:
    """The lines of ``kubectl diff`` that differ; its counting of generations is none of ours."""
    how = ("--server-side", "--field-manager=greenlight", "--filename=-")
    said = cluster.ask("diff", *how, given=as_text(*(one.object for one in objects)))
    assert said.code in (0, 1), said.err
    return [
        line for line in said.out.splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---") and "  generation:" not in line
    ]  # fmt: skip


def settled(cluster: Cluster, objects: tuple[Rendered, ...], tries: int = 20) -> list[str]:
    """As ``told_by_kubectl``, asked again while controllers write into what it reads twice."""
    said = told_by_kubectl(cluster, objects)
    return settled(cluster, objects, tries - 1) if said and tries else said


@pytest.mark.parametrize("name", VARIANTS)
def test_what_was_applied_is_neither_different_nor_drifted(cluster: Cluster, name: str) -> None:
    """Nothing that is rendered is taken away by the API server, or said otherwise for long."""
    with placed(cluster, VARIANTS[name]) as one:
        objects = render(one)
        assert settled(cluster, objects) == []
        assert drift([each.object for each in objects], live(cluster, objects)) == ()


def live(cluster: Cluster, objects: tuple[Rendered, ...]) -> dict[tuple[str, str], Any]:
    """What the cluster has of ``objects``, with who owns which field."""
    how = ("--output=json", "--show-managed-fields", "--filename=-")
    answer = cluster.must("get", *how, given=as_text(*(one.object for one in objects)))
    return {(one["kind"], one["metadata"]["name"]): one for one in json.loads(answer)["items"]}


def test_an_edit_by_hand_is_drift_with_its_editors_name(cluster: Cluster) -> None:
    """As the API server records who wrote what."""
    with placed(cluster, rendering(release())) as one:
        objects = render(one)
        where = ("--namespace", one.namespace, "--field-manager=somebody")
        cluster.must("set", "image", "deployment/assist-blue", "application=other", *where)
        (told,) = drift([each.object for each in objects], live(cluster, objects))

    assert (told.name, told.found) == ("assist-blue", "other")
    assert told.path == "spec.template.spec.containers[application].image"
    assert told.managers == ("somebody",)


EDITS: dict[str, dict[str, Any]] = {
    "memory of the application": {"application": {"cpu": "250m", "memory": "1Gi"}},
    "most pods": {"scaling": {"max": 20}},
    "another gateway": {"gateway": {"name": "other"}},
    "host names": {"gateway": {"hostnames": ["assist.example.com"]}},
    "metrics from elsewhere": {"monitoring": "metrics"},
}


@pytest.mark.parametrize("edit", EDITS)
def test_our_difference_is_kubectls(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    """Line by line, after one edit of a spec."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with placed(cluster, rendering(release())) as one:
        assert settled(cluster, render(one)) == []
        given = settings(namespace=one.namespace, **EDITS[edit])
        edited = render(replace(one, settings=given))
        ours = [
            line
            for change in changes(Api(), edited)
            for line in unified(change)
            if line[:1] in "+-"
        ]

        assert ours
        assert sorted(ours) == sorted(told_by_kubectl(cluster, edited))
