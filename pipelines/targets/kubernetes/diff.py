"""What applying objects would change in a cluster, told before anything is applied.

The API server itself says what would be: a dry run of the same server-side apply, its defaults and
its admission included. So a difference is one that matters, and what it would refuse is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from manifests.model import own
from manifests.render import Rendered
from pipelines.targets.kubernetes.api import MANAGER
from pipelines.targets.kubernetes.kinds import resource
from pipelines.targets.kubernetes.refusals import DeniedError, UnreachableError
from pipelines.targets.kubernetes.whose import require_ours
from policies.rules.azure.credentials import without_credentials
from release.errors import GreenlightError

Object = Mapping[str, Any]
What = Literal["added", "changed", "removed", "same", "refused"]

NOISE = ("managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink")
"""Of an object's metadata: what the API server keeps account of by itself."""

NOTES = (
    own("fence"),
    own("share"),
    own("failed"),
    "deployment.kubernetes.io/revision",
    "kubectl.kubernetes.io/last-applied-configuration",
)
"""Annotations and labels that come with the writing itself."""

HIDDEN, OTHER = "(hidden)", "(hidden, another value)"


class Cluster(Protocol):
    """The two things that a difference asks of a cluster."""

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        """The object, None where there is none."""

    def apply(
        self, one: Object, *, dry_run: bool = False, manager: str = MANAGER
    ) -> dict[str, Any]:
        """The object as it would be. ApiError for what would be refused."""


@dataclass(frozen=True)
class Field:
    """One place that differs; None where there is nothing. ``path`` such as ``spec.replicas``."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change:
    """What happens to one object. ``before`` and ``after`` hold no noise and no secret.

    ``fields`` are those of a changed object; ``why`` says what the API server, or whose it is, has
    against it. ``beside``: the slots of other releases that run on it, where it is a model server.
    """

    what: What
    kind: str
    name: str
    before: Object | None = None
    after: Object | None = None
    fields: tuple[Field, ...] = ()
    why: str = ""
    beside: tuple[str, ...] = ()


def difference(before: Object | None, after: Object | None) -> Change:
    """From what is to what would be; None is nothing there. ValueError for nothing twice."""
    one = after or before
    if one is None:
        raise ValueError("an object, before or after")
    kind, name = one["kind"], one["metadata"]["name"]
    old, new = (None if each is None else plain(each) for each in (before, after))
    if old is None or new is None:
        shown = concealed(old or new, old or new, kind == "Secret")[0]
        what: What = "added" if old is None else "removed"
        return Change(what, kind, name, *((None, shown) if old is None else (shown, None)))
    if old == new:
        return Change("same", kind, name)
    old, new = concealed(old, new, kind == "Secret")
    return Change("changed", kind, name, old, new, tuple(fields(old, new)))


def changes(
    cluster: Cluster, wanted: Sequence[Rendered], gone: Iterable[Object] = (),
    manager: str = MANAGER,
) -> tuple[Change, ...]:  # fmt: skip
    """What ``manager`` would do by applying ``wanted``, and that ``gone`` would go;
    UnreachableError.

    An object that is new is shown as it is rendered: what the API server adds says nothing then.
    """
    objects = [one.object for one in wanted]
    spaces = {one["metadata"].get("namespace", "") for one in objects} - {""}
    unmade = {space for space in spaces if _is_unmade(cluster, space)}
    return (*(_change(cluster, one, unmade, manager) for one in objects),
            *(difference(one, None) for one in gone))  # fmt: skip


def _is_unmade(cluster: Cluster, namespace: str) -> bool:
    """Who may not look is told by what is tried in it."""
    try:
        return cluster.get("Namespace", namespace) is None
    except DeniedError:
        return False


def _change(cluster: Cluster, wanted: Object, unmade: Set[str], manager: str) -> Change:
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    namespace = wanted["metadata"].get("namespace", "")
    if namespace in unmade:  # nothing in it can be tried
        return difference(None, wanted)
    before = cluster.get(resource(wanted), name, namespace)
    try:
        require_ours(before, wanted)
        after = cluster.apply(wanted, dry_run=True, manager=manager)
    except UnreachableError:
        raise
    except GreenlightError as error:
        return Change("refused", kind, name, why=str(error))
    return difference(before, after if before else wanted)


def plain(one: Object) -> dict[str, Any]:
    """``one`` without what the API server and its controllers write by themselves."""
    meta = {key: value for key, value in one["metadata"].items() if key not in NOISE}
    for part in ("annotations", "labels"):
        left = {k: v for k, v in (meta.pop(part, None) or {}).items() if k not in NOTES}
        meta |= {part: left} if left else {}
    kept = {key: value for key, value in one.items() if key != "status"}
    return {**kept, "metadata": meta}


def concealed(before: Any, after: Any, secret: bool = False) -> tuple[Any, Any]:
    """Both without a secret's values and without credentials; that one differs is still seen."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return _concealed_mappings(before, after, secret)
    if isinstance(before, list) and isinstance(after, list):
        pairs = [
            concealed(before[n] if n < len(before) else None, after[n] if n < len(after) else None)
            for n in range(max(len(before), len(after)))
        ]
        return [a for a, _ in pairs[: len(before)]], [b for _, b in pairs[: len(after)]]
    old, new = told(before), told(after)
    return (old, f"{new} {OTHER}") if old == new and before != after else (old, new)


def _concealed_mappings(
    before: Mapping[str, Any], after: Mapping[str, Any], secret: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    old, new = dict(before), dict(after)
    for key in before.keys() | after.keys():
        if secret and key in ("data", "stringData"):
            a, b = _hidden(before.get(key) or {}, after.get(key) or {})
        else:
            a, b = concealed(before.get(key), after.get(key))
        old.update({key: a} if key in before else {})
        new.update({key: b} if key in after else {})
    return old, new


def _hidden(before: Object, after: Object) -> tuple[dict[str, str], dict[str, str]]:
    same = {key for key, value in before.items() if after.get(key) == value}
    changed = {key: HIDDEN if key in same or key not in before else OTHER for key in after}
    return dict.fromkeys(before, HIDDEN), changed


def told(value: Any) -> Any:
    """``value`` without credentials, wherever in it one stands."""
    if isinstance(value, Mapping):
        return {key: told(one) for key, one in value.items()}
    if isinstance(value, list):
        return [told(one) for one in value]
    return without_credentials(value) if isinstance(value, str) else value


def fields(before: Any, after: Any, path: str = "") -> Iterator[Field]:
    """Each smallest place at which the two differ; items of lists are known by their names."""
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted(before.keys() | after.keys()):
            yield from fields(before.get(key), after.get(key), below(path, key))
    elif (pair := (named(before), named(after))) and None not in pair:
        for key in dict.fromkeys((*(pair[0] or ()), *(pair[1] or ()))):
            yield from fields((pair[0] or {}).get(key), (pair[1] or {}).get(key), f"{path}[{key}]")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from fields(old, new, f"{path}[{number}]")
    else:
        yield Field(path, before, after)


def below(path: str, key: str) -> str:
    """The path of ``key`` in what is at ``path``."""
    if not key.replace("-", "_").isidentifier():
        return f"{path}[{key!r}]"
    return f"{path}.{key}" if path else key


def named(value: Any, key: str = "name") -> dict[str, Any] | None:
    """A list's items by what they have at ``key``, where each has one of its own."""
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        return None
    found = {one[key]: one for one in value if key in one}
    return found if len(found) == len(value) else None
