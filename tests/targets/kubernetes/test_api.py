"""What the real API server answers, each as its own error, and what survives it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.targets.base import StaleFenceError
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.refusals import (
    ApiError,
    ChangedError,
    DeniedError,
    FullError,
    InvalidError,
    MissingError,
    OwnedError,
    UnreachableError,
)
from release.errors import BadInput
from tests.cluster.client import Cluster


@pytest.fixture
def api(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The tests' cluster, as its administrator."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    return Api()


def config(namespace: str, name: str = "c", **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    meta = {"name": name, "namespace": namespace, "labels": {"a": "b"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


def quota(namespace: str) -> dict[str, Any]:
    """No ConfigMap beyond those that are there."""
    return {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"configmaps": "0"}},
            "metadata": {"name": "none", "namespace": namespace}}  # fmt: skip


def test_what_is_applied_is_read_listed_and_deleted(api: Api, namespace: str) -> None:
    """And what is not there is None, no error."""
    api.apply(config(namespace, x="1"))

    found = api.get("ConfigMap", "c", namespace)
    assert found
    assert found["data"] == {"x": "1"}
    assert [one["kind"] for one in api.list("ConfigMap", namespace, {"a": "b"})] == ["ConfigMap"]
    api.delete("ConfigMap", "c", namespace)
    api.delete("ConfigMap", "c", namespace)
    assert api.get("ConfigMap", "c", namespace) is None


def test_an_apply_takes_away_what_it_no_longer_says(api: Api, namespace: str) -> None:
    """Also of an object that was made in another way: nothing of an older release stays."""
    api.create(config(namespace, old="1", both="1"))
    api.patch("ConfigMap", "c", namespace, {"data": {"both": "2"}})

    api.apply(config(namespace, both="3"))

    found = api.get("ConfigMap", "c", namespace)
    assert found
    assert found["data"] == {"both": "3"}


def lease(namespace: str) -> dict[str, Any]:
    """What a fence is kept in."""
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "c", "namespace": namespace},
            "spec": {"holderIdentity": "greenlight"}}  # fmt: skip


def route(namespace: str) -> dict[str, Any]:
    """Of a kind that the API server knows by a definition alone."""
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "c", "namespace": namespace},
            "spec": {"hostnames": ["c.example.com"]}}  # fmt: skip


@pytest.mark.parametrize("kind", [config, lease, route])
def test_s22_what_is_made_is_made_by_one_request(
    api: Api, namespace: str, kind: Callable[[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nothing can be cut in it: all fields are those of an apply, which a later one gives up."""
    sent = counted(monkeypatch)
    made = api.create(kind(namespace))

    assert len(sent) == 1
    owners = [(one["manager"], one["operation"]) for one in made["metadata"]["managedFields"]]
    assert owners == [("greenlight", "Apply")]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The method of each request from now on."""
    sent: list[str] = []
    once = Api._once

    def counting(self: Api, method: str, *rest: Any) -> dict[str, Any]:
        sent.append(method)
        return once(self, method, *rest)

    monkeypatch.setattr(Api, "_once", counting)
    return sent


@pytest.mark.parametrize("kind", [config, lease, route])
def test_s09_of_many_who_make_an_object_at_once_one_does(
    api: Api, namespace: str, kind: Callable[[str], dict[str, Any]]
) -> None:
    """The others are told, and what is there is all of the one's."""

    def make(number: int) -> str:
        one = kind(namespace)
        one["metadata"]["labels"] = {"who": str(number)}
        try:
            api.create(one)
        except ChangedError:
            return ""
        return str(number)

    api.get("ConfigMap", "c", namespace)  # signed in, before there are several
    with ThreadPoolExecutor(8) as pool:
        (winner,) = filter(None, pool.map(make, range(24)))

    found = api.get(kind(namespace)["kind"], "c", namespace)
    assert found
    assert found["metadata"]["labels"] == {"who": winner}


def test_what_somebody_else_has_made_is_not_taken_by_a_create(
    api: Api, cluster: Cluster, namespace: str
) -> None:
    """Though it is an apply, and by force."""
    theirs = yaml.safe_dump(config(namespace, x="theirs"))
    cluster.must("apply", "--server-side", "--field-manager=hand", "--filename=-", given=theirs)

    with pytest.raises(ChangedError):
        api.create(config(namespace, x="ours"))

    assert (api.get("ConfigMap", "c", namespace) or {})["data"] == {"x": "theirs"}


def test_a_dry_run_changes_nothing(api: Api, namespace: str) -> None:
    """And says what would be."""
    assert api.apply(config(namespace, x="1"), dry_run=True)["data"] == {"x": "1"}
    assert api.get("ConfigMap", "c", namespace) is None


