"""Inputs that set all that the SDK lets a program set, made from the SDK's own types.

What azure-native takes is only in its schema and in the classes made from that. A sample of all
of it, converted and held against Azure's definitions, finds a rename that nobody knew of.
"""

from __future__ import annotations

import collections.abc
import enum
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

import pulumi
from pulumi import _types as naming

_PLAIN: dict[Any, Any] = {str: "text", int: 1, float: 0.5, bool: True}


def resource(token: str) -> type:
    """The SDK's class of a Pulumi type such as ``azure-native:storage:StorageAccount``."""
    _, module, name = token.split(":")
    found: type = getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name)
    return found


def version(token: str) -> str:
    """The API version that the SDK's documentation of this type names."""
    match = re.search(r"Uses Azure REST API version ([\w-]+)", inspect.getsource(resource(token)))
    assert match, token
    return match.group(1)


def inputs(token: str) -> list[dict[str, Any]]:
    """Samples of a type's inputs, in which each input and each alternative occurs."""
    owner = resource(token)
    module = sys.modules[owner.__module__]
    args = getattr(module, f"{owner.__name__}InitArgs", None)  # where a nested type has the name
    return samples(args or getattr(module, f"{owner.__name__}Args"))


@cache
def samples(args: type) -> list[dict[str, Any]]:
    """As many samples as the input with the most alternatives has."""
    values = {key: _alternatives(args, key, kind) for key, kind in _kinds(args).items()}
    count = max((len(some) for some in values.values()), default=1)
    return [{key: some[i % len(some)] for key, some in values.items()} for i in range(count)]


def _kinds(args: type) -> dict[str, Any]:
    """The annotation of each input, by its name in Pulumi's schema."""
    # The annotations are names in the module of the class; two are Pulumi's own, for any T.
    where = vars(sys.modules[args.__module__])
    hints = typing.get_type_hints(
        vars(args)["__init__"], where, {"Output": pulumi.Output, "T": Any}
    )
    names = naming.input_type_py_to_pulumi_names(args)
    return {camel: hints[python] for python, camel in names.items()}


def _alternatives(args: type, key: str, kind: Any) -> list[Any]:
    constant = _constant(args, key)
    if constant is not None:
        return [constant]
    kinds = list(_unwrapped(kind))
    told = [one for one in kinds if one is not str] or kinds  # an enum says more than "any text"
    return [value for one in told for value in _values(one)]


def _constant(args: type, key: str) -> str | None:
    """The only value that the documentation allows, as for what tells variants apart."""
    names = {camel: python for python, camel in naming.input_type_py_to_pulumi_names(args).items()}
    documented = inspect.getdoc(getattr(args, names[key]))
    match = re.search(r"Expected value is '([^']*)'", documented or "")
    return match and match.group(1)


def _unwrapped(kind: Any) -> Iterator[Any]:
    """The types that an annotation lets a plain value have."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for one in typing.get_args(kind):
            yield from _unwrapped(one)
    elif origin not in (collections.abc.Awaitable, pulumi.Output) and not _twin(kind):
        yield kind


def _twin(kind: Any) -> bool:
    """Whether it is nothing, or the dictionary that the SDK has beside each class of inputs."""
    return kind is type(None) or (isinstance(kind, type) and issubclass(kind, dict))


def _values(kind: Any) -> list[Any]:
    """Values of a type; one list or object that holds all alternatives, where it holds several."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is collections.abc.Sequence:
        return [_items(inner[0])]
    if origin is collections.abc.Mapping:
        return [{f"key{i}": value for i, value in enumerate(_items(inner[1]))}]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [one.value for one in kind]
    if isinstance(kind, type) and naming.is_input_type(kind):
        return list(samples(kind))
    return [_PLAIN.get(kind, {})]


def _items(kind: Any) -> list[Any]:
    kinds = list(_unwrapped(kind))
    told = [one for one in kinds if one is not str] or kinds
    return [value for one in told for value in _values(one)]
