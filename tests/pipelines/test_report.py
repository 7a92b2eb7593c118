"""The report: one page that needs nothing else, and says how it ended and why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pipelines import report
from pipelines.report import TEMPLATES, headline, render, replayed, write_report
from pipelines.reporting import Silent
from pipelines.ship import ship
from pipelines.story import tell
from release.errors import BadInput, Refused, Returned
from release.ledger import history
from tests.pipelines.memory import World, knowing, serving
from tests.pipelines.rollouts import (
    ENDINGS,
    NEW,
    OLD,
    SLOW,
    START,
    Act,
    act,
    begun,
    completed,
    deploy,
    first,
    half_way,
    refused,
    returned,
    side,
    step,
    verdict,
    waiting,
    weigh,
    window,
    written,
)
from tests.pipelines.standin import StandIn, completion

VOID = frozenset({"meta", "br"})


@dataclass
class Parsed(HTMLParser):
    """A page, taken apart: its tags with their attributes, and its text."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        """All that is read, in order."""
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such element."""
        return [attributes for name, attributes in self.tags if name == tag]


def parsed(text: str) -> Parsed:
    page = Parsed()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def page(acts: Sequence[Act], *environments: str) -> Parsed:
    return parsed(render(written(acts), environments or ("production",), START + 100))


HEADLINES: dict[str, tuple[list[Act], str]] = {
    "completed": (completed(), "tiny-bot@bbbbbbb took over from tiny-bot@aaaaaaa"),
    "returned": (returned(), "tiny-bot@bbbbbbb was taken back to tiny-bot@aaaaaaa"),
    "expired": (
        list(ENDINGS["expired"][0])[len(first()) :],
        "tiny-bot@bbbbbbb was not judged: its lease ran out, and traffic went back "
        "to tiny-bot@aaaaaaa",
    ),
    "under way": (waiting(), "tiny-bot@bbbbbbb is on its way, in the place of tiny-bot@aaaaaaa"),
    "refused": ([*begun(), *refused()], "tiny-bot@bbbbbbb was refused"),
    "destroyed": (
        [*begun(), act(50, "destroyed", None)],
        "tiny-bot@bbbbbbb was on its way when everything was destroyed",
    ),
}


@pytest.mark.parametrize(("acts", "expected"), HEADLINES.values(), ids=HEADLINES.keys())
def test_each_outcome_has_its_headline(acts: list[Act], expected: str) -> None:
    assert expected in page([*first(), *acts]).text


def test_a_first_release_took_over_from_nobody() -> None:
    (rollout,) = tell(written(first()), "production").rollouts

    assert headline("tiny-bot", rollout) == "tiny-bot@aaaaaaa took over, the first release here"


@pytest.mark.parametrize(("acts", "outcome", "reason"), ENDINGS.values(), ids=ENDINGS.keys())
def test_it_says_how_it_ended_and_why(acts: list[Act], outcome: str, reason: str) -> None:
    found = page(acts)

    assert outcome in found.text
    assert reason in found.text


def test_every_gate_and_every_verdict_is_there_with_its_reason() -> None:
    found = page([*first(), *returned()])

    assert ["f1", "pass", "0.81", "f1 is 0.81, the limit is at least 0.5"] in found.rows
    assert [
        "27 s", "step", "25 %", "users", "latency_p95_seconds", "fail", "0", "0.02", SLOW
    ] in found.rows  # fmt: skip


def test_each_chart_has_a_table_with_its_numbers() -> None:
    """Weights, traffic, latency, errors and refusals; unknown is a dash, never a zero."""
    found = page([*first(), *returned()])
    captions = re.findall(r"([A-Z][a-z ]+) in numbers", found.text)

    assert captions[:5] == [
        "Weights", "Traffic", "Latency", "Errors and truncated streams", "Refusals"
    ]  # fmt: skip
    assert ["16 s", "75 %", "25 %"] in found.rows
    assert ["17 s", "step", "25 %", "100", "300", "0", "users"] in found.rows
    assert ["5 s", "\u2013", "0.4 s", "\u2013", "0.8 s"] in [row[:5] for row in found.rows]
    assert ["27 s", "3", "0", "1", "0"] in found.rows