def test_somebody_elses_field_is_named_with_its_owner(
    api: Api, cluster: Cluster, namespace: str
) -> None:
    """It stays theirs."""
    theirs = yaml.safe_dump(config(namespace, x="theirs"))
    cluster.must("apply", "--server-side", "--field-manager=hand", "--filename=-", given=theirs)

    with pytest.raises(OwnedError, match=r"\.data\.x belongs to hand"):
        api.apply(config(namespace, x="ours"))

    found = api.get("ConfigMap", "c", namespace)
    assert found
    assert found["data"] == {"x": "theirs"}


def full(api: Api, namespace: str) -> None:
    """A quota that leaves nothing; its controller has to have counted first."""
    api.apply(quota(namespace))
    while not (api.get("ResourceQuota", "none", namespace) or {}).get("status", {}).get("used"):
        pass
    api.apply(config(namespace))


def stale(api: Api, namespace: str) -> None:
    """Over a version that has passed."""
    version = api.apply(config(namespace))["metadata"]["resourceVersion"]
    api.apply(config(namespace, x="1"))
    api.apply(config(namespace, x="2"), version=version)


def fixed(api: Api, namespace: str) -> None:
    """S18: a field that may not change."""
    api.apply({**config(namespace, x="1"), "immutable": True})
    api.apply({**config(namespace, x="2"), "immutable": True})


def made_twice(api: Api, namespace: str) -> None:
    """By a create."""
    api.create(config(namespace))
    api.create(config(namespace))


REFUSED: dict[str, tuple[Callable[[Api, str], Any], type[ApiError], str]] = {
    "the namespace is missing": (
        lambda api, _: api.apply(config("nowhere")), MissingError, 'namespaces "nowhere" not found',
    ),
    "a field that is in no schema": (
        lambda api, name: api.apply({**config(name), "dat": {}}), InvalidError, "dat",
    ),
    "the quota is used up": (full, FullError, "exceeded quota"),
    "somebody changed it": (stale, ChangedError, "modified"),
    "somebody made it": (made_twice, ChangedError, "modified"),
    "S18 it may not change": (fixed, InvalidError, "immutable"),
    "an unknown kind": (
        lambda api, _: api.get("Gremlin", "x"), ApiError, "Gremlin",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", [name for name in REFUSED if name != "an unknown kind"])
def test_each_refusal_is_an_error_of_its_own(api: Api, namespace: str, case: str) -> None:
    """With what the server said and what to do."""
    write, kind, says = REFUSED[case]

    with pytest.raises(kind, match=says) as caught:
        write(api, namespace)

    assert type(caught.value) is kind


def test_who_may_not_is_told_to_ask(api: Api, cluster: Cluster, namespace: str, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """By the name under which the cluster knows them."""
    token = cluster.must("create", "token", "default", f"--namespace={namespace}").strip()
    given = yaml.safe_load(cluster.kubeconfig.read_text())
    given["users"][0]["user"] = {"token": token}
    (tmp_path / "config").write_text(yaml.safe_dump(given))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    with pytest.raises(DeniedError, match=f"system:serviceaccount:{namespace}:default") as caught:
        Api().apply(config(namespace))

    assert token not in str(caught.value)


class Away(BaseHTTPRequestHandler):
    """An API server that is on its way up."""

    left = 3

    def do_GET(self) -> None:
        """503 some times, then an object."""
        type(self).left -= 1
        self.send_response(503 if self.left > 0 else 200)
        self.end_headers()
        self.wfile.write(b'{"kind": "ConfigMap"}')

    do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def on_its_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Such a server, as KUBECONFIG names it."""
    monkeypatch.setattr(Away, "left", 3)
    with ThreadingHTTPServer(("127.0.0.1", 0), Away) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        given = {
            "clusters": [{"name": "c", "cluster": {
                "server": f"http://127.0.0.1:{server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }  # fmt: skip
        (folder / "config").write_text(yaml.safe_dump(given))
        monkeypatch.setenv("KUBECONFIG", str(folder / "config"))
        yield
        server.shutdown()


def test_an_api_server_that_is_away_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For as long as it is worth, and then it is said."""
    with on_its_way(tmp_path, monkeypatch):
        assert Api().get("ConfigMap", "c", "n") == {"kind": "ConfigMap"}

    with pytest.raises(UnreachableError, match="read ConfigMap c: the API server does not answer"):
        Api(patience=0.5).get("ConfigMap", "c", "n")


def test_s09_what_is_not_wanted_any_more_is_asked_for_no_further_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try needs no question: whoever asks has just looked."""
    asked = list[int]()

    def still() -> None:
        asked.append(Away.left)
        if len(asked) == 2:
            raise StaleFenceError("somebody newer is there")

    with on_its_way(tmp_path, monkeypatch), pytest.raises(StaleFenceError):
        Api().delete("ConfigMap", "c", "n", still=still)

    assert asked == [2, 1]


def test_a_context_that_is_not_there_is_bad_input(api: Api) -> None:
    """With the place in llm.yaml that names it."""
    with pytest.raises(BadInput, match=r"kubernetes\.context"):
        Api("nobody").get("ConfigMap", "c", "n")
