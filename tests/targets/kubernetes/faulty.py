"""Faults that a cluster can be given, each in one namespace alone: others use the cluster too."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.slots import Patience
from pipelines.targets.kubernetes.target import KubernetesTarget
from tests.cluster.client import Cluster, as_text
from tests.serving.making import eventually
from tests.targets.kubernetes.bed import KubernetesBed

SOMEBODY = "--field-manager=somebody"
NOWHERE = "https://127.0.0.1:1/"
"""Nobody listens on that port."""

Object = dict[str, Any]


def owns(cluster: Cluster, kind: str, name: str, namespace: str, spec: Object) -> None:
    """``somebody`` takes these fields, whoever had them, and gives up all others."""
    version = "gateway.networking.k8s.io/v1" if kind == "HTTPRoute" else "apps/v1"
    meta = {"name": name, "namespace": namespace}
    one = {"apiVersion": version, "kind": kind, "metadata": meta} | ({"spec": spec} if spec else {})
    how = ("--server-side", "--force-conflicts", SOMEBODY, "--filename=-")
    cluster.must("apply", *how, given=as_text(one))


@contextmanager
def full(cluster: Cluster, namespace: str, resource: str) -> Iterator[None]:
    """Nothing more of ``resource`` is allowed."""
    meta = {"name": f"no-{resource}", "namespace": namespace}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta,
             "spec": {"hard": {resource: "0"}}}  # fmt: skip
    with made(cluster, quota):
        known = f"--for=jsonpath={{.status.hard.{resource}}}=0"
        cluster.must("wait", known, f"quota/no-{resource}", f"--namespace={namespace}")
        yield


@contextmanager
def forbidden(cluster: Cluster, namespace: str, resource: str) -> Iterator[None]:
    """A policy of the cluster's refuses each of ``resource`` that has no label ``team``."""
    name = f"greenlight-test-{uuid.uuid4().hex[:8]}"
    version = "admissionregistration.k8s.io/v1"
    match = {"resourceRules": [_rule(resource)], "namespaceSelector": _only(namespace)}
    validation = {"expression": "has(object.metadata.labels) && 'team' in object.metadata.labels",
                  "message": "say whose it is"}  # fmt: skip
    spec = {"failurePolicy": "Fail", "matchConstraints": match, "validations": [validation]}
    policy = {"apiVersion": version, "kind": "ValidatingAdmissionPolicy",
              "metadata": {"name": name}, "spec": spec}  # fmt: skip
    binding = {"apiVersion": version, "kind": "ValidatingAdmissionPolicyBinding",
               "metadata": {"name": name},
               "spec": {"policyName": name, "validationActions": ["Deny"]}}  # fmt: skip
    with made(cluster, policy, binding):
        _is_said(cluster, namespace, resource, "say whose it is")
        yield
    _is_said(cluster, namespace, resource, "")


@contextmanager
def unanswered(cluster: Cluster, namespace: str, resource: str) -> Iterator[None]:
    """A webhook has to be asked about ``resource``, and nobody is there."""
    name = f"greenlight-test-{uuid.uuid4().hex[:8]}"
    hook = {
        "name": "whose.example.com", "clientConfig": {"url": NOWHERE}, "sideEffects": "None",
        "failurePolicy": "Fail", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
        "rules": [_rule(resource)], "namespaceSelector": _only(namespace),
    }  # fmt: skip
    made_of = {"apiVersion": "admissionregistration.k8s.io/v1", "webhooks": [hook],
               "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name}}  # fmt: skip
    with made(cluster, made_of):
        _is_said(cluster, namespace, resource, "failed calling webhook")
        yield
    _is_said(cluster, namespace, resource, "")


@contextmanager
def someone(
    cluster: Cluster, namespace: str, folder: Path, rules: Sequence[Object],
    within: Sequence[Object] = (),
) -> Iterator[Path]:  # fmt: skip
    """The kubeconfig of an account that may do what ``rules`` say in all of the cluster, and what
    those ``within`` say in ``namespace``.
    """
    name = f"greenlight-test-{uuid.uuid4().hex[:8]}"
    everywhere = _granted("Cluster", {"name": name}, namespace, rules)
    there = _granted("", {"name": name, "namespace": namespace}, namespace, within)
    with made(cluster, *everywhere, *there):
        where = f"--namespace={namespace}"
        eventually(lambda: not cluster.ask("get", "serviceaccount/default", where).code, "account")
        token = cluster.must("create", "token", "default", where).strip()
        given = yaml.safe_load(cluster.kubeconfig.read_text())
        given["users"][0]["user"] = {"token": token}
        path = folder / "someone"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(given))
        yield path


