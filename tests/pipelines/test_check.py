"""``check``: which files are judged, what is remembered of them, and what is refused by name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from pipelines import check as module
from pipelines import remembered
from pipelines.check import Checked, check
from pipelines.programs import NOT_JUDGED, Program, programs
from pipelines.walked import UNREAD
from policies import source
from policies.rules.azure.bounds import Bounds
from policies.rules.findings import Finding
from policies.scan import running
from policies.scan.kinds import Scannable
from release.errors import BadInput

FIXTURES = Path(__file__).parents[1] / "policies/scan/fixtures"
FINDING = Finding("CKV_1", "a.yaml", "that", "this", "Mend it.", line=1)

pytestmark = pytest.mark.usefixtures("own_cache")


class Scans:
    """Stands in for checkov: one finding, and what it was asked, by which bounds."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.bounds: list[Bounds | None] = []

    def __call__(self, files: Iterable[Scannable], bounds: Bounds | None) -> tuple[Finding, ...]:
        self.asked.append([file.file for file in files])
        self.bounds.append(bounds)
        return (FINDING,)


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Scans:
    """What was scanned, without checkov."""
    stand_in = Scans()
    monkeypatch.setattr(running, "scan", stand_in)
    return stand_in


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all fixtures in it, where the user stands."""
    folder = tmp_path / "repository"
    shutil.copytree(FIXTURES, folder)
    monkeypatch.chdir(folder)
    return folder


def test_a_folder_is_walked_for_what_a_scanner_takes(repository: Path, scans: Scans) -> None:
    """Workflows included; hidden folders, dependencies and other files are passed by."""
    for place in (".git/a.k8s.yaml", "node_modules/a.k8s.yaml", "a.py"):
        target = repository / place
        target.parent.mkdir(exist_ok=True)
        shutil.copy(FIXTURES / "good.k8s.yaml", target)
    (repository / "values.yaml").write_text("a: 1\n")

    checked = check([Path()])

    assert scans.asked == [
        [*(f"{name}" for name in ("bad.arm.json", "bad.k8s.yaml", "good.arm.json"))]
        + ["good.k8s.yaml", "odd.arm.json", "odd.k8s.json", "odd.k8s.yaml"]
        + [f".github/workflows/{name}" for name in ("bad.yml", "good.yml", "odd.yaml")]
    ]
    assert checked.files == {"arm": 3, "github_actions": 3, "kubernetes": 4}


@pytest.mark.usefixtures("repository")
def test_a_file_that_is_named_twice_is_judged_once(scans: Scans) -> None:
    check([Path("good.k8s.yaml"), Path(), Path("../repository/good.k8s.yaml")])

    assert scans.asked[0].count("good.k8s.yaml") == 1


REFUSED = {
    "nothing there": ("absent.yaml", None, "absent.yaml: expected a file or a folder"),
    "a named file that no scanner takes": ("values.yaml", "a: 1\n", "no policy is about"),
    "a named file with another suffix": ("main.py", "pass\n", "no policy is about"),
    "a file that is not what it says": ("main.json", "{", "main.json:1: expected JSON"),
    "a folder with nothing to judge": ("empty/README", "", "paths that hold"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_by_name(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan of nothing is no pass."""
    name, text, said = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    if text is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    with pytest.raises(BadInput, match=said):
        check([path.parent if name.startswith("empty") else path])


def test_what_has_not_changed_is_not_scanned_again(repository: Path, scans: Scans) -> None:
    """The same findings, from memory."""
    first, second = check([Path()]), check([Path()])

    assert len(scans.asked) == 1
    assert (first.cached, second.cached) == (False, True)
    assert (first.findings, first.files) == (second.findings, second.files)


def _edit(repository: Path, _: pytest.MonkeyPatch) -> None:
    with (repository / "good.k8s.yaml").open("a") as file:
        file.write("# a comment\n")


def _add(repository: Path, _: pytest.MonkeyPatch) -> None:
    shutil.copy(repository / "good.k8s.yaml", repository / "another.yaml")


def _rename(repository: Path, _: pytest.MonkeyPatch) -> None:
    (repository / "good.k8s.yaml").rename(repository / "renamed.yaml")


def _upgrade(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "version", lambda _: "99.0")


def _edit_a_rule(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "rules_digest", lambda: "another")


