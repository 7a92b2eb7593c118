"""What kwok does with pods here: it plays those that nobody else plays.

Behind Greenlight's own pods the tests' kubelet runs processes (``tests.cluster.kubelet``). kwok
leaves them alone, and takes away only those that have to go and that nobody stops: no kubelet was
ever there, or its test has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

OF_KWOK = (
    "node/fast/node-initialize",
    "node/heartbeat/node-heartbeat",  # without it every node is lost in the end
    "pod/fast/pod-ready",
    "pod/fast/pod-complete",
    "pod/fast/pod-delete",
)
MANAGED = ("app.kubernetes.io/managed-by", "greenlight")
"""The label of the pods that kwok leaves to the kubelet."""

ABANDONED_SECONDS = 10
"""After its grace a pod that is still there has no kubelet."""

_LABEL = f'.metadata.labels["{MANAGED[0]}"]'
Need = Mapping[str, Any]


def write(kwok: Path, folder: Path) -> Sequence[Path]:
    """A file in ``folder`` for each stage, made of kwok's own in the folder ``kwok``."""
    paths = []
    for stage in _all(kwok):
        paths.append(folder / f"{stage['metadata']['name']}.json")
        paths[-1].write_text(json.dumps(stage))
    return paths


def _all(kwok: Path) -> Iterator[dict[str, Any]]:
    for name in OF_KWOK:
        stage = yaml.safe_load((kwok / f"{name}.yaml").read_text())
        if name.startswith("pod/"):
            stage["spec"]["selector"]["matchExpressions"].append(_need(_LABEL, "NotIn", MANAGED[1]))
        yield stage
    yield _deletion("pod-never-run", _need(".status.podIP", "DoesNotExist"))
    end = f"(.metadata.deletionTimestamp | fromdate + {ABANDONED_SECONDS} | todate)"
    delay = {"durationFrom": {"expressionFrom": end}}
    yield _deletion("pod-abandoned", _need(".status.podIP", "Exists"), delay=delay)


def _deletion(name: str, need: Need, **more: Any) -> dict[str, Any]:
    needs = [_need(_LABEL, "In", MANAGED[1]), _need(".metadata.deletionTimestamp", "Exists"), need]
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": needs},
            "next": {"delete": True},
            **more,
        },
    }


def _need(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}
