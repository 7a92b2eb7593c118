"""What pydantic has against a document, in the words of somebody who writes YAML.

Each complaint says file, line, path, what was expected, what was found and what to do; a key
that is not known comes with the one that was probably meant.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from release.documents import Document, Key, dotted
from release.errors import Problem

_PREAMBLE = re.compile(r"^(?:Value error, )?(?:Input |String )?(?:must |should )?(?:be )?")
_LOOK_IT_UP = "`greenlight schema` says what each key takes."
_PLACED = "placed"


def complaints(
    document: Document,
    root: type[BaseModel],
    error: ValidationError,
    look_it_up: str = _LOOK_IT_UP,
) -> tuple[Problem, ...]:
    """``error``, raised when ``document`` was read as ``root``, as problems; each mistake once.

    ``look_it_up`` is what to do where the mistake itself does not tell.
    """
    errors = [_without_unions(one) for one in error.errors()]
    blamed = [one for one in errors if not _follows_from_another(one, errors, root)]
    found = (_problem(document, root, one) for one in blamed)
    told = (one if one.remedy else replace(one, remedy=look_it_up) for one in found)
    return tuple({str(one): one for one in told}.values())


def placed(expected: str, found: Any, *path: Key) -> PydanticCustomError:
    """What a check across several keys raises, so that the very key is blamed.

    ``path`` leads to it from the section that is checked, in the words of the file.
    """
    return PydanticCustomError(
        _PLACED, "{expected}", {"expected": expected, "found": found, "path": path}
    )


def _without_unions(error: Any) -> Any:
    """``error`` as if each key had one shape: what picks a section's shape is a key as well."""
    kind = error["type"]
    if not kind.startswith("union_tag"):
        return error
    ctx = error["ctx"]
    at = {**error, "loc": (*error["loc"], ctx["discriminator"].strip("'"))}
    if kind == "union_tag_not_found":
        return {**at, "type": "missing"}
    words = ctx["expected_tags"]
    said = " or ".join(words.rsplit(", ", 1))
    return {**at, "type": "literal_error", "input": ctx["tag"], "msg": f"Input should be {said}",
            "ctx": {"expected": words}}  # fmt: skip


def _problem(document: Document, root: type[BaseModel], error: Any) -> Problem:
    path = _path_in(document.value, error["loc"])
    value = error["input"]
    if error["type"] == _PLACED:
        path, value = (*path, *error["ctx"]["path"]), error["ctx"]["found"]
    missing = error["type"] == "missing"
    found = {
        "missing": "nothing",
        "extra_forbidden": repr(path[-1]) if path else "",
        "withheld": "something else, not shown because it may hold a secret",
    }
    file, line = document.place(path[:-1] if missing else path)
    return Problem(
        file=file,
        line=line,
        path=dotted(path),
        expected=_expected(error),
        found=found.get(error["type"]) or _shown(value),
        remedy=_remedy(error, path, root, document.value),
    )


_EXPECTED = {
    "missing": "a value",
    "extra_forbidden": "a known key",
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "at least {min_length} character",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text like {pattern}",
}


def _expected(error: Any) -> str:
    """What pydantic expected, in the words of somebody who writes YAML."""
    text = _EXPECTED.get(error["type"])
    return text.format(**error.get("ctx", {})) if text else _PREAMBLE.sub("", error["msg"])


def _remedy(error: Any, path: tuple[Key, ...], root: type[BaseModel], whole: Any) -> str:
    """What to do; empty where only the documentation tells."""
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return f"Add {path[-1]}."
    if kind == "extra_forbidden":
        known = _known_keys(root, path[:-1], whole)
        return _hint(str(path[-1]), known) or f"Known keys here: {', '.join(known)}."
    if kind == "literal_error":
        return _hint(str(value), re.findall("'(.*?)'", error["ctx"]["expected"]))
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "Put it in quotes."
    if kind in ("int_type", "float_type") and isinstance(value, str | float):
        return "Write it in decimal digits, without quotes."
    if kind in ("model_type", "dict_type") and value is None:
        return "Write keys below it, or {} for the defaults."
    return ""


def _follows_from_another(error: Any, errors: list[Any], root: type[BaseModel]) -> bool:
    """One mistake, one complaint.

    A list is "too short" when its only item is wrong, and a key is missing when it is misspelt.
    """
    kind, path = error["type"], error["loc"]
    if kind == "too_short":
        return any(one["loc"][: len(path)] == path != one["loc"] for one in errors)
    if kind == "missing":
        unknown = (one["loc"] for one in errors if one["type"] == "extra_forbidden")
        beside = (str(one[-1]) for one in unknown if one[:-1] == path[:-1])
        return any(_closest(word, _known_keys(root, path[:-1])) == path[-1] for word in beside)
    return False


def _shown(value: Any) -> str:
    """Enough of a value to recognise it, never a page of it."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _path_in(value: Any, location: tuple[Key, ...]) -> tuple[Key, ...]:
    """``location`` without pydantic's own marks, such as ``[key]`` for a mapping's key."""
    path: list[Key] = []
    location = tuple(key for key in location if key != "[key]")
    for i, key in enumerate(location):
        if isinstance(value, dict) and (key in value or i == len(location) - 1):
            value = value.get(key) if isinstance(key, str) else None
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            continue
        path.append(key)
    return tuple(path)


def _hint(word: str, known: Sequence[str]) -> str:
    close = _closest(word, known)
    return f"Did you mean {close!r}?" if close else ""


def _closest(word: str, known: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")


def _known_keys(root: type[BaseModel], path: tuple[Key, ...], value: Any = None) -> tuple[str, ...]:
    """Of the section at ``path``; where it can have more than one shape, of the one that fits what
    ``value`` has there.
    """
    annotation: Any = root
    for key in path:
        annotation = _step_into(annotation, key)
        value = _inside(value, key)
    shapes = tuple(_sections(annotation))
    section = next((one for one in shapes if _fits(one, value)), next(iter(shapes), None))
    return tuple(_keys(section)) if section else ()


def _inside(value: Any, key: Key) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    return value[key] if isinstance(value, list) and isinstance(key, int) else None


def _fits(section: type[BaseModel], value: Any) -> bool:
    """Whether what picks a shape, a key with few words to choose from, picks this one."""
    given = value if isinstance(value, dict) else {}
    choices = {key: get_args(one) for key, one in _keys(section).items()
               if get_origin(one) is Literal and key in given}  # fmt: skip
    return all(given[key] in words for key, words in choices.items())


def _keys(section: type[BaseModel]) -> dict[str, Any]:
    """What stands behind each key, under the name that the file gives it."""
    return {f.alias or name: f.annotation for name, f in section.model_fields.items()}


def _step_into(annotation: Any, key: Key) -> Any:
    """The annotation behind ``key`` of a section; of a list or a mapping, that of its items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _keys(annotation).get(str(key))
    return next(_sections(annotation), None)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections that an annotation can hold, through tuples, mappings, unions and marks."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
