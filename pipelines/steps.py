"""The steps that a plan is made of. A step is a value; ``pipelines.apply`` is where it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from release.bundle import label


@dataclass(frozen=True, kw_only=True)
class Step:
    """What every step has: a reason, and of its kind a name, and what docs/steps.md says of it:
    what it ``changes``, how it is done ``again`` after a kill, how it is ``undone``.
    """

    kind: ClassVar[str]
    changes: ClassVar[str]
    again: ClassVar[str]
    undone: ClassVar[str]
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The step as the ledger and ``--json`` show it."""
        return {"step": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class Comply(Step):
    """Check licence, formats, model card and personal data of the candidate."""

    kind: ClassVar[str] = "comply"
    changes: ClassVar[str] = "evidence in the ledger"
    again: ClassVar[str] = "rules are asked again; new evidence replaces nothing"
    undone: ClassVar[str] = "nothing to undo: it moves nothing"
    release: str


@dataclass(frozen=True, kw_only=True)
class Provision(Step):
    """Run ``pulumi up`` for all environments of the application."""

    kind: ClassVar[str] = "provision"
    changes: ClassVar[str] = "gateways, supervisors, keys: what the Pulumi program declares"
    again: ClassVar[str] = "the engine compares, and changes what differs"
    undone: ClassVar[str] = "`greenlight destroy`"
    environments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SlotStep(Step):
    """A step on one slot of an environment; ``release`` is what the slot holds or will hold."""

    environment: str
    slot: str
    release: str


@dataclass(frozen=True, kw_only=True)
class Deploy(SlotStep):
    """Start the release in the slot, without traffic, and wait until it is ready."""

    kind: ClassVar[str] = "deploy"
    changes: ClassVar[str] = "what the slot runs; no traffic"
    again: ClassVar[str] = "the same declaration again; returns when it is ready"
    undone: ClassVar[str] = "the slot is retired"
    scale: int | None = None
    whole: bool = True


@dataclass(frozen=True, kw_only=True)
class Grow(SlotStep):
    """Give a slot that was started smaller the rest of its pods; without room, wait for it."""

    kind: ClassVar[str] = "grow"
    changes: ClassVar[str] = "how many pods the slot has; weights stay"
    again: ClassVar[str] = "the same declaration again; returns when all are ready"
    undone: ClassVar[str] = "the slot is retired"


@dataclass(frozen=True, kw_only=True)
class Smoke(SlotStep):
    """Ask the slot one real question, pinned, and hold the answer against the schema."""

    kind: ClassVar[str] = "smoke-test"
    changes: ClassVar[str] = "nothing; one synthetic request"
    again: ClassVar[str] = "asked again"
    undone: ClassVar[str] = "nothing to undo"


@dataclass(frozen=True, kw_only=True)
class Evaluate(SlotStep):
    """Ask all cases; time candidate and incumbent in turn; sign what was measured."""

    kind: ClassVar[str] = "evaluate"
    changes: ClassVar[str] = "evidence, answers kept on disk"
    again: ClassVar[str] = "answers on disk are not asked again; latency is measured anew"
    undone: ClassVar[str] = "nothing to undo: a refusal puts staging back"
    incumbent: str = ""
    incumbent_slot: str = ""


@dataclass(frozen=True, kw_only=True)
class Verify(Step):
    """Hold the evidence of the release against what is asked, just before traffic moves."""

    kind: ClassVar[str] = "verify-evidence"
    changes: ClassVar[str] = "nothing"
    again: ClassVar[str] = "verified again"
    undone: ClassVar[str] = "nothing to undo"
    environment: str
    release: str


@dataclass(frozen=True, kw_only=True)
class Expose(Step):
    """Set the weights of the slots, whole: what is not named has none."""

    kind: ClassVar[str] = "set-weights"
    changes: ClassVar[str] = "the gateway's weights, whole"
    again: ClassVar[str] = "the same map under the same fence; read back"
    undone: ClassVar[str] = "the weights before it, whole"
    environment: str
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check(SlotStep):
    """Ask the slot evaluation queries, pinned and marked as synthetic, at this weight."""

    kind: ClassVar[str] = "check"
    changes: ClassVar[str] = "nothing; synthetic requests, pinned"
    again: ClassVar[str] = "asked again"
    undone: ClassVar[str] = "nothing to undo"
    weight: int
    queries: int
    index: int = -1


@dataclass(frozen=True, kw_only=True)
class BeginRollout(SlotStep):
    """Write into the ledger what rolls out over what; from now on a watcher stands by."""

    kind: ClassVar[str] = "begin-rollout"
    changes: ClassVar[str] = "the ledger; a watcher stands by"
    again: ClassVar[str] = "once begun it is gone on with, unless its section changed"
    undone: ClassVar[str] = "end-rollout; a return ends it as well"
    blue: str
    before: str


@dataclass(frozen=True, kw_only=True)
class Baseline(SlotStep):
    """Measure blue alone for one window: what green is held against later."""

    kind: ClassVar[str] = "baseline"
    changes: ClassVar[str] = "the ledger: one window of blue"
    again: ClassVar[str] = "measured again where none was recorded"
    undone: ClassVar[str] = "nothing to undo"


@dataclass(frozen=True, kw_only=True)
class Mirror(SlotStep):
    """Let green answer a share of the requests as well, unseen; 0 per cent ends it."""

    kind: ClassVar[str] = "mirror"
    changes: ClassVar[str] = "the gateway's mirror; weights stay"
    again: ClassVar[str] = "the same map again"
    undone: ClassVar[str] = "the next set-weights ends it"
    percent: int
    index: int


@dataclass(frozen=True, kw_only=True)
class Analyse(SlotStep):
    """Judge window after window, for as long as the pause lasts; a breach brings blue back."""

    kind: ClassVar[str] = "analyse"
    changes: ClassVar[str] = "the ledger: a window after the other"
    again: ClassVar[str] = "the pause begins again, and is judged anew"
    undone: ClassVar[str] = "nothing to undo"
    blue: str
    weight: int
    seconds: float
    index: int


@dataclass(frozen=True, kw_only=True)
class Hold(SlotStep):
    """Wait for a person: ``until`` is what they have to say, resume or approve."""

    kind: ClassVar[str] = "hold"
    changes: ClassVar[str] = "the ledger: what is waited for"
    again: ClassVar[str] = "waits until the word is in the ledger"
    undone: ClassVar[str] = "nothing to undo"
    until: str
    index: int


@dataclass(frozen=True, kw_only=True)
class EndRollout(Step):
    """Write into the ledger how the rollout ended; the watcher may go."""

    kind: ClassVar[str] = "end-rollout"
    changes: ClassVar[str] = "the ledger; the watcher goes"
    again: ClassVar[str] = "a second entry says the same"
    undone: ClassVar[str] = "the next rollout begins one"
    environment: str
    release: str
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Record(Step):
    """Write into the ledger that the release is live; ``returned`` says it came back."""

    kind: ClassVar[str] = "record-live"
    changes: ClassVar[str] = "the ledger: the release is live"
    again: ClassVar[str] = "found in the ledger, and left out"
    undone: ClassVar[str] = "a return records the other one"
    environment: str
    release: str
    returned: bool = False


@dataclass(frozen=True, kw_only=True)
class BeginReturn(Step):
    """Write into the ledger that a return begins, and to what.

    With ``hold``, ``ship`` refuses ``release`` from now on; without, nothing was judged. Whoever
    comes after a kill finishes the return.
    """

    kind: ClassVar[str] = "begin-return"
    changes: ClassVar[str] = "the ledger: both ends of a return; with a verdict the release is held"
    again: ClassVar[str] = "found in the ledger, and gone on with"
    undone: ClassVar[str] = "`ship --retry` lets a held release go"
    environment: str
    release: str
    goal: str
    hold: bool = True


@dataclass(frozen=True, kw_only=True)
class Retire(SlotStep):
    """Drain the slot and stop what runs in it."""

    kind: ClassVar[str] = "retire"
    changes: ClassVar[str] = "drains the slot, then stops it; what is cut is counted"
    again: ClassVar[str] = "a slot that is gone is empty"
    undone: ClassVar[str] = "the release is deployed again"


@dataclass(frozen=True)
class Plan:
    """Steps in their order, and one sentence on the whole; no steps: the reason why."""

    steps: tuple[Step, ...]
    reason: str


KINDS: Mapping[str, type[Step]] = {
    kind.kind: kind
    for kind in (
        Comply, Provision, Deploy, Grow, Smoke, Evaluate, Verify, BeginRollout, Baseline, Mirror,
        Expose, Check, Analyse, Hold, Record, BeginReturn, Retire, EndRollout,
    )
}  # fmt: skip


def step_from_json(value: Mapping[str, Any]) -> Step:
    """The step that ``as_json`` wrote."""
    kind = KINDS[value["step"]]
    known = {one.name for one in fields(kind)}
    values = {key: value[key] for key in value if key in known}
    if kind is Provision:
        values["environments"] = tuple(values["environments"])
    return kind(**values)


def describe(step: Step, application: str) -> str:
    """A step as one line for people: what, where, which release, why."""
    values = step.as_json()
    where = "/".join(str(values[key]) for key in ("environment", "slot") if values.get(key))
    what = [step.kind, where]
    if values.get("release"):
        what.append(label(application, values["release"]))
    if isinstance(step, Expose):
        what.append(" ".join(f"{slot}={weight}" for slot, weight in step.weights.items()) or "none")
    if isinstance(step, Deploy) and step.scale is not None:
        what.append(f"with {step.scale} of each kind of pod at most")
    if isinstance(step, Check):
        what.append(f"{step.queries} queries at {step.weight} %")
    if isinstance(step, Analyse):
        what.append(f"{step.seconds:g} s at {step.weight} %")
    if isinstance(step, Mirror):
        what.append(f"{step.percent} %")
    if isinstance(step, Hold):
        what.append(f"until {step.until}")
    text = " ".join(part for part in what if part)
    return f"{text} ({step.reason})" if step.reason else text
