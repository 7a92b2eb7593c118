"""The capacity table: cores asked, quota, memory and disk for everything that takes any (S04).

A row passes only if all of it is known and enough. Rows that share a quota share its verdict:
each may fit alone where together they do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.arm.resource import ArmResource
from policies.limits.asks import TRAINED, Ask, asks, cores
from policies.limits.facts import SPOT, TOTAL, AzureFacts, Quota, Service, Size, family_key
from policies.limits.model import Fit, Verdict, deployment_disk, disk_fit, memory_fit, pool_disk
from policies.limits.request import Model, Request

Key = tuple[str, Service, str]
"""What a quota is of: region, whose, family in its one spelling, TOTAL or SPOT."""


@dataclass(frozen=True)
class CapacityRow:
    """What one thing takes and what there is of it.

    ``cores`` are its own, ``together`` those of all rows against the same quota, ``running`` the
    part of those that exists already and is in ``used``. ``left`` is limit minus used. None:
    not known. ``memory`` and ``disk`` are None where no model is to run on it. ``why`` says what
    of the quota failed or is not known.
    """

    ask: Ask
    size: Size | None
    cores: int | None
    together: int | None = None
    running: int = 0
    limit: int | None = None
    used: int | None = None
    left: int | None = None
    quota: Verdict = "unknown"
    memory: Fit | None = None
    disk: Fit | None = None
    why: tuple[str, ...] = ()
    origin: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of quota, memory and disk."""
        parts = {self.quota, *(fit.verdict for fit in (self.memory, self.disk) if fit)}
        return "fail" if "fail" in parts else "unknown" if "unknown" in parts else "pass"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not pass, quota, memory and disk together."""
        return (*self.why, *_short(self.memory, self.disk))


def capacity(
    plan: Sequence[ArmResource], facts: AzureFacts, request: Request
) -> tuple[CapacityRow, ...]:
    """A row for everything in ``plan`` and ``request`` that takes cores."""
    wanted = list(asks(plan, request, facts.endpoints))
    asked = _summed(wanted, facts)
    running = _summed(_still(wanted, request, facts), facts)
    return tuple(_row(ask, facts, request, asked, running) for ask in wanted)


def _row(
    ask: Ask,
    facts: AzureFacts,
    request: Request,
    asked: Mapping[Key, int | None],
    running: Mapping[Key, int | None],
) -> CapacityRow:
    size = facts.size(ask.size)
    if size is None:
        why = f"'{ask.size}' is not a size that is known"
        return CapacityRow(ask, None, None, quota="fail", why=(why,), origin=facts.origin)
    keys = _keys(ask, size)
    family = facts.quotas.get(keys[0])
    there = running.get(keys[0]) or 0
    verdicts = [_judged(key, _spoken(key, size), facts, asked, running) for key in keys]
    memory, disk = _fits(ask, size, request)
    return CapacityRow(
        ask=ask,
        size=size,
        cores=cores(ask, size, facts.endpoints),
        together=asked[keys[0]],
        running=there,
        limit=family.limit if family else None,
        used=family.used if family else None,
        left=family.limit - family.used if family else None,
        quota=_worst([verdict for verdict, _ in verdicts]),
        memory=memory,
        disk=disk,
        why=tuple(why for _, why in verdicts if why),
        origin=facts.origin,
    )


def _keys(ask: Ask, size: Size) -> tuple[Key, ...]:
    """The quotas that ``ask`` counts against, its family's first."""
    family = (ask.region, ask.service, family_key(ask.family(size)))
    return (family,) if ask.spot else (family, (ask.region, ask.service, TOTAL))


def _summed(wanted: Sequence[Ask], facts: AzureFacts) -> Mapping[Key, int | None]:
    """Cores by quota; None where one of them is not known."""
    sums: dict[Key, int | None] = defaultdict(int)
    for ask in wanted:
        size = facts.size(ask.size)
        if size is not None:
            own = cores(ask, size, facts.endpoints)
            for key in _keys(ask, size):
                before = sums[key]
                sums[key] = None if own is None or before is None else before + own
    return sums


def _still(wanted: Sequence[Ask], request: Request, facts: AzureFacts) -> list[Ask]:
    """What exists already of ``wanted``, at the least that it can have: no more is subtracted."""
    names = {(ask.what, ask.name.lower()) for ask in wanted}
    there = asks(request.state, Request(request.region, slots=1), facts.endpoints)
    return [_least(ask) for ask in there if (ask.what, ask.name.lower()) in names]


def _least(ask: Ask) -> Ask:
    least = ask.count
    if ask.pool and ask.pool.at("enableAutoScaling"):
        least = ask.pool.at("minCount", 0)
    if ask.what == TRAINED:
        least = 0  # a compute cluster may have gone down to none
    return replace(ask, count=least if isinstance(least, int) else 0)


def _judged(
    key: Key,
    name: str,
    facts: AzureFacts,
    asked: Mapping[Key, int | None],
    running: Mapping[Key, int | None],
) -> tuple[Verdict, str]:
    """Whether all that counts against one quota fits into it, and why not."""
    quota, wanted = facts.quotas.get(key), asked[key]
    if quota is None and key[0] in facts.whole and key[2] != TOTAL:
        return "fail", f"Azure has no such thing as {name} ({facts.origin})"
    if quota is None:
        return "unknown", f"{name} is not known ({facts.origin})"
    if wanted is None:
        return "unknown", f"the count is not known, so neither is what it takes of {name}"
    return _against(quota, wanted - (running.get(key) or 0), name)


def _against(quota: Quota, more: int, name: str) -> tuple[Verdict, str]:
    left = quota.limit - quota.used
    if more <= left:
        return "pass", ""
    return "fail", f"{more} more cores of {name}, of which {left} of {quota.limit} are left"


def _spoken(key: Key, size: Size) -> str:
    region, service, family = key
    whose = "virtual machines" if service == "compute" else "Azure ML"
    shared = {TOTAL: "all families together", SPOT: "spot nodes"}
    named = size.family or f"the family of {size.name}, whose name is not known,"
    return f"the quota of {whose} for {shared.get(family, named)} in {region}"


def _fits(ask: Ask, size: Size, request: Request) -> tuple[Fit | None, Fit | None]:
    models = {name.lower(): model for name, model in request.models.items()}
    model = models.get(ask.app.lower())
    if model is None:
        return None, None
    disk = _disk(ask, size, model, request.image_gib)
    return memory_fit(model, size, ask.mig), disk_fit(model, disk, request.image_gib)


def _disk(ask: Ask, size: Size, model: Model, image_gib: float) -> float | None:
    if ask.pool:
        return pool_disk(ask.pool, size)
    return deployment_disk(size, model, image_gib)


def _short(memory: Fit | None, disk: Fit | None) -> Iterator[str]:
    for what, fit in (("memory", memory), ("disk", disk)):
        if fit and fit.verdict == "fail":
            yield f"the model needs {fit.needed:.0f} GiB of {what}, and there are {fit.there:.0f}"
        if fit and fit.verdict == "unknown":
            yield f"the model needs {fit.needed:.0f} GiB of {what}, unknown whether they are there"


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return "fail" if "fail" in verdicts else "unknown" if "unknown" in verdicts else "pass"
