"""A cluster's API server: the one file that speaks to it, through the Kubernetes client.

Objects are plain mappings, as in a manifest. What is written is server-side applied under one
field manager, never by force: a field of somebody else's is an error that names them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, TypeVar

from pipelines.targets.kubernetes.kinds import bare, kind_of, resource
from pipelines.targets.kubernetes.refusals import (
    UNKNOWN_FIELD,
    ApiError,
    ChangedError,
    MissingError,
    OwnedError,
    UnreachableError,
    refusal,
)
from release.errors import BadInput, Problem

MANAGER = "greenlight"
"""By which the API server knows whose a field is."""

ANSWER_SECONDS = 15.0
"""For one answer; a server that is well gives it in milliseconds."""

PATIENCE_SECONDS = 90.0
"""How long a server that is away is asked again: upgrades of a control plane take a minute."""

BUSY = (429, 500, 502, 503, 504)
"""Statuses that another try may turn: too many requests, or a server that is on its way."""

APPLY = "application/apply-patch+yaml"

NEVER = "1"
"""A resourceVersion that no object has: the first write of all gets 2 (etcd), or is no object. An
apply over it makes what is not there, and is refused over what is: the server compares versions
only with what it finds.
"""

FINAL = ("webhook", UNKNOWN_FIELD)
"""What says that another try ends alike, whatever the status."""

Object = Mapping[str, Any]

T = TypeVar("T")


class Api:
    """The cluster that a context of KUBECONFIG names; in a pod, the one that the pod is in."""

    def __init__(self, context: str | None = None, patience: float = PATIENCE_SECONDS) -> None:
        self._context, self._patience = context, patience

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The object, None where there is none."""
        try:
            return self._ask("GET", kind_of(kind).path(namespace, name), f"read {kind} {name}")
        except MissingError:
            return None

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Every object of a kind that has all of ``labels``; none where the kind itself is not
        there. Without a namespace those of all."""
        wanted = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        query = {"labelSelector": wanted} if wanted else {}
        try:
            found = self._ask("GET", kind_of(kind).path(namespace), f"list {kind}s", query)
        except MissingError:
            return []
        return [{"kind": bare(kind), **one} for one in found.get("items", ())]

    def apply(
        self, one: Object, *, dry_run: bool = False, version: str = "",
        over: Collection[str] = (), manager: str = MANAGER,
    ) -> dict[str, Any]:  # fmt: skip
        """Server-side apply; what it is then. With ``version`` only over that resourceVersion.

        OwnedError for fields of others than ``manager`` and those in ``over``, ChangedError where
        the version has passed.
        """
        if version:
            one = {**one, "metadata": {**one["metadata"], "resourceVersion": version}}
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        try:
            return self._write("PATCH", one, APPLY, query)
        except OwnedError as error:
            if not error.owners <= {MANAGER, manager, *over}:
                raise
        # what we have written otherwise than by an apply, the server takes for another's
        return self._write("PATCH", one, APPLY, query | {"force": "true"})

    def create(self, one: Object) -> dict[str, Any]:
        """Make it, by an apply; ChangedError where somebody was quicker.

        A POST would do that as well, but the server keeps its fields as another manager's, which no
        later apply takes away. Who makes it needs the rights to create and to patch.
        """
        meta = {**one["metadata"], "resourceVersion": NEVER}
        query = {"fieldManager": MANAGER, "fieldValidation": "Strict", "force": "true"}
        path = kind_of(resource(one)).path(meta.get("namespace", ""), meta["name"])
        body = {**one, "metadata": meta}
        return self._ask("PATCH", path, f"create {_named(one)}", query, body, APPLY)

    def patch(self, kind: str, name: str, namespace: str, patch: Object) -> dict[str, Any]:
        """RFC 7396 over the object as it is."""
        one = {**patch, "kind": kind, "metadata": {**patch.get("metadata", {}), "name": name,
               "namespace": namespace}}  # fmt: skip
        return self._write("PATCH", one, "application/merge-patch+json", {"fieldManager": MANAGER})

    def delete(
        self, kind: str, name: str, namespace: str = "", *, grace: int | None = None,
        version: str = "", still: Callable[[], object] = lambda: None,
    ) -> None:  # fmt: skip
        """Let it go, with what it owns; nothing where there is none. ``grace``: seconds.

        With ``version`` only that resourceVersion: ChangedError where it has passed. ``still`` is
        asked before each further try, while the server is away, and raises where it is not wanted
        any more.
        """
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if version:
            options["preconditions"] = {"resourceVersion": version}
        path = kind_of(kind).path(namespace, name)
        try:
            what, content = f"delete {kind} {name}", "application/json"
            self._ask("DELETE", path, what, {}, options, content, still)
        except MissingError:
            return

    def _write(
        self, method: str, one: Object, content: str, query: Mapping[str, str]
    ) -> dict[str, Any]:
        meta = one["metadata"]
        path = kind_of(resource(one)).path(meta.get("namespace", ""), meta["name"])
        return self._ask(method, path, f"write {_named(one)}", query, one, content)

    def _ask(
        self, method: str, path: str, what: str, query: Mapping[str, str] | None = None,
        body: Object | None = None, content: str = "", still: Callable[[], object] = lambda: None,
    ) -> dict[str, Any]:  # fmt: skip
        """One answer. Asked again while the server is away: every request here may be repeated,
        and one that is over an old version finds out."""
        give_up, pause = time.monotonic() + self._patience, 0.2
        while True:
            try:
                return self._once(method, path, what, query or {}, body, content)
            except UnreachableError:
                if time.monotonic() + pause > give_up:
                    raise
            time.sleep(pause)
            still()
            pause = min(2 * pause, 5.0)

    def _once(
        self, method: str, path: str, what: str, query: Mapping[str, str], body: Object | None,
        content: str,
    ) -> dict[str, Any]:  # fmt: skip
        import urllib3.exceptions
        from kubernetes.client.exceptions import ApiException  # it comes without types

        client = self._client
        headers = {"Accept": "application/json"} | ({"Content-Type": content} if body else {})
        parameters = client.param_serialize(
            method, path, query_params=list(query.items()), header_params=headers, body=body,
            auth_settings=["BearerToken"],
        )  # fmt: skip
        try:
            answer = client.call_api(*parameters, _request_timeout=ANSWER_SECONDS)
            text = answer.read().decode() if hasattr(answer, "read") else ""
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(f"{what}: the API server does not answer ({error})") from None
        except ApiException as error:  # so the client tells of TLS, and of nothing else here
            raise _of_tls(what, str(error.reason)) from None
        if 200 <= answer.status < 300:
            found: dict[str, Any] = json.loads(text)
            return found
        if answer.status in BUSY and not any(one in text for one in FINAL):
            raise UnreachableError(f"{what}: the API server is not well (status {answer.status})")
        raise refusal(answer.status, text, what)

    @cached_property
    def _client(self) -> Any:
        """The vendor's client, signed in as KUBECONFIG or the pod's service account says."""
        from kubernetes import client, config  # they come without types

        configuration = client.Configuration()
        configuration.retries = False
        try:
            if _in_a_pod():
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(
                    config_file=os.environ.get("KUBECONFIG"),  # it would read it when imported
                    context=self._context,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except (config.ConfigException, OSError) as error:
            expected = f"a context {self._context!r}" if self._context else "a current context"
            remedy = "Sign in (`az aks get-credentials`), or set KUBECONFIG."
            raise BadInput(
                Problem(f"{expected} in KUBECONFIG", str(error), remedy, path="kubernetes.context")
            ) from None
        return client.ApiClient(configuration)


def again(attempt: Callable[[], T], tries: int = 20) -> T:
    """``attempt`` until nobody changed what it had read; ChangedError when that never ends."""
    for number in range(1, tries):
        try:
            return attempt()
        except ChangedError:
            time.sleep(0.02 * number)
    return attempt()


def _of_tls(what: str, reason: str) -> ApiError:
    """A server that hung up may be back in a moment; one that nobody vouches for stays so."""
    said = " ".join(reason.split())
    if "CERTIFICATE_VERIFY_FAILED" in said:
        remedy = "Take the cluster's certificate-authority into KUBECONFIG"
        return ApiError(f"{what}: the API server is not who it says it is ({said}). {remedy}")
    return UnreachableError(f"{what}: the API server does not answer ({said})")


def _in_a_pod() -> bool:
    return "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ


def _named(one: Object) -> str:
    meta = one["metadata"]
    inside = f" in {meta['namespace']}" if meta.get("namespace") else ""
    return f"{one['kind']} {meta['name']}{inside}"
