"""``greenlight``: arguments in, one call, text or JSON out.

A command's module is imported when that command is run, and none for ``--help``: asking what
there is must not wait for what it needs.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from release.errors import BAD_INPUT, FAILED, BadInput, GreenlightError, Interrupted, Problem

COMMANDS = {
    "ship": "build, check, provision, stage, evaluate and promote a release: all of it",
    "build": "print the release that an application describes, with its digest",
    "comply": "check licence, model card, file formats and personal data; nothing is loaded",
    "render": "write an environment's Kubernetes objects, one file each; nothing is applied",
    "diff": "show what bringing a release to a cluster would change there; nothing is applied",
    "check": "policies over what a repository holds: templates, manifests, workflows",
    "evaluate": "bring a release to the first environment and evaluate it there",
    "promote": "bring an evaluated release to a later environment",
    "rollback": "bring an environment back to the release before, at once",
    "pause": "hold a rollout's weights as they are; they go on being judged",
    "resume": "let a rollout go on that was paused",
    "approve": "say yes where a rollout asks for it, signed with your own key",
    "status": "show what is live where, what is on its way and who is at work",
    "history": "show the ledger: all that happened to an application",
    "report": "write what happened as one HTML page with charts, verdicts and reasons",
    "verify": "recompute ledger, evidence and blobs, and refuse what was changed",
    "destroy": "remove every environment; ledger, evidence and keys stay",
    "pulumi": "run the Pulumi engine by hand, with backend and passphrase set",
    "preview": "plan a stack without credentials: findings and capacity before it runs",
    "schema": "print the JSON Schema of llm.yaml for editors",
    "doctor": "say what was found, where, and what is missing",
    "test": "lint, type-check and test Greenlight itself",
}

EXIT_CODES = (
    "exit codes: 0 done or nothing to do, 2 wrong use or bad input, 3 refused by a gate, "
    "4 inconclusive or waiting, 5 rolled back, 130 interrupted, 1 anything else"
)
DEBUG = "GREENLIGHT_DEBUG"
"""Set to 1, this variable shows the traceback of a fault of our own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else BAD_INPUT
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"greenlight {version('greenlight')}")
        return 0
    try:
        return _run(words[0], words[1:])
    except BrokenPipeError:  # nobody reads any more
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        told = _told(error)
        _tell(told, "--json" in words)  # also where the mistake is among the arguments
        return told.exit_code


def _run(name: str, words: Sequence[str]) -> int:
    if name not in COMMANDS:
        raise BadInput(Problem("a command", repr(name), _suggestion(name)))
    command = importlib.import_module(f"cli.{name}")
    return int(command.run(_parse(name, command, words)))


class _Parser(argparse.ArgumentParser):
    """argparse, whose errors end as every other bad input does: usage first, then the reason."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        remedy, name = f"`{self.prog} --help` explains them.", self.prog.split()[-1]
        raise BadInput(
            Problem("arguments as in its usage", f"a mistake: {message}", remedy, path=name)
        )


def _parse(name: str, command: ModuleType, words: Sequence[str]) -> argparse.Namespace:
    """The command's arguments. One that ``PASSES_ON`` what it does not know gets it in order,
    help for what stands behind it included.
    """
    passes_on = getattr(command, "PASSES_ON", False)
    parser = _Parser(
        prog=f"greenlight {name}",
        description=COMMANDS[name],
        epilog=EXIT_CODES,
        usage=f"greenlight {name} [OPTIONS] ARGS…" if passes_on else None,
        allow_abbrev=False,  # a script goes on meaning the same when an option is added
        add_help=not passes_on or words[:1] in (["-h"], ["--help"]),
    )
    command.add_arguments(parser)
    if not passes_on:
        return parser.parse_args(words)
    arguments, passed_on = parser.parse_known_args(words)
    arguments.passed_on = passed_on
    return arguments


def _told(error: BaseException) -> GreenlightError:
    """``error`` as a way for a command to end, with something to say."""
    if isinstance(error, GreenlightError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted; run the same command again, it goes on from here")
    if isinstance(error, OSError):  # the disk is full, a folder is not ours
        return GreenlightError(f"{error}. Nothing more was done; run the command again.")
    if os.environ.get(DEBUG) == "1":
        traceback.print_exception(error)
    return GreenlightError(
        f"a fault of Greenlight's own, {type(error).__name__}: {' '.join(str(error).split())}. "
        f"Please report it where your copy comes from, with what {DEBUG}=1 shows."
    )


def _tell(error: GreenlightError, as_json: bool) -> None:
    print(f"greenlight: {error}", file=sys.stderr)
    if as_json:
        document = {
            "exit_code": error.exit_code,
            "error": type(error).__name__,
            "message": str(error),
        }
        reasons = getattr(error, "reasons", None)
        print(json.dumps(document | ({"reasons": list(reasons)} if reasons else {})))


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    head = "usage: greenlight COMMAND [ARGUMENTS]\n\nFrom a commit to production, on proof.\n"
    tail = "`greenlight COMMAND --help` says more about one of them.\n" + EXIT_CODES
    return "\n".join([head, "commands:", *lines, "", tail])


def _suggestion(word: str) -> str:
    close = difflib.get_close_matches(word, COMMANDS, n=1)
    return f"Did you mean {close[0]!r}?" if close else "`greenlight --help` lists them."


if __name__ == "__main__":
    sys.exit(main())
