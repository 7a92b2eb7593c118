"""A caller's request and the release's prompt → what the engine is asked. Pure.

The release owns the system prompt and the sampling; the caller brings a question, the
declared inputs, and the conversation so far. What the caller writes is data: it is put
into templates, never read as one, and cannot leave its place in the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from release.errors import BadInput, Problem
from serving.application.errors import RequestError, invalid
from serving.application.requests import Asked

QUERY = "query"
ROLES = ("system", "user", "assistant")
PARAMETERS = ("temperature", "top_p", "max_tokens", "seed", "stop")
"""What a release may set. Anything else would reach the engine and mean nothing there."""

Neutralise = Callable[[str], str]
Message = dict[str, str]

_JINJA = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined,
    autoescape=False,  # prompts are plain text: escaping would change them
)


@dataclass(frozen=True)
class Prompt:
    """What a release serves, ready to use. ``inputs`` says of each whether it is required."""

    application: str
    label: str
    inputs: Mapping[str, bool]
    messages: Sequence[tuple[str, jinja2.Template]]
    parameters: Mapping[str, Any]
    neutralise: Neutralise


def _problem(path: str, expected: str, found: object = "") -> BadInput:
    text = str(found)[:120]
    return BadInput(Problem(expected, text, "Build the release again.", path=path))


def _inputs(declared: Any) -> dict[str, bool]:
    """Names, all required; or names with what is known of them."""
    if isinstance(declared, list | tuple):
        declared = {name: {} for name in declared}
    if not isinstance(declared, dict) or QUERY not in declared:
        raise _problem("prompt.inputs", f"inputs, {QUERY} among them", declared)
    return {name: bool((rule or {}).get("required", True)) for name, rule in declared.items()}


def _template(place: str, text: str, inputs: Mapping[str, bool]) -> jinja2.Template:
    try:
        used = meta.find_undeclared_variables(_JINJA.parse(text))
        template = _JINJA.from_string(text)
    except jinja2.TemplateError as error:
        raise _problem(place, "a Jinja2 template", error) from error
    if unknown := sorted(used - inputs.keys()):
        raise _problem(place, "only declared inputs", ", ".join(unknown))
    return template


def load(bundle: Mapping[str, Any], label: str, neutralise: Neutralise) -> Prompt:
    """The prompt of a release's bundle. BadInput, with its path, where it cannot be served."""
    try:
        prompt, parameters = bundle["prompt"], dict(bundle["parameters"])
        inputs = _inputs(prompt["inputs"])
        pairs = [(one["role"], one["template"]) for one in prompt["messages"]]
        application = str(bundle["application"])
    except (KeyError, TypeError, ValueError) as error:
        expected = "application, prompt (inputs, messages with role and template), parameters"
        raise _problem("bundle", expected, repr(error)) from error
    if not pairs or pairs[-1][0] != "user" or {role for role, _ in pairs} - set(ROLES):
        expected = f"messages with the roles {', '.join(ROLES)}, the last from the user"
        raise _problem("prompt.messages", expected, [role for role, _ in pairs])
    if unknown := sorted(parameters.keys() - set(PARAMETERS)):
        raise _problem("parameters", f"only {', '.join(PARAMETERS)}", ", ".join(unknown))
    messages = [
        (role, _template(f"prompt.messages[{place}]", text, inputs))
        for place, (role, text) in enumerate(pairs)
    ]
    return Prompt(application, label, inputs, messages, parameters, neutralise)


def _values(asked: Asked, prompt: Prompt) -> dict[str, str]:
    """Each declared input's value. Optional ones that are missing are empty."""
    for name in asked.inputs:
        if name == QUERY:
            raise invalid("query is the last message: leave it out of inputs", "inputs.query")
        if name not in prompt.inputs:
            known = ", ".join(sorted(prompt.inputs.keys() - {QUERY})) or "none"
            raise invalid(
                f"{name!r} is not an input of {prompt.application}. Its inputs: {known}.",
                f"inputs.{name}",
                "unknown_input",
            )
    given = {**asked.inputs, QUERY: asked.query}
    for name, required in prompt.inputs.items():
        if required and name not in given:
            raise invalid(
                f"{prompt.application} needs the input {name!r}: send it as inputs.{name}.",
                f"inputs.{name}",
                "missing_input",
            )
    return {name: given.get(name, "") for name in prompt.inputs}


def _fill(prompt: Prompt, place: int, values: Mapping[str, str]) -> Message:
    role, template = prompt.messages[place]
    try:
        content = template.render(values)
    except Exception as error:  # a template may divide by zero, index a list, ...
        raise RequestError(
            500,
            f"The release's prompt.messages[{place}] fails: {type(error).__name__}.",
            code="prompt_failed",
        ) from error
    return _message(prompt, role, content)


def _message(prompt: Prompt, role: str, content: str) -> Message:
    try:
        return {"role": role, "content": prompt.neutralise(content)}
    except ValueError as error:
        raise invalid("The text imitates the model's control tokens.", "messages") from error


def messages(asked: Asked, prompt: Prompt) -> list[Message]:
    """The release's messages around the conversation so far; the question comes last."""
    values = _values(asked, prompt)
    before = [_fill(prompt, place, values) for place in range(len(prompt.messages) - 1)]
    history = [_message(prompt, role, content) for role, content in asked.history]
    return [*before, *history, _fill(prompt, len(prompt.messages) - 1, values)]


def _tokens(asked: Asked, prompt: Prompt) -> dict[str, int]:
    limits = [asked.max_tokens, prompt.parameters.get("max_tokens")]
    known = [limit for limit in limits if limit is not None]
    return {"max_tokens": min(known)} if known else {}


def render(asked: Asked, prompt: Prompt) -> dict[str, Any]:
    """The engine's request. RequestError for what the release does not take.

    Always streaming, with usage: llama.cpp notices at once when a stream's reader is gone,
    but may compute a plain answer to its end for nobody.
    """
    if asked.model not in (None, prompt.application, prompt.label):
        message = f"There is no model of that name here: ask for {prompt.application!r}."
        raise RequestError(404, message, code="model_not_found", param="model")
    stop = [*prompt.parameters.get("stop", ()), *asked.stop]
    return {
        **prompt.parameters,
        **_tokens(asked, prompt),
        **({"stop": stop} if stop else {}),
        "messages": messages(asked, prompt),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
