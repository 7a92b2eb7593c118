"""What was typed for the engine by hand: which command, and what that command may do.

Pulumi finds its command behind options. A command that is taken for another changes what nobody
holds, so what is read here has to be what Pulumi reads: of the options only those that are known
may stand before the command, and a command that is not known may change something.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.stack_settings import STACK
from release.errors import BadInput, Problem

_LONG = {
    "-C": "--cwd", "-Q": "--fully-qualify-stack-names", "-d": "--debug", "-e": "--emoji",
    "-f": "--skip-preview", "-h": "--help", "-j": "--json", "-m": "--message", "-p": "--parallel",
    "-r": "--refresh", "-s": "--stack", "-v": "--verbose", "-y": "--yes",
}  # fmt: skip
_GLOBAL_FLAGS = frozenset(
    ["--disable-integrity-checking", "--emoji", "--fully-qualify-stack-names", "--help",
     "--logflow", "--logtostderr", "--non-interactive", "--version"]
)  # fmt: skip
_BEFORE_WITH_VALUE = frozenset(
    ["--color", "--config-file", "--cwd", "--memprofilerate", "--otel-traces", "--profiling",
     "--stack", "--tracing", "--verbose"]
)  # fmt: skip
_WITH_VALUE = _BEFORE_WITH_VALUE | {"--message", "--parallel"}
_PLAIN = (_WITH_VALUE | _GLOBAL_FLAGS | frozenset(
    ["--debug", "--diff", "--json", "--refresh", "--skip-preview", "--suppress-outputs",
     "--suppress-progress", "--yes"]
)) - {"--config-file", "--cwd", "--help", "--version"}  # fmt: skip
"""Options that leave whole what ``up`` and ``destroy`` do. One that is missing here costs one more
run of the engine; one that is here wrongly hides a change."""

UP = frozenset(["up", "update"])
DOWN = frozenset(["destroy", "down", "dn"])
_RUNS_THE_PROGRAM = UP | {"preview", "pre", "watch"}
_TAKES_SETTINGS = _RUNS_THE_PROGRAM | DOWN | {"config", "import", "logs", "refresh"}
"""The commands that have ``--config-file``; given none, they write into the checkout's."""

_LOOKS = frozenset(
    ["about", "config", "help", "logs", "plugin", "pre", "preview", "schema", "version", "whoami"]
)
_STACK_LOOKS = frozenset(["export", "graph", "hist", "history", "list", "ls", "output"])
_STACK_REFUSED = frozenset(
    ["change-secrets-provider", "create", "delete", "init", "migrate", "new", "remove", "rename",
     "rm", "select", "setup"]
)  # fmt: skip
_STACK_NAMES = (STACK, f"organization/greenlight/{STACK}")


@dataclass(frozen=True)
class Typed:
    """A command line of Pulumi's: its words, and its options by their long names with values."""

    words: tuple[str, ...]
    options: tuple[tuple[str, str], ...]

    @property
    def verb(self) -> str:
        """The command, or nothing."""
        return self.words[0] if self.words else ""

    @property
    def runs_the_program(self) -> bool:
        """Whether the program, and so ``llm.yaml``, is read."""
        return self.verb in _RUNS_THE_PROGRAM and not self._asks_for_help

    @property
    def takes_settings(self) -> bool:
        """Whether the command has to be told which settings are the stack's."""
        return self.verb in _TAKES_SETTINGS

    @property
    def plain(self) -> bool:
        """Whether nothing was said that makes an ``up`` or ``destroy`` other than whole."""
        return len(self.words) == 1 and self._names <= _PLAIN

    @property
    def only_looks(self) -> bool:
        """Whether the command is known to change nothing."""
        if not self.words or self._asks_for_help:
            return True
        if self.verb == "stack":
            return len(self.words) == 1 or self.words[1] in _STACK_LOOKS
        return self.verb in _LOOKS

    @property
    def _names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.options)

    @property
    def _asks_for_help(self) -> bool:
        return "--help" in self._names and self._names - {"--help"} <= _PLAIN

    def refuse(self) -> None:
        """BadInput for what cannot be done here: other stacks, settings that would be lost."""
        if not self.words and not self._names <= {"--help", "--version"}:
            raise _refused("pulumi", "a command", "options alone", "Say what shall be done.")
        if self._asks_for_help:
            return
        for name, value in self.options:
            if name == "--stack" and value not in _STACK_NAMES:
                remedy = "Each application has one stack: choose it by --app."
                raise _refused("--stack", STACK, repr(value), remedy)
            if name == "--config-file":
                raise _refused(name, "the stack's own settings", repr(value), _EDIT)
        self._refuse_words()

    def _refuse_words(self) -> None:
        first, second = (*self.words, "", "")[:2]
        path = f"{first} {second}".strip()
        if first == "config" and second not in ("", "get", "env"):
            raise _refused(path, "a change of the file itself", "", _EDIT)
        if first == "new" or (first == "stack" and second in _STACK_REFUSED):
            remedy = f"The stack {STACK} is made and chosen at need; `greenlight destroy` ends it."
            raise _refused(path, "the application's one stack", "", remedy)
        if first in DOWN and "--remove" in self._names:
            remedy = "Leave --remove out: the emptied stack is removed, the settings stay."
            raise _refused("--remove", "the checkout's settings kept", "", remedy)


_EDIT = f"Edit infra/stacks/Pulumi.{STACK}.yaml: it is read at every run."


def parse_typed(arguments: Sequence[str]) -> Typed:
    """Read ``arguments``. BadInput for an option before the command that is not known."""
    words: list[str] = []
    options: list[tuple[str, str]] = []
    rest = iter(arguments)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            words.append(word)
            continue
        found = list(_options(word, rest))
        if not words:
            _refuse_unknown(found)
        options += found
    return Typed(tuple(words), tuple(options))


def _options(word: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    """The options in ``word``, by long name; a value that stands alone is taken from ``rest``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        yield name, value if equals or name not in _WITH_VALUE else next(rest, "")
        return
    for place, letter in enumerate(word[1:], 2):
        name = _LONG.get(f"-{letter}", f"-{letter}")
        if name in _WITH_VALUE:
            yield name, word[place:].removeprefix("=") or next(rest, "")
            return
        yield name, ""


def _refuse_unknown(options: Sequence[tuple[str, str]]) -> None:
    for name, _ in options:
        if name not in _GLOBAL_FLAGS | _BEFORE_WITH_VALUE:
            remedy = "Write the command first, then its options."
            raise _refused("pulumi", "a command", name, remedy)


def _refused(path: str, expected: str, found: str, remedy: str) -> BadInput:
    return BadInput(Problem(path=path, expected=expected, found=found, remedy=remedy))
