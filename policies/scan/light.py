"""Import checkov without what the scans here never touch.

checkov's ``arm`` package imports a constant from its ``terraform`` package, whose ``__init__``
loads every Terraform check; and modules for vendor services and for other formats come along.
While checkov is imported, ``terraform`` is a package whose ``__init__`` is not run, and the
libraries in ``LEFT_OUT`` are stand-ins: classes that may be named, inherited from and tested
against, and that raise ``LeftOutError`` when anything else is done with them. It is no
``Exception``, so checkov's own handlers cannot turn it into a pass; whoever catches it scans
again with the whole of checkov.

Nothing of this outlives the import: afterwards every name leads to the real library again.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.metadata import version
from types import ModuleType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

VERIFIED = "3.3.30"
"""The version whose findings were compared with and without; any other is imported whole."""

LEFT_OUT = frozenset(
    {"aiohttp", "boto3", "botocore", "detect_secrets", "docker", "hcl2", "lark", "networkx"}
    | {"prettytable", "pydantic", "requests", "tabulate", "tqdm", "wcwidth"}
)
"""For HCL, vendor services, images, secrets, tables and progress bars; graphs are rustworkx's."""

BARE = "checkov.terraform"
DECORATORS = frozenset({"model_serializer"})
"""What checkov calls while it is imported: a decorator of pydantic's."""

RUNNERS = ("checkov.arm.runner", "checkov.kubernetes.runner", "checkov.github_actions.runner")
SETTINGS = ("CHECKOV_", "CKV_", "BC_", "PRISMA_", "LOG_LEVEL")
"""Variables that change what checkov does, against which no cache and no colleague could hold."""


class LeftOutError(BaseException):
    """checkov did use a library that was thought to be of no use to it."""


class _StandIn(type):
    """The type of every name that a library left out seems to have."""

    def __call__(cls, *_: Any, **__: Any) -> Any:
        if cls.__name__ in DECORATORS:
            return type.__call__(cls)
        return _used(cls.__module__, cls.__name__)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _used(cls.__module__, f"{cls.__name__}.{name}")


def _used(module: str, name: str) -> NoReturn:
    raise LeftOutError(f"{module}.{name}")


class _StandInModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        # An exception, so that `except` takes it as well as `isinstance`.
        made = _StandIn(name, (Exception,), {"__module__": self.__name__})
        setattr(self, name, made)
        return made


class _StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandInModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


class _BareLoader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        """The folder's modules can be imported; its own ``__init__`` is not run."""


class _Finder(MetaPathFinder):
    def __init__(self) -> None:
        # A library that somebody has loaded already may load more of itself at any time.
        self.left_out = LEFT_OUT - sys.modules.keys()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self.left_out:
            return ModuleSpec(fullname, _StandInLoader(), is_package=True)
        if fullname != BARE:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            return None
        spec.loader = _BareLoader(fullname, spec.origin)
        return spec


def run_with_checkov(work: Callable[[], T]) -> T:
    """What ``work`` returns, which may use the ``RUNNERS``; with all of checkov if need be.

    ``work`` may then run twice. Variables in the environment do not reach checkov.
    """
    with _own_settings():
        if version("checkov") == VERIFIED:
            try:
                _import_lightly()
                return work()
            except LeftOutError:
                forget()
        _import_runners()
        return work()


def forget() -> None:
    """Drop checkov from this process; the next import is its first."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "checkov"]:
        del sys.modules[name]


def _import_runners() -> None:
    collecting = gc.isenabled()
    gc.disable()  # thousands of functions and classes, and none of them garbage
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of checkov's own code, as its command does
            for name in RUNNERS:
                importlib.import_module(name)
    finally:
        if collecting:
            gc.enable()


def _import_lightly() -> None:
    if BARE in sys.modules:
        return _import_runners()
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        _import_runners()
    finally:
        sys.meta_path.remove(finder)
        _put_back()
    return None


def _put_back() -> None:
    """Let the names of what was left out lead to the real libraries again."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, _StandInModule):
            del sys.modules[name]
    if isinstance(getattr(sys.modules.get(BARE), "__loader__", None), _BareLoader):
        del sys.modules[BARE]
        with contextlib.suppress(AttributeError):
            del sys.modules["checkov"].terraform


@contextlib.contextmanager
def _own_settings() -> Iterator[None]:
    """checkov by its defaults, and in this process: what a forked child logs is lost."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(SETTINGS):
            del os.environ[name]
    os.environ["CHECKOV_PARALLELIZATION_TYPE"] = "none"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
