"""What ``diff`` tells of what every release stands on is what provisioning writes."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from pipelines.targets.kubernetes.api import MANAGER
from pipelines.targets.kubernetes.ground import Ground
from pipelines.targets.kubernetes.kinds import resource
from pipelines.targets.kubernetes.refusals import DeniedError
from pipelines.targets.kubernetes.shell import Shell
from pipelines.targets.kubernetes.standing import MADE
from pipelines.targets.kubernetes.writer import DirectWriter
from pipelines.workspace import open_workspace
from release.errors import DONE, REFUSED, GreenlightError
from tests import tiny
from tests.manifests.making import IMAGE, settings
from tests.targets.kubernetes.memory import MemoryApi
from tests.targets.kubernetes.sharing import made

SPACE = "tiny-bot-production"
THEIRS: Mapping[str, Any] = {"kind": "Namespace", "metadata": {"name": SPACE}}
CLASS = {"kind": "PriorityClass", "metadata": {"name": "greenlight-serving"}, "value": 7}
NAMED = f"namespace: {SPACE}, "
GIT = "git: {repository: /srv/r.git, controller: argocd}, "
OF_THE_CLUSTER = {"Namespace", "PriorityClass"}


class Dry(MemoryApi):
    """A dry run says what would be, and writes nothing. ``managers``: who asked for what."""

    def __init__(self, *objects: Mapping[str, Any]) -> None:
        super().__init__(*objects)
        self.managers: dict[str, str] = {}

    def apply(
        self, one: Mapping[str, Any], *, dry_run: bool = False, manager: str = MANAGER, **more: Any
    ) -> dict[str, Any]:
        if not dry_run:
            return super().apply(one, manager=manager, **more)
        self.managers[one["metadata"]["name"]] = manager
        key = (resource(one), one["metadata"].get("namespace", ""), one["metadata"]["name"])
        there = self.objects.get(key, {})
        if one["kind"] == "PriorityClass" and there.get("value", one["value"]) != one["value"]:
            raise DeniedError("value: field is immutable")
        return copy.deepcopy({**there, **one})


class Closed(Dry):
    """As who has rights within the namespace alone."""

    def get(self, kind: str, name: str, namespace: str = "") -> dict[str, Any] | None:
        if kind in OF_THE_CLUSTER:
            raise DeniedError("no")
        return super().get(kind, name, namespace)


def asked(
    app: Path, api: Dry, capsys: pytest.CaptureFixture[str], section: str
) -> tuple[int, dict[tuple[str, str], str]]:
    """The exit code of ``diff``, and what would become of which object."""
    given = f"  production: {{kubernetes: {{{section}image: '{IMAGE}'}}}}\n"
    (app / "llm.yaml").write_text(tiny.SPEC.replace("  production: {}\n", given))
    before = copy.deepcopy(api.objects)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.diff.Api", lambda _: api)
        code = main(["diff", str(app), "--env", "production", "--json"])
    assert api.objects == before
    found = json.loads(capsys.readouterr().out)["changes"]
    return code, {(one["kind"], one["name"]): one["what"] for one in found}


def written(app: Path, api: Dry) -> set[tuple[str, str]]:
    """What provisioning then makes of the cluster's own kinds, and of policies."""
    given = open_workspace(app).spec.environments["production"].kubernetes
    assert given
    names = set[tuple[str, str]]()
    api.before = lambda verb, kind, name: names.add((kind, name))
    there = Ground("tiny-bot", "production", given, 30, api)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ground, "await_accepted", lambda _: None)
        Shell(there, DirectWriter(api, there.anchor)).make(1)
    return of_shell(names)


def of_shell(names: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that are the cluster's own, or close something."""
    return {one for one in names if one[0] in OF_THE_CLUSTER or "-deny" in one[1]}


CASES: dict[str, tuple[Dry, str]] = {
    "nothing is there": (Dry(), ""),
    "nothing is there, by Git": (Dry(), GIT),
    "nothing is there, and it has a name": (Dry(), NAMED),
    "the platform's, which it names": (Dry(THEIRS, CLASS), NAMED),
    "the platform's, by Git": (Dry(THEIRS, CLASS), NAMED + GIT),
    "it may not look at them": (Closed(THEIRS, CLASS), NAMED),
}


@pytest.mark.parametrize("case", CASES)
def test_diff_tells_what_provisioning_writes_and_nothing_else(
    app: Path, own_cache: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    """What belongs to no namespace is made and never changed; what is in no folder is told too."""
    api, section = CASES[case]
    api = copy.deepcopy(api)

    code, told = asked(app, api, capsys, section)

    assert code == DONE
    assert of_shell({*told}) == written(app, api)
    assert {told[one] for one in of_shell({*told})} <= {"added"}


def test_a_namespace_that_ship_made_is_told_of_no_more(
    app: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its policy is: a change of that one is a change, by whom provisioning writes as."""
    api = Dry()
    asked(app, api, capsys, GIT)
    written(app, api)
    api.before = lambda *_: None
    policy = next(one for key, one in api.objects.items() if key[2] == "tiny-bot-deny-all")
    policy["spec"] = {**policy["spec"], "policyTypes": ["Ingress"]}

    _, told = asked(app, api, capsys, GIT)

    assert of_shell({*told}) == {("NetworkPolicy", "tiny-bot-deny-all")}
    assert api.managers["tiny-bot-deny-all"] == MANAGER
    assert api.managers["tiny-bot-deny"] == "argocd-controller"


def test_a_namespace_that_provisioning_would_stop_at_is_refused(
    app: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has the name by chance: exit 3, before anybody ships."""
    code, told = asked(app, Dry(THEIRS), capsys, "")

    assert (code, told["Namespace", SPACE]) == (REFUSED, "refused")


def test_a_namespace_that_another_environment_has_is_refused(
    app: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both name it: provisioning stops at the Lease, and what serves there is not told as ours."""
    there = Ground("tiny-bot", "staging", settings(namespace=SPACE), 30, api := Dry())
    made(Shell(there, DirectWriter(api, there.anchor)), api)

    code, told = asked(app, api, capsys, NAMED)

    assert (code, told["Lease", "tiny-bot-greenlight"]) == (REFUSED, "refused")
    with pytest.raises(GreenlightError, match="belongs to tiny-bot in staging"):
        written(app, api)


@pytest.mark.parametrize("section", [NAMED, NAMED + GIT])
def test_an_object_that_another_application_has_is_refused(
    app: Path, own_cache: Path, capsys: pytest.CaptureFixture[str], section: str
) -> None:
    """The API server would take it: all write as one field manager."""
    meta = {"name": "tiny-bot", "namespace": SPACE, "labels": {"app.kubernetes.io/name": "other"}}
    api = Dry(THEIRS, {"kind": "ServiceAccount", "metadata": meta})

    code, told = asked(app, api, capsys, section)

    assert (code, told["ServiceAccount", "tiny-bot"]) == (REFUSED, "refused")
    with pytest.raises(GreenlightError, match=r"ServiceAccount tiny-bot .* belongs to other"):
        written(app, api)


def test_a_namespace_has_the_annotations_that_a_patch_gives_it(
    app: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the one by which ``destroy`` knows that it was made here."""
    patch = "{kind: Namespace, name: '*', patch: {metadata: {annotations: {team: shop}}}}"
    api = Dry()
    asked(app, api, capsys, f"patches: [{patch}], ")
    written(app, api)

    namespace = api.objects["Namespace", "", SPACE]
    assert namespace["metadata"]["annotations"] == {"team": "shop", MADE: "true"}
