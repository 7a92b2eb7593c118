"""``llm.yaml``: what it may say, and what each mistake is told. A new rule is first a case."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from release.documents import Document, overlay, parse_document
from release.errors import BadInput, Problem
from release.model_section import RESERVED_SOURCES
from release.spec import (
    RESERVED,
    RESERVED_TARGETS,
    RateLimit,
    Spec,
    json_schema,
    load_spec,
    locate,
    parse_spec,
)
from tests.release.json_schema import valid
from tests.tiny import SPEC


def document(text: str = SPEC, file: str = "llm.yaml") -> Document:
    return parse_document(text.encode(), file)


def changed(old: str, new: str) -> str:
    """The tiny spec with ``old`` replaced by ``new``."""
    assert old in SPEC
    return SPEC.replace(old, new, 1)


def problems(of: Document) -> tuple[Problem, ...]:
    with pytest.raises(BadInput) as caught:
        parse_spec(of)
    return caught.value.problems


def test_a_spec_says_what_differs_from_the_defaults() -> None:
    """The shortest file that is one, and what the rest is then."""
    spec = parse_spec(document())

    assert (spec.name, list(spec.environments)) == ("tiny-bot", ["staging", "production"])
    assert [step.set_weight for step in spec.rollout.steps] == [
        5,
        None,
        25,
        None,
        50,
        None,
        100,
        None,
    ]
    assert (spec.engine.context, spec.engine.parallel, spec.engine.isolation) == (4096, 4, "shared")
    assert spec.parameters.temperature == 0
    assert spec.compliance.licenses is None
    assert {one.target for one in spec.environments.values()} == {"local"}


def test_environments_keep_their_order() -> None:
    """The order in the file is the order of promotion."""
    names = ["zeta", "alpha", "mid"]
    text = changed("  staging: {}\n  production: {}\n", "".join(f"  {n}: {{}}\n" for n in names))

    assert list(parse_spec(document(text)).environments) == names


def test_an_environment_may_limit_how_often_its_users_ask() -> None:
    """Each its own; without a limit there is none."""
    text = changed("staging: {}", "staging: {rateLimit: {perSecond: 2.5, burst: 10}}")
    staging, production = parse_spec(document(text)).environments.values()

    assert staging.rate_limit == RateLimit(perSecond=2.5, burst=10)
    assert production.rate_limit is None


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse_spec(document()).name = "other"  # type: ignore[misc]


MISTAKES = yaml.safe_load((Path(__file__).parents[1] / "cases/spec-mistakes.yaml").read_text())


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case["name"])
def test_a_mistake_is_told_once_with_its_place_and_its_remedy(case: dict[str, Any]) -> None:
    """File, line, path, expectation, finding, remedy: for each mistake that a file can hold."""
    text = changed(case["replace"], case["by"])
    line = 1 + text[: text.index("# HERE")].count("\n")

    (problem,) = problems(document(text))

    assert (problem.file, problem.line, problem.path) == ("llm.yaml", line, case["path"])
    assert problem.expected.startswith(case["expected"])
    assert problem.found
    assert case["remedy"] in problem.remedy


@pytest.mark.parametrize("key", RESERVED)
def test_a_reserved_section_is_refused_by_name(key: str) -> None:
    """Nobody is to believe that something acts on it."""
    (problem,) = problems(document(f"{SPEC}{key}: {{}}\n"))

    assert (problem.path, problem.line) == (key, SPEC.count("\n") + 1)
    assert f"{key!r}, which is reserved" in problem.found


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("namespace: shop", "namespace: shop", True),
        ("namespace: shop", "namespace: other", False),
        ("namespace: shop", "namespace: shop, context: elsewhere", False),
        ("namespace: tiny-bot-production", "", True),
        ("", "namespace: tiny-bot-staging", True),
        ("namespace: tiny-bot-other", "", False),
        ("", "", False),
    ],
)
def test_two_environments_share_no_namespace(first: str, second: str, refused: bool) -> None:
    """They would have one route, and a release of the one would answer the users of the other.
    The name that one has by default counts as one that is given.
    """
    image = "registry.example.com/serving@sha256:" + "0" * 64
    where = f"{{target: kubernetes, kubernetes: {{image: '{image}', %s}}}}"
    text = changed("staging: {}", f"staging: {where % first}")
    text = text.replace("production: {}", f"production: {where % second}")

    if not refused:
        assert parse_spec(document(text))
        return
    (problem,) = problems(document(text))
    assert "a kubernetes.namespace of its own" in problem.expected
    assert problem.path == "environments.production.kubernetes.namespace"
    assert "production: {target" in text.splitlines()[(problem.line or 0) - 1]


@pytest.mark.parametrize(
    ("name", "environment", "given", "refused"),
    [
        ("kube", "system", "", True),
        ("kube", "dns", "", True),
        ("istio", "system", "", True),
        ("istio", "system", "mesh", False),
        ("kube", "system", "default", True),
        ("shop", "staging", "gatekeeper-system", True),
        ("shop", "systems", "", False),
        ("default", "dev", "", False),
    ],
)
def test_no_environment_is_in_a_namespace_of_the_clusters(
    name: str, environment: str, given: str, refused: bool
) -> None:
    """Neither by a name that is given nor by the one that comes of the two others."""
    image = "registry.example.com/serving@sha256:" + "0" * 64
    named = f", namespace: {given}" if given else ""
    where = f"{{target: kubernetes, kubernetes: {{image: '{image}'{named}}}}}"
    text = changed("staging: {}", f"{environment}: {where}")
    text = re.sub("^name: .*$", f"name: {name}", text, count=1, flags=re.MULTILINE)

    if not refused:
        assert parse_spec(document(text))
        return
    (problem,) = problems(document(text))
    assert problem.path == f"environments.{environment}.kubernetes.namespace"
    assert problem.line == text[: text.index(where)].count("\n") + 1
    assert given or problem.found == f'"{name}-{environment}"'


@pytest.mark.parametrize("target", RESERVED_TARGETS)
def test_a_reserved_target_is_refused_by_name(target: str) -> None:
    text = changed("staging: {}", f"staging: {{target: {target}}}")

    (problem,) = problems(document(text))

    assert f"{target} is reserved" in problem.expected


@pytest.mark.parametrize("scheme", RESERVED_SOURCES)
def test_a_reserved_source_is_refused_by_name(scheme: str) -> None:
    text = changed("file:model.gguf", f"{scheme}://somewhere/model")

    (problem,) = problems(document(text))

    assert f"{scheme}: is reserved" in problem.expected


def test_every_mistake_is_told_at_once() -> None:
    """Nobody mends a file one complaint at a time."""
    text = SPEC.replace("license:", "licence:").replace("role: system", "role: sytem")
    text = text.replace("latency_cases: 5", "latency_cases: 4") + "tools: []\n"

    assert [one.path for one in problems(document(text))] == [
        "tools",
        "model.licence",
        "prompt.messages[0].role",
        "evaluation.latency_cases",
    ]


def test_an_unknown_key_is_named_and_its_value_is_not() -> None:
    """It may be a secret that somebody put in the wrong place."""
    (problem,) = problems(document(changed("name: llama.cpp", "name: llama.cpp\n  key: hunter2")))

    assert "hunter2" not in str(problem)


def test_a_long_value_is_shown_in_part() -> None:
    (problem,) = problems(document(changed("name: Tiny", f"name: {'x' * 30_000}")))

    assert len(problem.found) == 60


def test_an_overlay_is_told_its_own_mistakes(app: Path) -> None:
    """The complaint names the file that is wrong, and the line in it."""
    change = app / "with.yaml"
    change.write_text("\nengine:\n  context: 1\n")

    with pytest.raises(BadInput) as caught:
        load_spec(app, (change,))

    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(change), 3)
    assert problem.path == "engine.context"


def test_an_overlay_changes_what_it_names_and_nothing_else(app: Path) -> None:
    first, second = app / "first.yaml", app / "second.yaml"
    first.write_text("engine: {context: 512, threads: 1}\nrollout: {steps: [{setWeight: 100}]}\n")
    second.write_text("engine: {context: 1024}\n")

    spec = load_spec(app, (first, second))

    assert (spec.engine.context, spec.engine.model_dump()["threads"]) == (1024, 1)
    assert [step.set_weight for step in spec.rollout.steps] == [100]
    assert spec.evaluation == load_spec(app).evaluation


def test_a_part_of_an_overlay_that_is_missing_is_told_where_it_should_be() -> None:
    """The list is the overlay's, so its gap is the overlay's as well."""
    laid = overlay(
        document(), document("evaluation:\n  gates:\n    - min: 0.5\n", "changes/with.yaml")
    )

    (problem,) = problems(laid)

    assert (problem.file, problem.line) == ("changes/with.yaml", 3)
    assert problem.path == "evaluation.gates[0].metric"


def test_an_application_without_its_file_is_told_which_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_spec(tmp_path)

    assert str(tmp_path / "llm.yaml") in str(caught.value)


def test_a_place_can_be_found_after_reading(app: Path) -> None:
    """Errors that come up later still point into the file."""
    change = app / "with.yaml"
    change.write_text("engine:\n  threads: 1\n")

    assert locate(app, (change,), ("engine", "threads")) == (str(change), 2)
    assert locate(app, (change,), ("model", "card")) == (str(app / "llm.yaml"), 7)


def accepted(text: str) -> bool:
    schema = json_schema()
    return valid(schema, document(text).value, schema)


def test_the_json_schema_accepts_what_the_models_accept() -> None:
    """An editor must not mark what is right."""
    assert accepted(SPEC)
    assert accepted(f"{SPEC}compliance: {{licenses: [MIT]}}\nrollout: {{drainSeconds: 5}}\n")
    assert accepted(SPEC + "parameters: {temperature: 0.5, stop: ['x']}\n")


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case["name"])
def test_the_json_schema_refuses_what_the_models_refuse(case: dict[str, Any]) -> None:
    """As far as one value goes; rules over several are the models' alone."""
    text = changed(case["replace"], case["by"])

    assert accepted(text) == case.get("beyond_schema", False)


