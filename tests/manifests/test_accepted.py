"""A real API server takes every object of every variant, by its strictest reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from manifests.gitops import render_controller
from manifests.model import Rendering
from manifests.render import render, render_watcher
from tests.cluster.client import Cluster, as_text
from tests.manifests.making import release, rendering, settings, watched_spec
from tests.manifests.test_called import LONGEST
from tests.manifests.variants import VARIANTS, WATCHED


@contextmanager
def ready_for(cluster: Cluster, one: Rendering) -> Iterator[None]:
    """The namespaces that the objects go to: a dry run makes none."""
    git = one.settings.git
    names = [one.namespace, *([git.namespace] if git and git.namespace else [])]
    for name in names:
        cluster.must("create", "namespace", name)
    try:
        yield
    finally:
        cluster.must("delete", "namespace", *names, "--wait=false")


@pytest.mark.parametrize("name", VARIANTS)
def test_the_api_server_takes_every_object(cluster: Cluster, name: str) -> None:
    """Unknown fields are errors, and custom resources are held to their own schemas."""
    index = list(VARIANTS).index(name)
    one = VARIANTS[name]
    own = one.settings.model_copy(update={"namespace": f"accepted-{index}"})
    if own.git:
        apart = own.git.model_copy(update={"namespace": f"controller-{index}"})
        own = own.model_copy(update={"git": apart})
    one = replace(one, settings=own)
    watcher = render_watcher(one, watched_spec(one)) if name in WATCHED else ()
    objects = [each.object for each in (*render(one), *render_controller(one), *watcher)]

    with ready_for(cluster, one):
        how = ("--server-side", "--validate=strict", "--dry-run=server", "--force-conflicts")
        said = cluster.ask("apply", *how, "--filename=-", given=as_text(*objects))

    assert said.code == 0, said.err
    assert len(said.out.splitlines()) == len(objects)
    assert "Warning" not in said.err, said.err


@pytest.mark.parametrize("controller", ["argocd", "flux"])
def test_the_api_server_takes_the_longest_names(cluster: Cluster, controller: str) -> None:
    """Of application and environment, in names and in values of labels."""
    git = {"repository": "https://git.example.com/o/r", "controller": controller,
           "namespace": f"long-{controller}"}  # fmt: skip
    one = rendering(release(), given=settings(namespace=f"longest-{controller}", git=git))
    one = replace(one, application=LONGEST, environment=LONGEST)
    objects = [each.object for each in (*render(one), *render_controller(one))]

    with ready_for(cluster, one):
        how = ("--server-side", "--validate=strict", "--dry-run=server", "--force-conflicts")
        said = cluster.ask("apply", *how, "--filename=-", given=as_text(*objects))

    assert said.code == 0, said.err
    assert {one["metadata"]["name"] for one in objects} >= {f"{LONGEST}.{LONGEST}"}
