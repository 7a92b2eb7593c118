"""What every release of an environment stands on, by what the cluster has already.

Provisioning writes just this and ``diff`` shows just this, so it is decided once. What belongs to
no namespace is whoever's made it: it is made where it is not there, and never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from manifests.model import Rendering, own
from manifests.render import APART, Rendered, followed, render_closing, render_shell
from pipelines.targets.kubernetes.api import Api
from pipelines.targets.kubernetes.facts import labels, notes
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.whose import WHOSE, require_ours
from release.errors import GreenlightError

There = Mapping[str, Mapping[str, Any] | None]
"""What the cluster has, by the kinds that are ``APART``: None where there is nothing, empty where
it may not be looked at.
"""

MADE = own("made")
"""On a namespace that was made here, and so goes with what is in it."""


@dataclass(frozen=True)
class Standing:
    """``namespace`` is None where there is one already. ``apart`` is in no folder of Git, ``shell``
    is. The route is in neither.
    """

    namespace: Rendered | None
    apart: tuple[Rendered, ...]
    shell: tuple[Rendered, ...]


def found_apart(api: Api, r: Rendering) -> There:
    """As the API server says now."""
    return {one.kind: _looked_at(api, one) for one in render_shell(r) if one.kind in APART}


def _looked_at(api: Api, one: Rendered) -> Mapping[str, Any] | None:
    try:
        return api.get(one.kind, one.name)
    except DeniedError:
        return {}


def standing(r: Rendering, there: There) -> Standing:
    """What is to be written. What may not be looked at was made by somebody else."""
    rendered = render_shell(r)
    lacking = [one for one in rendered if one.kind in APART and there[one.kind] is None]
    made = next((_marked(one) for one in lacking if one.kind == "Namespace"), None)
    apart = [one for one in lacking if one.kind != "Namespace"]
    if _is_closed(r, there["Namespace"]):
        apart.append(render_closing(r))
    return Standing(made, tuple(apart), followed(rendered))


def _marked(namespace: Rendered) -> Rendered:
    one = namespace.object
    meta = {**one["metadata"], "annotations": {**notes(one), MADE: "true"}}
    return replace(namespace, text=json.dumps({**one, "metadata": meta}))


def _is_closed(r: Rendering, namespace: Mapping[str, Any] | None) -> bool:
    """Whether nothing gets in or out that no policy lets, whosever the pod: in a namespace that is
    made here. Who made another, or gave this one a name, may have others in it.
    """
    made_here = namespace is None or (namespace and notes(namespace).get(MADE))
    return bool(made_here) and r.settings.namespace is None


def require_meant(r: Rendering, there: There) -> None:
    """GreenlightError for a namespace that somebody else made or was in first, where ``llm.yaml``
    does not name it: ``a-b`` in ``c`` and ``a`` in ``b-c`` both come to ``a-b-c``, and so may a
    namespace that has nothing to do with Greenlight.
    """
    found = there["Namespace"]
    if r.settings.namespace is not None or found is None:
        return
    if not found:
        raise _unmeant(r, "may not be looked at by who runs this")
    (wanted,) = (one.object for one in render_shell(r) if one.kind == "Namespace")
    require_ours(found, wanted)
    if not {*WHOSE} <= {*labels(found)}:
        raise _unmeant(r, "is there, and was not made by Greenlight")


def _unmeant(r: Rendering, why: str) -> GreenlightError:
    return GreenlightError(
        f"the namespace {r.namespace} {why}: nothing of it was changed. If it is meant for "
        f"{r.environment}, say so: environments.{r.environment}.kubernetes.namespace: {r.namespace}"
    )
