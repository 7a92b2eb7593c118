"""checkov loads without what it never touches here, and nothing of that is left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from policies.scan import light
from policies.scan.light import LeftOutError, run_with_checkov

ROOT = Path(__file__).parents[3]

LEFT_BEHIND = """
import sys
from policies.scan import light
light.run_with_checkov(lambda: None)
for name, module in list(sys.modules.items()):
    if module is not None and name.partition(".")[0] not in ("checkov", "policies"):
        kinds = {type(value) for value in vars(module).values()}
        assert not kinds & {light._StandIn, light._StandInModule}, name
import pydantic, networkx, tabulate
assert issubclass(type("Model", (pydantic.BaseModel,), {}), pydantic.BaseModel)
assert networkx.DiGraph().number_of_nodes() == 0
assert tabulate.tabulate([["a"]])
assert not any(isinstance(one, light._Finder) for one in sys.meta_path)
from checkov.terraform.checks.resource.registry import resource_registry
assert resource_registry.get_checks("azurerm_storage_account"), "terraform's checks load when asked"
"""

LOADED_BEFORE = """
import pydantic
from policies.scan import light
light.run_with_checkov(lambda: None)
from checkov.common.sast import report_types
assert report_types.BaseModel is pydantic.BaseModel
"""

DONE_AGAIN = """
from policies.scan import light
tries = []
def work():
    from checkov.common.util.parser_utils import hcl2
    tries.append(not isinstance(hcl2, light._StandInModule))
    hcl2.loads('a = "b"' + chr(10))
    return "done"
print(light.run_with_checkov(work), tries)
"""

NEVER_LOADED = """
import sys
from policies.scan import light
light.run_with_checkov(lambda: None)
print(*sorted(name for name in sys.modules if name.partition(".")[0] in light.LEFT_OUT))
"""


@pytest.fixture
def _own_checkov() -> Iterator[None]:
    """A checkov of this test's own."""
    light.forget()
    yield
    light.forget()


def python(code: str) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_nothing_of_what_is_left_out_is_loaded() -> None:
    assert python(NEVER_LOADED) == ""


@pytest.mark.slow
def test_the_real_libraries_are_there_for_everybody_else() -> None:
    """A stand-in that stayed would break whoever imports the library next."""
    python(LEFT_BEHIND)


@pytest.mark.slow
def test_a_library_that_is_loaded_already_stays_whole() -> None:
    """It is used as it is: half of it and half a stand-in would be neither."""
    python(LOADED_BEFORE)


@pytest.mark.parametrize("use", ["hcl2.loads('')", "networkx.DiGraph.nodes", "docker.from_env()"])
def test_using_a_stand_in_is_an_error_that_no_handler_takes_for_a_pass(use: str) -> None:
    """checkov catches every Exception; this is none."""
    name, _, rest = use.partition(".")
    module = light._StandInModule(name)

    with pytest.raises(LeftOutError, match=rest.partition("(")[0]):
        eval(use, {name: module})
    assert not issubclass(LeftOutError, Exception)


def test_a_stand_in_can_be_named_inherited_from_and_tested_against() -> None:
    """Which is all that checkov does with one while it is imported."""
    module = light._StandInModule("pydantic")

    class Model(module.BaseModel):  # type: ignore[misc, name-defined]
        pass

    assert not isinstance(3, module.BaseModel)
    assert issubclass(Model, module.BaseModel)
    with pytest.raises(ValueError, match="other"):
        _raise_past(module.ValidationError)


def _raise_past(handled: type[Exception]) -> None:
    try:
        raise ValueError("other")
    except handled:
        pytest.fail("nothing is a stand-in's error")


@pytest.mark.slow
def test_work_that_needs_what_was_left_out_is_done_again_with_all_of_checkov() -> None:
    """Right first, fast second."""
    assert python(DONE_AGAIN) == "done [False, True]"


@pytest.mark.slow
@pytest.mark.usefixtures("_own_checkov")
def test_settings_of_the_environment_do_not_change_what_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would change it for one person and be remembered for another."""
    monkeypatch.setenv("CHECKOV_GRAPH_FRAMEWORK", "NETWORKX")
    monkeypatch.setenv("CKV_SUPPORT_ALL_RESOURCE_TYPE", "1")

    def graph() -> str:
        from checkov.arm.runner import Runner

        return type(Runner().db_connector).__name__

    assert run_with_checkov(graph) == "RustworkxConnector"