@pytest.mark.parametrize("key", [*RESERVED, "zzz"])
def test_the_json_schema_knows_no_reserved_section(key: str) -> None:
    assert not accepted(f"{SPEC}{key}: {{}}\n")


def test_the_example_is_what_the_schema_says() -> None:
    """The application that everybody copies from."""
    text = (Path(__file__).parents[2] / "examples/support-bot/llm.yaml").read_text()

    assert parse_spec(document(text)).name == "support-bot"
    assert accepted(text)


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc_", max_size=4) | st.sampled_from(["role"]), inner)
    ),
    max_leaves=6,
)
places = st.sampled_from(
    [
        *("name", "model", "model.source", "model.card", "model.sha256", "engine.context"),
        *("prompt", "prompt.inputs", "prompt.messages", "evaluation.gates", "evaluation.data"),
        *("parameters", "parameters.temperature", "rollout.steps", "environments"),
        *("environments.staging", "compliance.licenses", "apiVersion", "tools", "unknown.key"),
    ]
)


@given(places, junk)
def test_any_value_anywhere_is_a_spec_or_bad_input(place: str, value: Any) -> None:
    """Whatever is written where, nothing but a spec or BadInput with places comes out."""
    for key in reversed(place.split(".")):
        value = {key: value}
    laid = overlay(document(), document(json.dumps(value), "with.yaml"))
    try:
        found: Spec | tuple[Problem, ...] = parse_spec(laid)
    except BadInput as error:
        found = error.problems

    assert isinstance(found, Spec) or (
        found and all(one.file and one.line and one.found and one.remedy for one in found)
    )