def test_charts_can_be_read_by_those_who_do_not_see_them() -> None:
    """Each has a title and a description; ids are there once; tables can be reached by keys."""
    found = page([*first(), *returned()], "production", "staging")
    ids = [one["id"] for _, one in found.tags if "id" in one]
    charts = [one for one in found.named("svg") if one.get("role") == "img"]

    assert len(ids) == len(set(ids))
    assert len(charts) == 6
    for one in charts:
        assert {one["aria-labelledby"], one["aria-describedby"]} <= set(ids)
    assert all(one.get("scope") == "col" for one in found.named("th"))
    assert all(one.get("tabindex") == "0" for one in found.named("div") if "role" in one)


def test_what_it_waits_for_is_said_with_since_when_and_what_ends_it() -> None:
    text = page([*first(), *waiting()]).text

    assert (
        "It waits since 2026-01-01 12:00:38 UTC : The last window is inconclusive. "
        "What ends it: 38 more requests, or the deadline in 600 s." in text
    )
    assert "1:02 min, and still waits" in text


def test_a_wait_that_is_over_says_how_long_it_was() -> None:
    rows = page([*first(), *completed()]).rows

    assert [
        "2026-01-01 12:00:38 UTC", "22 s", "Somebody has to approve 100 %.",
        "`greenlight approve`, or the deadline in 600 s.",
    ] in rows  # fmt: skip


REPLAYED: dict[str, tuple[list[Act], str]] = {
    "users": (half_way(), "The requests of users were judged."),
    "users and ours": (
        [*half_way(green=side(50, synthetic=8))],
        "The requests of users were judged; 8 of 1150 were synthetic.",
    ),
    "copies that were compared": (
        [*half_way(green=side(50, copies=20, different=3))],
        "The requests of users were judged. The new release got copies of 20 requests, whose "
        "answers nobody saw; 3 of them differed from what the caller got.",
    ),
    "copies that nobody could compare": (
        [*half_way(green=side(50, copies=20, different=None))],
        "The requests of users were judged. The new release got copies of 20 requests, whose "
        "answers nobody saw.",
    ),
    "nobody for a while": (
        waiting(),
        "Synthetic: no users. In 1 of 3 windows, evaluation queries were replayed as traffic, "
        "because nobody else asked; 12 of 1112 requests were synthetic.",
    ),
    "nobody at all": (
        [*begun()[:-1], window(17, 25, replayed=True, green=side(9, synthetic=9), blue=None)],
        "Synthetic: no users. In all windows, evaluation queries were replayed as traffic, "
        "because nobody else asked; 9 of 9 requests were synthetic.",
    ),
    "checks of an old ledger": (
        [*deploy(0, NEW, "green"), *step(2, "check", "production", {"synthetic": 8})],
        "Synthetic: no users were judged. Evaluation queries were asked, pinned to the new "
        "release; no windows were recorded.",
    ),
    "nothing": (deploy(0, NEW, "green"), "No traffic was judged."),
}


@pytest.mark.parametrize(("acts", "expected"), REPLAYED.values(), ids=REPLAYED.keys())
def test_it_says_in_words_whose_requests_were_judged(acts: list[Act], expected: str) -> None:
    (*_, rollout) = tell(written(first(), acts), "production").rollouts

    assert replayed(rollout) == expected
    assert expected in page([*first(), *acts]).text


def test_a_window_without_users_is_marked_in_its_rows() -> None:
    rows = [row for row in page([*first(), *waiting()]).rows if "synthetic: no users" in row]

    assert len(rows) == 2


def test_the_newest_rollout_is_open_and_the_ones_before_are_folded() -> None:
    found = page([*first(), *completed()])

    assert len(found.named("article")) == len(found.named("details")) == 1
    assert found.text.index("bbbbbbb took over") < found.text.index("aaaaaaa took over")


def test_what_never_came_is_told_with_its_reasons() -> None:
    found = page([*first(), *refused()])

    assert [
        "2026-01-01 11:59:30 UTC", "tiny-bot@bbbbbbb", "f1 is 0.31, the limit is at least 0.5"
    ] in found.rows  # fmt: skip


def test_an_environment_without_rollouts_says_so() -> None:
    assert "Nothing was rolled out here yet." in page(first(), "staging").text


EVIL = "<script>alert('\"')</script><img src=x onerror=alert(1)> & {{ 7 * 7 }}"