def _granted(scope: str, meta: Object, namespace: str, rules: Sequence[Object]) -> list[Object]:
    """A role of ``rules``, and the account ``default`` of ``namespace`` bound to it."""
    version, group = "rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    role = {"apiGroup": group, "kind": f"{scope}Role", "name": meta["name"]}
    return [
        {"apiVersion": version, "kind": f"{scope}Role", "metadata": meta, "rules": list(rules)},
        {"apiVersion": version, "kind": f"{scope}RoleBinding", "metadata": meta, "roleRef": role,
         "subjects": [subject]},
    ]  # fmt: skip


@contextmanager
def made(cluster: Cluster, *objects: Object) -> Iterator[None]:
    """They are there until the block ends."""
    cluster.must("create", "--filename=-", given=as_text(*objects))
    try:
        yield
    finally:
        cluster.must("delete", "--filename=-", "--ignore-not-found", given=as_text(*objects))


def _rule(resource: str) -> Object:
    group = "apps" if resource == "deployments" else ""
    return {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": [resource]}  # fmt: skip


def _only(namespace: str) -> Object:
    return {"matchLabels": {"kubernetes.io/metadata.name": namespace}}


def _is_said(cluster: Cluster, namespace: str, resource: str, says: str) -> None:
    """The API server knows of it, or no longer: that takes it a moment. "": it refuses nothing."""
    one = ("create", "deployment") if resource == "deployments" else ("run",)
    words = (*one, "probe", "--image=i", "--dry-run=server", f"--namespace={namespace}")

    def known() -> bool:
        done = cluster.ask(*words)
        return says in done.err if says else done.code == 0

    eventually(known, f"{says or 'nothing'} is in force", 60)


def patient(bed: KubernetesBed, patience: Patience) -> KubernetesTarget:
    """The target, which waits for so long."""
    return replace(bed.target, patience=patience)


def waiting_for(bed: KubernetesBed, reason: str) -> bool:
    """Whether a container of green's waits for ``reason``."""
    text = str(
        bed.target.ground.api.list("Pod", bed.plane.namespace, {"greenlight.dev/slot": "green"})
    )
    return f"'reason': '{reason}'" in text


class InBackground(threading.Thread):
    """A call, and how it ended."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Until it ends."""
        try:
            self._call()
        except BaseException as error:
            self._error = error

    def end(self) -> None:
        """As the call did."""
        self.join()
        if self._error:
            raise self._error


def elsewhere(bed: KubernetesBed, namespace: str, **more: Any) -> KubernetesTarget:
    """The same application in another namespace."""
    ground = bed.target.ground
    settings = ground.settings.model_copy(update={"namespace": namespace, **more})
    return replace(bed.target, ground=replace(ground, settings=settings, api=Api()))


def by_wire(bed: KubernetesBed, patience: float) -> KubernetesTarget:
    """The target, whose API server is asked again for so many seconds."""
    target = replace(bed.target, ground=replace(bed.target.ground, api=Api(patience=patience)))
    target.facts()  # it has signed in by the KUBECONFIG of now
    return target


def users_notice_nothing(bed: KubernetesBed) -> None:
    """Blue answers, and has all weight."""
    assert dict(bed.target.facts().weights) == {"blue": 100}
    assert bed.ask() == bed.release("one").label


def every_write(bed: KubernetesBed, target: KubernetesTarget) -> tuple[Callable[[], None], ...]:
    """What a rollout and a return call, one after the other; in the end blue has all traffic."""
    two, fence = bed.release("two"), bed.fence
    return (
        lambda: target.provision(fence()),
        lambda: target.deploy("green", two, fence()),
        lambda: target.watch(True, fence()),
        lambda: target.expose({"green": 100}, fence()),
        lambda: target.expose({"blue": 100}, fence()),
        lambda: _retired(target, fence()),
        lambda: target.watch(False, fence()),
    )


def _retired(target: KubernetesTarget, fence: int) -> None:
    target.retire("green", 0.0, fence)
