"""Chat templates: programs in a model file that may read messages and nothing more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.rules.chat_template import LARGEST_TEMPLATE, check_chat_template
from policies.rules.findings import Finding
from tests.policies.making import TEMPLATE, untimed


def check(template: str) -> tuple[Finding, ...]:
    return check_chat_template(template, file="model.gguf", key="tokenizer.chat_template")


PLAIN = {
    "a loop over messages": TEMPLATE,
    "namespaces and filters": (
        "{% set ns = namespace(first=true) %}"
        "{{ messages | map(attribute='role') | join(', ') | trim }}"
        "{% if tools is defined and ns.first %}{{ tools | tojson }}{% endif %}"
    ),
    "loop controls": "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{% endfor %}",
    "a block that marks the answer": "{% generation %}{{ messages[0].content }}{% endgeneration %}",
    "a macro of its own": "{% macro turn(m) %}{{ m.content }}{% endmacro %}{{ turn(messages[0]) }}",
    "underscores outside the program": "<__start__>{{ messages[0].content }}",
}


@pytest.mark.parametrize("template", PLAIN.values(), ids=PLAIN)
def test_a_template_that_only_reads_messages_passes(template: str) -> None:
    assert check(template) == ()


REFUSED = {
    "a way to the interpreter": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "the same through an index": "{{ ''['__class__'] }}",
    "the same with escapes": r"{{ ''['\x5f\x5fclass\x5f\x5f'] }}",
    "the same in parts": "{{ ''['_' '_class_' '_'] }}",
    "the same through a filter": "{{ '' | attr('_' ~ '_class_' ~ '_') }}",
    "the same as a keyword": "{{ dict(__class__=1) | list }}",
    "the same in an attribute of map": "{{ messages | map(attribute='__class__') | list }}",
    "a name of the interpreter": "{{ __import__('os') }}",
    "a private attribute": "{{ messages._data }}",
    "a global's insides": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "another file": "{% include 'x' %}",
    "an import": "{% import 'x' as y %}",
    "an import of names": "{% from 'x' import y %}",
    "a base": "{% extends 'x' %}",
    "no template": "{% for %}",
    "an unknown tag": "{% shell 'id' %}",
    "too large a template": "a" * (LARGEST_TEMPLATE + 1),
    "a number too large": "{{ " + "9" * 5000 + " }}",
    "brackets too deep": "{{ " + "(" * 20_000 + " }}",
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_a_template_that_does_more_is_refused(template: str) -> None:
    findings = check(template)

    assert findings
    assert {(finding.rule, finding.severity) for finding in findings} == {("GL-GGUF-003", "refuse")}
    assert all(str(finding).isprintable() for finding in findings)


def test_a_reason_that_occurs_often_is_given_once() -> None:
    assert len(check("{{ a.__b__ }}" * 1000)) == 1


@pytest.mark.parametrize(
    "part", ["{{", "{#", "{% raw %}", "{{ a", "'", "a.b", "[", "not ", "{% if a %}", "-1"]
)
def test_a_template_made_to_be_slow_is_read_to_its_end(part: str) -> None:
    many = part * (LARGEST_TEMPLATE // len(part) - 10)

    check(many)
    check("{{ " + many + " }}")


@untimed
@given(st.text(alphabet=st.sampled_from("{}%#_a.'\"\\x5f()[]|~ \n19+-"), max_size=200))
def test_no_text_makes_the_check_fail(template: str) -> None:
    assert all(finding.rule == "GL-GGUF-003" for finding in check(template))