@pytest.mark.parametrize("change", [_edit, _add, _rename, _upgrade, _edit_a_rule])
def test_it_is_scanned_again_when_anything_that_counts_has_changed(
    change: object, repository: Path, scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Content, names, checkov's version, our rules' source."""
    check([Path()])
    change(repository, monkeypatch)  # type: ignore[operator]

    assert not check([Path()]).cached
    assert len(scans.asked) == 2


SETTINGS = """config:
  greenlight:target: azure
  greenlight:azure:
    environment: {name}
    allowedLocations: [{regions}]
    network: {{private: {private}}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with two stacks of Azure's, and one of this machine."""
    folder = tmp_path / "checkout/infra/stacks"
    folder.mkdir(parents=True)
    (folder / "Pulumi.local.yaml").write_text("config:\n  greenlight:target: local\n")
    _settle(tmp_path / "checkout", "production", "swedencentral, westeurope", "true")
    _settle(tmp_path / "checkout", "staging", "westeurope, northeurope", "false")
    return tmp_path / "checkout"


def _settle(root: Path, stack: str, regions: str, private: str) -> None:
    text = SETTINGS.format(name=stack, regions=regions, private=private)
    (root / f"infra/stacks/Pulumi.{stack}.yaml").write_text(text)


TEMPLATE = [Path("bad.arm.json")]


@pytest.mark.usefixtures("repository")
def test_a_template_is_judged_for_the_stack_that_is_named(root: Path, scans: Scans) -> None:
    check(TEMPLATE, stack="staging", root=root)

    assert scans.bounds == [Bounds("staging", ("westeurope", "northeurope"), private=False)]


@pytest.mark.usefixtures("repository")
def test_without_one_a_template_has_to_do_for_every_stack_of_azures(
    root: Path, scans: Scans
) -> None:
    """It could be deployed to any."""
    check(TEMPLATE, root=root)

    assert scans.bounds == [Bounds("production", ("westeurope",), instead=("staging",))]


def _no_stack(root: Path) -> None:
    for file in (root / "infra/stacks").iterdir():
        file.unlink()


def _nothing_in_common(root: Path) -> None:
    _settle(root, "staging", "northeurope", "true")


UNBOUND = {
    "none": (_no_stack, None, "infra/stacks: expected the settings of a stack"),
    "an unknown one": (lambda _: None, "qa", "one of local, production, staging, found 'qa'"),
    "one of this machine": (
        lambda _: None,
        "local",
        r"Pulumi\.local\.yaml.*Name one of production, staging",
    ),
    "nothing in common": (_nothing_in_common, None, "regions that production, staging all allow"),
}


@pytest.mark.usefixtures("repository", "scans")
@pytest.mark.parametrize("case", UNBOUND)
def test_a_template_that_nobody_says_bounds_for_is_refused_by_name(case: str, root: Path) -> None:
    """It is no pass that rules were not asked."""
    change, stack, said = UNBOUND[case]
    change(root)

    with pytest.raises(BadInput, match=said):
        check(TEMPLATE, stack=stack, root=root)


@pytest.mark.usefixtures("repository")
def test_what_is_no_template_needs_no_stack(root: Path, scans: Scans) -> None:
    _no_stack(root)

    check([Path("good.k8s.yaml")], root=root)

    assert scans.bounds == [None]


@pytest.mark.usefixtures("repository")
def test_it_is_judged_again_when_a_stack_allows_something_else(root: Path, scans: Scans) -> None:
    """And for another stack."""
    check(TEMPLATE, root=root)
    _settle(root, "staging", "westeurope", "false")

    assert not check(TEMPLATE, root=root).cached
    assert not check(TEMPLATE, root=root, stack="staging").cached
    assert check(TEMPLATE, root=root).cached
    assert len(scans.asked) == 3


def test_a_rule_that_is_edited_has_another_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tables as well."""
    for name in ("__init__.py", "table.yaml"):
        (tmp_path / name).write_text("1")
    monkeypatch.setattr(source, "FOLDER", tmp_path)
    before = source.rules_digest()
    (tmp_path / "table.yaml").write_text("2")

    assert source.rules_digest() != before


@pytest.mark.usefixtures("repository")
def test_a_memory_that_is_damaged_is_made_anew(scans: Scans, own_cache: Path) -> None:
    check([Path()])
    (memory,) = (own_cache / "checks").iterdir()
    memory.write_text('{"findings": [{"rule": "x"}], "files": {}}')

    assert check([Path()]).findings == (FINDING,)
    assert check([Path()]).cached


@pytest.mark.usefixtures("repository", "scans")
def test_only_so_much_is_remembered(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results that were used the longest ago go first."""
    monkeypatch.setattr(remembered, "KEPT", 2)
    for name in ("bad.arm.json", "good.arm.json", "bad.k8s.yaml"):
        check([Path(name)])

    assert len(list((own_cache / "checks").iterdir())) == 2
    assert check([Path("bad.k8s.yaml")]).cached
    assert not check([Path("bad.arm.json")]).cached


@pytest.mark.usefixtures("repository", "scans")
def test_a_suppression_counts_at_once_and_only_as_long_as_it_is_there() -> None:
    """It is not part of what is remembered."""

    def suppress(
        found: tuple[Finding, ...],
    ) -> tuple[tuple[Finding, ...], tuple[tuple[Finding, str], ...]]:
        return (), tuple((finding, "known") for finding in found)

    check([Path()])
    hidden = check([Path()], suppress=suppress)

    assert hidden == Checked((), ((FINDING, "known"),), hidden.files, cached=True)
    assert check([Path()]).findings == (FINDING,)


def test_what_is_found_in_a_program_counts_with_the_rest(repository: Path, scans: Scans) -> None:
    """A folder with a program alone is something to judge."""
    other = Finding("GL-1", "infra/a.py", "that", "this", "Mend it.", line=7)
    (repository / "infra").mkdir()

    def programs(paths: Sequence[Path]) -> tuple[Program, ...]:
        return (Program(repository / "infra", (other,)),)

    alone = check([repository / "infra"], programs=programs)
    both = check([repository], programs=programs)

    assert (alone.findings, alone.files) == ((other,), {"program": 1})
    assert both.findings == (FINDING, other)


PROJECT = "name: x\nmain: infra\nruntime: python\n"


@pytest.fixture
def planned(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose program is there; planning it finds its stack's name."""

    def of_stack(root: Path, main: Path, stack: str, _: object) -> tuple[Finding, ...]:
        return (Finding("GL-1", stack, "that", str(main.relative_to(root)), "Mend it."),)

    (root / "Pulumi.yaml").write_text(PROJECT)
    (root / "infra/__main__.py").write_text("")
    (root / "manifests").mkdir()
    shutil.copy(FIXTURES / "good.k8s.yaml", root / "manifests")
    monkeypatch.setattr("pipelines.programs._of_stack", of_stack)
    return root


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize(
    "paths",
    [
        [""],
        ["infra"],
        ["infra/stacks"],
        ["infra/__main__.py"],
        [".."],
        ["", "infra"],
    ],
)
def test_a_path_that_holds_a_program_or_lies_in_one_has_it_judged(
    paths: Sequence[str], planned: Path
) -> None:
    """For each of its Azure stacks, once."""
    checked = check([planned / one for one in paths], programs=programs, root=planned)

    found = [one.file for one in checked.findings if one.rule == "GL-1"]
    assert found == ["production", "staging"]
    assert checked.files["program"] == 1


@pytest.mark.usefixtures("scans")
def test_a_path_beside_the_program_has_nothing_to_do_with_it(planned: Path) -> None:
    assert check([planned / "manifests"], programs=programs).findings == (FINDING,)


@pytest.mark.usefixtures("scans")
def test_a_program_that_cannot_be_planned_is_said(planned: Path) -> None:
    """Somebody else's, with stacks that Greenlight does not know."""
    other = planned / "other"
    other.mkdir()
    (other / "Pulumi.yaml").write_text("name: y\nruntime: nodejs\n")

    found = check([planned], programs=programs, root=planned).findings

    (said,) = (one for one in found if one.rule == NOT_JUDGED)
    assert (said.file, said.severity) == (str(other / "Pulumi.yaml"), "warn")


ODD: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (os.mkfifo, "such as a pipe"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "a link to what is not there"),
}


@pytest.mark.usefixtures("scans")
@pytest.mark.parametrize("case", ODD)
def test_what_is_no_file_is_never_opened(case: str, repository: Path) -> None:
    """Named it is bad input; in a folder it is said, and the rest is judged."""
    make, said = ODD[case]
    odd = repository / "odd.json"
    make(odd)

    with pytest.raises(BadInput, match=said):
        check([odd])
    first, second = check([repository]), check([repository])
    assert [one.rule for one in first.findings] == ["CKV_1", UNREAD]
    assert first.findings == second.findings
    assert said in str(first.findings[1])


@pytest.mark.usefixtures("scans")
def test_a_folder_that_must_not_be_read_is_bad_input(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not passed by."""

    def closed(folder: Path, onerror: Callable[[OSError], None]) -> None:
        onerror(PermissionError(13, "Permission denied", str(folder)))

    monkeypatch.setattr(os, "walk", closed)

    with pytest.raises(BadInput, match="a folder that can be read, found Permission denied"):
        check([repository])


@pytest.mark.usefixtures("scans")
def test_a_suffix_in_capitals_hides_nothing(repository: Path) -> None:
    """checkov takes none, so the file has to be renamed."""
    (repository / "good.k8s.yaml").rename(repository / "good.YAML")

    with pytest.raises(BadInput, match=r"good\.YAML: expected a suffix in small letters"):
        check([repository])
