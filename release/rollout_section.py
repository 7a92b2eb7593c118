"""``rollout`` in ``llm.yaml``: the steps of a rollout, and what is looked at in each.

The names are Argo Rollouts' where it has them.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from release.sections import Section, Share


class Pause(Section):
    """A stop between weights, in which both slots are measured."""

    duration: float | None = Field(
        None, gt=0, le=604_800, description="seconds; without it until `greenlight resume`"
    )


class Approval(Section):
    """A stop until somebody says yes with `greenlight approve`."""

    message: str = Field("", max_length=500, description="what has to be looked at")


class Step(Section):
    """One step of the rollout, in Argo Rollouts' words: exactly one of these."""

    set_weight: int | None = Field(
        None, alias="setWeight", ge=1, le=100, description="per cent of requests"
    )
    pause: Pause | None = Field(None, description="a time, or without one until resumed")
    set_mirror: int | None = Field(
        None,
        alias="setMirror",
        ge=0,
        le=100,
        description="per cent of requests that green answers as well, unseen; 0 ends it",
    )
    approval: Approval | None = Field(None, description="until somebody approves")

    @model_validator(mode="after")
    def _exactly_one(self) -> Step:
        given = [self.set_weight, self.pause, self.set_mirror, self.approval]
        if sum(one is not None for one in given) != 1:
            raise ValueError("one of setWeight, pause, setMirror, approval")
        return self


PerRequest = Literal["errors", "truncated", "refusals", "abandoned", "declined"]
Seconds = Literal[
    "latency_p50_seconds",
    "latency_p95_seconds",
    "first_token_p95_seconds",
    "inter_token_p95_seconds",
]

MEASURED_UP_TO = {"inter_token_p95_seconds": 10.0}
"""Seconds where a metric's histogram ends; a limit above would never be passed."""
LATENCY_MEASURED_UP_TO = 81.92


class Limit(Section):
    """How bad green may be in one window, by itself and beside blue."""

    metric: Literal[PerRequest, Seconds] = Field(
        description="errors, truncated, refusals, abandoned (the caller gave up first), declined "
        "(a 3xx or 4xx, such as of a context that became too small): shares of requests, 0 to 1; "
        "others: seconds"
    )
    max: float | None = Field(None, ge=0, description="green alone")
    max_change: float | None = Field(
        None, gt=0, description="seconds: share above blue, now and before the rollout; 0.5 is half"
    )
    max_rise: Share | None = Field(None, description="shares: points (0 to 1) above blue's")

    @model_validator(mode="after")
    def _fits_its_metric(self) -> Limit:
        seconds = self.metric in get_args(Seconds)
        if self.max is None and self.max_change is None and self.max_rise is None:
            raise ValueError("a limit: max, or " + ("max_change" if seconds else "max_rise"))
        if seconds and self.max_rise is not None:
            raise ValueError("max_change for seconds; max_rise is for shares")
        if not seconds and self.max_change is not None:
            raise ValueError("max_rise for shares; max_change is for seconds")
        if not seconds and (self.max or 0) > 1:
            raise ValueError("a share between 0 and 1")
        most = MEASURED_UP_TO.get(self.metric, LATENCY_MEASURED_UP_TO)
        if seconds and (self.max or 0) > most:
            raise ValueError(f"at most {most:g} seconds, up to which {self.metric} is measured")
        return self


class Analysis(Section):
    """What is looked at while green has traffic. The names are Argo Rollouts'."""

    interval: float = Field(10.0, gt=0, le=3600, description="seconds of one window")
    failure_limit: int = Field(
        0, alias="failureLimit", ge=0, le=100, description="windows that may fail; one more returns"
    )
    consecutive_error_limit: int = Field(
        4,
        alias="consecutiveErrorLimit",
        ge=0,
        le=100,
        description="windows in a row that could not be judged; one more waits for somebody",
    )
    min_requests: int = Field(
        8,
        ge=1,
        le=100_000,
        description="of each slot, for a window to be judged; where users send fewer, evaluation "
        "queries are replayed",
    )
    concurrency: int = Field(4, ge=1, le=256, description="replayed queries at the same time")
    limits: tuple[Limit, ...] = Field(
        (
            Limit(metric="errors", max=0.05, max_rise=0.02),
            Limit(metric="truncated", max=0.05, max_rise=0.02),
            Limit(metric="declined", max_rise=0.1),
            Limit(metric="latency_p95_seconds", max_change=2.0),
        ),
        min_length=1,
        max_length=32,
        description="all of them have to hold in a window",
    )


class Rollout(Section):
    """How a release takes over from the one before it. The names are Argo Rollouts'."""

    steps: tuple[Step, ...] = Field(
        (
            Step(setWeight=5),
            Step(pause=Pause(duration=10)),
            Step(setWeight=25),
            Step(pause=Pause(duration=10)),
            Step(setWeight=50),
            Step(pause=Pause(duration=10)),
            Step(setWeight=100),
            Step(pause=Pause(duration=10)),
        ),
        min_length=1,
        max_length=64,
        description="weights rise, the last is 100",
    )
    checks: int = Field(
        8, ge=1, le=1000, description="evaluation queries that green answers at each weight"
    )
    analysis: Analysis = Field(Analysis(), description="what is looked at in every pause")
    soak: float = Field(
        60.0, alias="soakSeconds", ge=0, le=2_592_000,
        description="after the last step; what gets worse in that time is brought back",
    )  # fmt: skip
    scale_down_delay: float = Field(
        30.0, alias="scaleDownDelaySeconds", ge=0, le=2_592_000,
        description="how long blue stays ready after the last step, for an instant way back",
    )  # fmt: skip
    progress_deadline: float = Field(
        600.0, alias="progressDeadlineSeconds", gt=0, le=2_592_000,
        description="a release that is not ready so long after its start is given up; a pause that "
        "takes so much longer than planned ends the rollout",
    )  # fmt: skip
    lease_duration: float = Field(
        30.0, alias="leaseDurationSeconds", ge=2, le=3600,
        description="a rollout whose process is silent for so long is brought back",
    )  # fmt: skip
    drain_seconds: float = Field(
        30.0, alias="drainSeconds", ge=0, le=3600, description="until what is in flight is cut"
    )

    @model_validator(mode="after")
    def _rises_to_all(self) -> Rollout:
        weights = [step.set_weight for step in self.steps if step.set_weight is not None]
        if not weights or weights != sorted(set(weights)) or weights[-1] != 100:
            raise ValueError("weights that rise and end with setWeight: 100")
        first = next(i for i, step in enumerate(self.steps) if step.set_weight is not None)
        if any(step.set_mirror for step in self.steps[first:]):
            raise ValueError("setMirror before the first setWeight: who has weight gets no copies")
        return self
