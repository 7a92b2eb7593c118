"""What a target puts into a cluster so that a rollout is watched there.

A watcher reads ``llm.yaml`` and no other file of the application: a return goes by the ledger and
what it refers to. So neither prompts nor evaluation data nor the model card go along, and of
``llm.yaml`` only the one environment, since the others' targets are none of its business.
"""

from __future__ import annotations

import base64
from typing import Any

from manifests.model import Rendering
from manifests.render import Rendered, render_watcher
from manifests.watcher import keys_name, watcher_name
from manifests.yaml_text import scalar
from release.keys import KEY_FILE, TRUST_FILE, watcher_key
from release.kubernetes_section import Kubernetes
from release.spec import Spec
from release.state import StateFolder

COMPONENT = {"app.kubernetes.io/component": "watcher"}
"""By these labels every object of a watcher is found, together with those of its application."""


def packed(spec: Spec, environment: str) -> str:
    """The ``llm.yaml`` that the watcher of ``environment`` goes by; packed again it is the same.

    Nulls go along: where the default is another, as of ``gateway.timeout_seconds``, null is a
    choice.
    """
    there = spec.environments[environment]
    inside = there.kubernetes and _seen_from_inside(there.kubernetes)
    alone = {environment: there.model_copy(update={"kubernetes": inside})}
    own = spec.model_copy(update={"environments": alone})
    return scalar(own.model_dump(mode="json", by_alias=True))


def _seen_from_inside(settings: Kubernetes) -> Kubernetes:
    """No context of somebody's KUBECONFIG, and the Prometheus that the cluster itself asks."""
    near = settings.scaling.prometheus or settings.prometheus
    return settings.model_copy(update={"context": None, "prometheus": near})


def watcher_objects(r: Rendering, spec: Spec) -> tuple[Rendered, ...]:
    """All but the Secret, in the order in which they are applied, the Deployment last.

    BadInput where the spec is too large for a ConfigMap.
    """
    return render_watcher(r, packed(spec, r.environment))


def watcher_secret(r: Rendering, state: StateFolder) -> dict[str, Any]:
    """The Secret with the watcher's key: for the API server, and for no file, log or repository.

    The key is the watcher's own (release/keys.py); the pipeline's stays where it is.
    """
    data = {
        KEY_FILE: watcher_key(state.keys).pem(),
        TRUST_FILE: (state.keys / TRUST_FILE).read_bytes(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": keys_name(r),
            "namespace": r.namespace,
            "labels": {**r.labels_apart, **COMPONENT},
        },
        "data": {name: base64.b64encode(content).decode() for name, content in data.items()},
    }


def to_take_away(r: Rendering) -> tuple[tuple[str, str], ...]:
    """Kind and name of what goes when nothing is watched any more, in this order; then each
    ConfigMap with the labels of the application and ``COMPONENT``.

    What is left grants a right to nobody, and lets out nobody, as long as there is no such pod:
    account, role, policy and budget. A watcher that ends its own watch needs them to its last word.
    """
    return (("Deployment", watcher_name(r)), ("Secret", keys_name(r)))
