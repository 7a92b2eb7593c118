"""Write docs/rights.yaml: ``python -m docs.rights``. A test compares them.

What an account needs that ships to a cluster, kind by kind. A kind that the target learns to read
or write has no rights until it is named here, and then this ends with its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from manifests.order import RANKS
from pipelines.targets.kubernetes.kinds import KINDS, bare
from release.errors import GreenlightError

FILE = Path(__file__).parent / "rights.yaml"
GROUP = "rbac.authorization.k8s.io"

Verbs = tuple[str, ...]

KEPT: Verbs = ("get", "list", "create", "patch", "delete")
"""A server-side apply that makes an object takes both create and patch."""

HANDED_ON: Verbs = (*KEPT, "update")
"""The watcher's pods elect by replacing a Lease, so its Role has update, and nobody may hand on a
right that they do not have."""

FOLLOWED = ("Application", "Kustomization", "GitRepository")
NEVER_ASKED = ("Event",)
NEVER_OURS = ("StatefulSet", "CronJob", "Job", "PersistentVolumeClaim")

_RENDERED = tuple(
    one for one, kind in KINDS.items()
    if kind.namespaced and bare(one) in RANKS and one not in FOLLOWED
)  # fmt: skip

CLUSTER: Mapping[str, Verbs] = {
    "Namespace": ("get", "create", "patch", "delete"),
    "PriorityClass": ("get", "create", "patch"),
    "Node": ("list",),
    "Pod": ("list",),
}
"""In nobody's namespace, or in everybody's: to count what room there is."""

GATEWAY: Mapping[str, Verbs] = {"Gateway": ("get",)}
"""Where callers ask: without it no address is known, and nothing can be evaluated."""

ENVIRONMENT: Mapping[str, Verbs] = {
    **dict.fromkeys(_RENDERED, KEPT),
    "Lease": HANDED_ON,
    "Pod": ("get", "list", "delete"),
    "Secret": ("create", "patch", "delete"),
    "ResourceQuota": ("list",),
    "LimitRange": ("list",),
    **dict.fromkeys(NEVER_OURS, ("list",)),
    **dict.fromkeys(FOLLOWED, ("list",)),
}
"""In the namespace of an environment. Of Secrets there is the watcher's, and nothing reads one.
Others' work is looked for before a namespace goes."""

BY_GIT: Mapping[str, Verbs] = dict.fromkeys(FOLLOWED, ("get", "patch"))
"""Where the controller's objects are: to see how far it is, and to ask it to look at once."""

ROLES: Mapping[str, Mapping[str, Verbs]] = {
    "greenlight-cluster": CLUSTER,
    "greenlight-gateway": GATEWAY,
    "greenlight-environment": ENVIRONMENT,
    "greenlight-by-git": BY_GIT,
}
EVERYWHERE = ("greenlight-cluster", "greenlight-gateway", "greenlight-environment")

HEAD = """\
# What an account needs that ships with Greenlight: docs/first-release.md says how it is bound.
# Written by `python -m docs.rights`; tests hold it against what the program asks for.
"""


def page() -> str:
    """The whole file: a ClusterRole for each of ``ROLES``, and who has all but one of them."""
    _require_every_kind()
    objects = [*map(_role, ROLES), *map(_binding, EVERYWHERE)]
    return HEAD + "---\n".join(
        yaml.safe_dump(one, sort_keys=False, default_flow_style=None, width=99) for one in objects
    )


def rules(name: str) -> list[dict[str, Any]]:
    """The rules of a role, one for each API group and set of verbs."""
    return list(_grouped(ROLES[name]))


def _grouped(rights: Mapping[str, Verbs]) -> Iterator[dict[str, Any]]:
    groups: dict[tuple[str, Verbs], list[str]] = {}
    for kind, verbs in rights.items():
        group = KINDS[kind].version.rpartition("/")[0]
        groups.setdefault((group, verbs), []).append(KINDS[kind].plural)
    for (group, verbs), resources in sorted(groups.items()):
        yield {"apiGroups": [group], "resources": sorted(resources), "verbs": [*verbs]}


def _role(name: str) -> dict[str, Any]:
    version = f"{GROUP}/v1"
    return {"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": name},
            "rules": rules(name)}  # fmt: skip


def _binding(name: str) -> dict[str, Any]:
    role = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
    return {
        "apiVersion": f"{GROUP}/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": role, "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": "greenlight"}],
    }  # fmt: skip


def _require_every_kind() -> None:
    known = {*CLUSTER, *GATEWAY, *ENVIRONMENT, *BY_GIT, *NEVER_ASKED}
    if missing := {*KINDS} - known:
        raise GreenlightError(f"docs/rights.py has no rights for {', '.join(sorted(missing))}")


if __name__ == "__main__":
    FILE.write_text(page())
