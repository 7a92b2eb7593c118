"""What was provisioned last: with which spec, and with what behind it.

What runs goes on running under the name and the environments that it was given, whatever
``llm.yaml`` says by now. So a return, a look and a removal can go by this record when that file
cannot be read, and a change that would orphan what runs is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from release.documents import Key, dotted
from release.errors import BadInput, Problem
from release.files import read_json, write_json
from release.sections import RECORDED
from release.spec import Spec, locate
from release.state import StateFolder


@dataclass(frozen=True)
class Provisioned:
    """The spec that the engine ran with, and the fingerprint of all that it looked at: empty when
    that run has not ended well.
    """

    fingerprint: str
    spec: Spec


class UnreadableRecordError(BadInput):
    """Something was provisioned, and what is not known."""


def read_provisioned(state: StateFolder) -> Provisioned | None:
    """The record, or None where there is none: nothing is known to be provisioned.

    UnreadableRecordError for one that nobody can read: what runs is then unknown, not nothing. What
    ``llm.yaml`` could say when it was written is read, whatever is refused in that file since.
    """
    try:
        record = read_json(_file(state))
        spec = Spec.model_validate_json(record["spec"], context=RECORDED)
        return Provisioned(record["fingerprint"], spec)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:  # what it says may show a secret; where, may not
        raise _unreadable(state, *(dotted(one["loc"]) for one in error.errors())) from None
    except (BadInput, KeyError, TypeError):
        raise _unreadable(state) from None


def _unreadable(state: StateFolder, *wrong: str) -> UnreadableRecordError:
    keys = ", ".join(filter(None, wrong))
    return UnreadableRecordError(
        Problem(
            file=str(_file(state)),
            expected="the record of what was last provisioned",
            found="one that cannot be read" + (f": {keys}" if keys else ""),
            remedy="Put it back from a copy. Where there is none, make sure that llm.yaml names "
            "every environment that runs, and delete the record: `greenlight ship` writes it anew.",
        )
    )


def write_provisioned(state: StateFolder, fingerprint: str, spec: Spec) -> None:
    """Record a run of the engine: before it with an empty ``fingerprint``, after a good one.

    The spec is kept as text: its environments have an order.
    """
    _file(state).parent.mkdir(parents=True, exist_ok=True)
    text = spec.model_dump_json(by_alias=True)
    write_json(_file(state), {"fingerprint": fingerprint, "spec": text})


def refuse_orphans(spec: Spec, app: Path, changes: tuple[Path, ...]) -> None:
    """BadInput when ``spec`` no longer names what runs: it would serve on, unknown to all."""
    last = read_provisioned(StateFolder(app))
    if last is None:
        return
    gone = [name for name in last.spec.environments if name not in spec.environments]
    if last.spec.name != spec.name:
        raise _orphaned(app, changes, ("name",), last.spec.name, repr(spec.name))
    if gone:
        raise _orphaned(
            app, changes, ("environments",), ", ".join(gone), ", ".join(spec.environments)
        )
    for name, before in last.spec.environments.items():
        now = spec.environments[name].target
        if now != before.target:
            path = ("environments", name, "target")
            raise _orphaned(app, changes, path, f"{before.target} (`--target`)", now)


def _orphaned(
    app: Path, changes: tuple[Path, ...], path: tuple[Key, ...], runs: str, found: str
) -> BadInput:
    file, line = locate(app, changes, path)
    return BadInput(
        Problem(
            file=file,
            line=line,
            path=".".join(map(str, path)),
            expected=f"{runs}, which runs",
            found=found,
            remedy="Keep it, or `greenlight destroy` the application before it is taken out: "
            "what serves users is not removed in passing.",
        )
    )


def _file(state: StateFolder) -> Path:
    return state.work / "provisioned.json"
