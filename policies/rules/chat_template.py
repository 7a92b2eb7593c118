"""A model file's chat template is a program: engines run it on each request.

Engines that render it with an unsandboxed Jinja have run an attacker's Python this way
(CVE-2024-34359 in llama-cpp-python, CVE-2026-5760 in SGLang). The template is parsed, never
rendered, and refused for what a chat template has no need of: names and strings with a double
underscore (after escapes such as ``\\x5f`` are decoded), attributes that begin with one, the
``attr`` filter, and tags that load other files.

It finds what is plain. A string put together at run time passes, so this does not replace a
sandbox: serve with an engine that has one, or whose template engine is not Python.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from jinja2 import Environment, TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser

from policies.rules.findings import Finding, shown

LARGEST_TEMPLATE = 64 * 1024
"""Characters. Long published ones have some 20,000."""


class _Generation(Extension):
    """The block that training tools mark an answer with; its body is all that matters here."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it as a mutable class attribute

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def check_chat_template(template: str, *, file: str, key: str) -> tuple[Finding, ...]:
    """Hold the ``template`` that ``file`` has under ``key`` against what one may do."""
    if len(template) > LARGEST_TEMPLATE:
        expected = f"a chat template of at most {LARGEST_TEMPLATE} characters"
        return (_refused(file, key, expected, str(len(template))),)
    try:
        tree = _parsed(template)
    except (TemplateError, RecursionError, ValueError, OverflowError) as error:
        return (_refused(file, key, "a Jinja template", f"none ({shown(str(error))})"),)
    reasons = dict.fromkeys(reason for node in _all(tree) for reason in _reasons(node))
    return tuple(
        _refused(file, key, "a template that only reads messages", reason) for reason in reasons
    )


def _parsed(template: str) -> nodes.Template:
    # Nothing here becomes a web page, and nothing is rendered: autoescape has no say.
    environment = Environment(extensions=["jinja2.ext.loopcontrols", _Generation])  # noqa: S701
    with warnings.catch_warnings():  # an unknown escape in a string is the template's affair
        warnings.simplefilter("ignore")
        return environment.parse(template)


def _all(tree: nodes.Node) -> Iterator[nodes.Node]:
    """Every node below ``tree``. No recursion: its depth is the attacker's choice."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        waiting.extend(node.iter_child_nodes())
        yield node


def _reasons(node: nodes.Node) -> Iterator[str]:
    """What is wrong with one node; never quotes more of it than an identifier."""
    match node:
        case nodes.Getattr(attr=name) if name.startswith("_"):
            yield f"the private attribute {shown(name)} on line {node.lineno}"
        case nodes.Name(name=name) | nodes.Keyword(key=name) if "__" in name:
            yield f"the name {shown(name)} on line {node.lineno}"
        case nodes.Const(value=str(text)) if "__" in text:
            yield f"a string with a double underscore on line {node.lineno}"
        case nodes.Filter(name="attr"):
            yield f"the filter 'attr' on line {node.lineno}"
        case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
            yield f"a tag that loads another template on line {node.lineno}"


def _refused(file: str, key: str, expected: str, found: str) -> Finding:
    return Finding(
        rule="GL-GGUF-003",
        file=file,
        expected=f"{expected} under {shown(key)}",
        found=found,
        remedy="Take the model from a source you trust, or rewrite the file with a plain template",
    )
