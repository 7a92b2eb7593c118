"""What an autoscaler may still add to a cluster: by its own status, and by what a team wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from pipelines.cluster import POOL_LABELS, UNIT, Node, Pool, Taint, devices
from pipelines.targets.kubernetes.pods import Thing, quantity
from release.errors import GreenlightError
from release.kubernetes_section import Capacity

AUTOSCALER = ("kube-system", "cluster-autoscaler-status")
"""Namespace and name of the ConfigMap in which the cluster autoscaler says what it may do."""

_GROUP = re.compile(
    r"^\s*Name:\s+(?P<name>\S+)\s*\n\s*Health:.*?cloudProviderTarget=(?P<target>\d+)"
    r" \(minSize=\d+, maxSize=(?P<most>\d+)\)",
    re.MULTILINE,
)
"""A group in the text that autoscalers before 1.30 write; from then on it is YAML."""

_BACKOFF = re.compile(r"^\s*ScaleUp:\s+Backoff", re.MULTILINE)

_PASSES = re.compile(
    r"node\.kubernetes\.io/|node\.cloudprovider\.kubernetes\.io/"
    r"|(ToBeDeletedBy|DeletionCandidateOf)ClusterAutoscaler$"
)
"""Taints of a node's state, which a new one has not."""


@dataclass(frozen=True)
class Group:
    """What the autoscaler says of a group of nodes: it may have ``more`` of them."""

    name: str
    more: int


def autoscaler(found: Iterable[Thing]) -> tuple[Group, ...]:
    """What the autoscaler says, if one of the ConfigMaps that were ``found`` is its own."""
    for one in found:
        if one["metadata"]["name"] == AUTOSCALER[1]:
            return groups((one.get("data") or {}).get("status") or "")
    return ()


def groups(status: str) -> tuple[Group, ...]:
    """The groups in an autoscaler's status. One that has just failed to grow may not for now."""
    if status.lstrip().startswith("Cluster-autoscaler status at"):
        return tuple(_groups_in_text(status))
    try:
        found = yaml.safe_load(status) or {}
        return tuple(_group(one) for one in found.get("nodeGroups") or ())
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise GreenlightError(
            f"the status of the cluster autoscaler ({'/'.join(AUTOSCALER)}) cannot be read: {error}"
        ) from None


def _group(one: Thing) -> Group:
    health, failed = one["health"], (one.get("scaleUp") or {}).get("status") == "Backoff"
    more = int(health["maxSize"]) - int(health["cloudProviderTarget"])
    return Group(str(one["name"]), 0 if failed else max(0, more))


def _groups_in_text(status: str) -> Iterator[Group]:
    found = [*_GROUP.finditer(status)]
    ends = [one.start() for one in found[1:]] + [len(status)]
    for one, end in zip(found, ends, strict=True):
        failed = _BACKOFF.search(status, one.end(), end)
        more = 0 if failed else int(one["most"]) - int(one["target"])
        yield Group(one["name"], max(0, more))


def pools_of(
    status: Sequence[Group], nodes: Sequence[Node], settings: Capacity, gpu: str
) -> tuple[tuple[Pool, ...], tuple[str, ...]]:
    """What may be added. What the team wrote of a pool comes before what the autoscaler says of
    it; of a group without a node it is not known what its nodes would be.
    """
    pools = [_told(one, nodes, gpu) for one in settings.pools]
    notes = []
    for one in status:
        like = [node for node in nodes if one.name in _names_of(node) or _is_in(node, one)]
        if any(pool.name == like_pool for pool in pools for like_pool in _pool_names(like, one)):
            continue
        if like:
            pools.append(Pool(one.name, one.more, _empty(_best(like))))
        elif one.more:
            notes.append(f"group {one.name} may grow by {one.more}: say in capacity.pools "
                         "what its nodes have")  # fmt: skip
    return tuple(pools), tuple(notes)


def _names_of(node: Node) -> set[str]:
    return {node.labels[one] for one in POOL_LABELS if one in node.labels}


def _is_in(node: Node, group: Group) -> bool:
    """AKS calls a node after its scale set, and the autoscaler the group: aks-a100-12345678-vmss,
    with six digits after it.
    """
    return re.fullmatch(re.escape(group.name) + r"-?[0-9a-z]{4,6}", node.name) is not None


def _pool_names(like: Sequence[Node], group: Group) -> set[str]:
    return {group.name, *(node.pool for node in like)}


def _best(like: Sequence[Node]) -> Node:
    """The one that is as it should be: another may lack its GPUs, or be on its way out."""
    return max(like, key=lambda one: (one.usable, devices(one.offers)))


def _empty(node: Node) -> Node:
    """A new one like it, without its name: what it offers is free but for what daemons take."""
    kept = {k: v for k, v in node.labels.items() if k != "kubernetes.io/hostname"}
    taints = tuple(one for one in node.taints if not _PASSES.match(one.key))
    free = {key: amount - node.daemons.get(key, 0) for key, amount in node.offers.items()}
    return replace(node, free=free, labels=kept, taints=taints, ready_seconds=0, open=True)


def _told(given: Any, nodes: Sequence[Node], gpu: str) -> Pool:
    """A pool of ``capacity.pools``, of which ``nodes`` are there already."""
    like = [node for node in nodes if given.name in _names_of(node)]
    offers = {"cpu": quantity(given.cpu), "memory": quantity(given.memory), "pods": 110 * UNIT}
    offers |= {gpu: given.gpus * UNIT} if given.gpus else {}
    known = (
        _empty(_best(like)) if like else Node("", {}, {}, dict.fromkeys(POOL_LABELS, given.name))
    )
    taints = known.taints if like else (Taint("sku", "gpu"),) * bool(given.gpus)
    node = replace(known, offers=offers, free=offers, taints=taints)
    return Pool(given.name, max(0, given.max - len(like)), node)