def evil() -> list[Act]:
    """A ledger in which every text is an attempt."""
    settings = {"steps": [{"pause": EVIL}, {EVIL: 1}]}
    wait = {"for": EVIL, "since": START + 38, "ends": EVIL, "until": EVIL}
    return [
        *first(),
        act(0, "rollout-begun", **{"release": NEW, "from": OLD, "settings": settings}),
        *deploy(1, NEW, EVIL),
        window(17, 25, phase=EVIL, slot=EVIL, verdicts=[verdict(EVIL, "fail", EVIL)]),
        *weigh(27, **{EVIL: 25, "blue": 75}),
        act(28, "waiting", **wait),
        act(29, "failed", step=EVIL, reason=EVIL),
        act(30, "return-begun", release=NEW, goal=OLD, reason=EVIL),
        act(31, "lease", verb=EVIL, replaces={"why": EVIL}),
        act(32, "refused", None, release="d" * 64, reasons=[EVIL]),
    ]


def test_nothing_in_a_ledger_becomes_part_of_the_page() -> None:
    """Every text is shown as it is, and none is run, loaded or filled in."""
    found = page(evil())

    assert not {"script", "img"} & {name for name, _ in found.tags}
    assert found.text.count("<script>alert('\"')</script>") > 10
    assert "{{ 7 * 7 }}" in found.text
    assert "49" not in found.text
    assert not [one for _, one in found.tags for name in one if name.startswith("on")]


def test_it_loads_nothing_and_runs_nothing() -> None:
    """Nothing is named that a browser would fetch, and the page forbids it as well."""
    text = render(written(first(), returned()), ("production",), START)
    found = parsed(text)

    loading = {"src", "srcset", "data", "xlink:href", "action", "background", "poster"}
    assert not [one for _, one in found.tags if loading & set(one)]
    assert all((one["href"] or "").startswith("#") for one in found.named("a"))
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {t for t, _ in found.tags}
    assert not re.search(r"url\(|@import|https?:", text)
    policies = [one["content"] for one in found.named("meta") if "http-equiv" in one]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_it_is_written_whole_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep/report.html"

    write_report(written(first()), ("production",), file, START)

    assert file.read_text().rstrip().endswith("</html>")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in file.parent.iterdir()] == ["report.html"]


def test_a_place_where_it_cannot_be_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BadInput, match=r"Name another file with --out\."):
        write_report(written(first()), ("production",), tmp_path / "file/report.html", START)


def test_the_template_is_in_the_package() -> None:
    """Beside the module that reads it, so that it goes where the package goes."""
    assert TEMPLATES.parent == Path(report.__file__).parent
    assert [one.name for one in TEMPLATES.iterdir()] == ["report.html.j2"]


# What the pipelines themselves write


@pytest.fixture(scope="module")
def model() -> Iterator[StandIn]:
    with serving() as server:
        yield server


@pytest.fixture
def world(app: Path, model: StandIn, own_cache: Path) -> World:
    model.reply = knowing
    return World(app, model, on_disk=True)


def test_a_release_that_was_shipped_is_told_with_its_gates(world: World) -> None:
    """And no key is in what is written."""
    ship(world.open(), Silent())
    entries = history(world.open().records())
    text = render(entries, ("production", "staging"), START)

    found = parsed(text)
    name = world.open().built.release.label
    assert found.text.count(f"{name} took over, the first release here") == 2
    assert [row[1] for row in found.rows if row[0] in ("f1", "latency_p95_seconds")] == ["pass"] * 4
    secrets = [file.read_text() for file in (world.app / ".greenlight/keys").rglob("*.key")]
    assert secrets
    assert not [
        one for secret in secrets for one in secret.split() if len(one) > 20 and one in text
    ]


def test_a_release_that_was_brought_back_is_told_with_the_reason(
    world: World, model: StandIn
) -> None:
    ship(world.open(), Silent())
    model.reply = lambda side, question, before: (
        completion(usage={})
        if side == "production-green" and before > 0
        else knowing(side, question, before)
    )
    with pytest.raises(Returned) as caught:
        ship(world.open(parameters={"max_tokens": 7}), Silent())

    found = tell(history(world.open().records()), "production").rollouts[-1]
    assert (found.outcome, found.reason) == ("returned", caught.value.reasons[0])
    assert [one.slots for one in found.weights][-1] == {"blue": 100}


def test_a_release_that_was_refused_is_told_with_the_reasons(world: World, model: StandIn) -> None:
    ship(world.open(), Silent())
    model.reply = lambda side, question, before: (
        completion("nonsense") if side == "staging-green" else knowing(side, question, before)
    )
    with pytest.raises(Refused) as caught:
        ship(world.open(parameters={"max_tokens": 7}), Silent())

    entries = history(world.open().records())
    (refusal,) = tell(entries, "production").refusals
    assert refusal.reasons == caught.value.reasons
    assert tell(entries, "staging").rollouts[-1].outcome == "refused"
