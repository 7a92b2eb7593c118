"""The report in a real browser: what it draws, what it fetches, and how it reads in the dark.

The browser is Debian's chromium, which ``.ci/run`` installs where it can; elsewhere these tests
are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from pipelines.report import write_report
from tests.pipelines.rollouts import START, completed, first, returned, waiting, written
from tests.pipelines.test_report import evil

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome")
CONTRAST = 4.5  # WCAG 2.2, 1.4.3: text against its background

CONTRASTS = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => {
      const c = v / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
  };
  const texts = [...document.querySelectorAll('h1,h2,h3,h4,p,dt,dd,th,td,caption,.chip,svg text')];
  return texts.filter((one) => one.textContent.trim()).map((one) => {
    const style = getComputedStyle(one);
    const ink = one instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [light(ink), light(behind(one))].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  });
}"""


def chromium() -> str:
    """The browser; without one a failure where ``.ci/run`` installs it, elsewhere a skip."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return found
    reason = "no chromium on PATH; on Debian: apt-get install chromium"
    if os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = chromium()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has none to leave
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=arguments)
        yield running
        running.close()


@dataclass
class Opened:
    """A page, with everything that it asked for and everything that it complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def dismiss(self, dialog: Dialog) -> None:
        """An alert, which there should be none of."""
        self.said.append(dialog.message)
        dialog.dismiss()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    file = tmp_path / "report.html"
    write_report(written(first(), returned()), ("production", "staging"), file, START + 100)
    return file


def opened(
    browser: Browser,
    file: Path,
    scheme: Literal["light", "dark"] = "light",
    width: int = 1280,
) -> Opened:
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    found = Opened(page)
    page.on("request", lambda one: found.asked.append(one.url))
    page.on("console", lambda one: found.said.append(one.text))
    page.on("pageerror", lambda one: found.said.append(str(one)))
    page.on("dialog", found.dismiss)
    page.goto(file.as_uri(), wait_until="networkidle")
    return found


def test_it_opens_alone_and_without_a_complaint(browser: Browser, report: Path) -> None:
    """One file is all that is ever asked for."""
    found = opened(browser, report)

    assert found.asked == [report.as_uri()]
    assert found.said == []
    assert found.page.title() == "tiny-bot: rollouts"
    assert found.page.locator("h3").first.inner_text() == (
        "tiny-bot@bbbbbbb was taken back to tiny-bot@aaaaaaa"
    )


def test_the_charts_are_drawn(browser: Browser, report: Path) -> None:
    """Each has a size and lines inside it; green leaves the bottom when it gets its weight."""
    page = opened(browser, report).page
    charts = page.locator("article svg.chart")

    assert charts.count() == 5
    for chart in charts.all():
        frame = chart.bounding_box()
        assert frame is not None
        assert frame["width"] > 400
        assert frame["height"] > 100
        for line in chart.locator("polyline").all():
            box = line.bounding_box()
            assert box is not None
            assert frame["x"] <= box["x"]
            assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    (green,) = charts.first.locator("polyline.green").all()
    box = green.bounding_box()
    assert box is not None
    assert box["height"] > 20


def test_charts_and_tables_have_names_for_a_screen_reader(browser: Browser, report: Path) -> None:
    """What the browser tells one, not what the file says."""
    page = opened(browser, report).page

    for name in ("Weights", "Traffic", "Latency", "Errors and truncated streams", "Refusals"):
        assert page.get_by_role("img", name=name, exact=True).first.is_visible()
        assert page.get_by_role("region", name=f"{name} in numbers").first.is_visible()
    assert page.get_by_role("main").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_in_light_and_in_the_dark(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    """Every text has WCAG's contrast to what is behind it, and the paper is as asked for."""
    file = tmp_path / "report.html"
    write_report(written(first(), waiting()), ("production",), file, START + 100)
    page = opened(browser, file, scheme).page

    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert min(contrasts) >= CONTRAST


def test_it_fits_a_telephone(browser: Browser, report: Path) -> None:
    """Wide tables and charts scroll by themselves; the page does not."""
    page = opened(browser, report, width=390).page

    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_on_paper_nothing_is_folded_or_cut(browser: Browser, tmp_path: Path) -> None:
    """Dark ink on white whatever the screen was, tables as long as they are."""
    file = tmp_path / "report.html"
    write_report(written(first(), completed()), ("production",), file, START + 100)
    page = opened(browser, file, "dark").page

    page.emulate_media(media="print", color_scheme="dark")

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollHeight > e.clientHeight)"
    assert page.evaluate(f"{cut}.length") == 0
    assert page.locator("details table").last.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_an_older_rollout_opens_by_keyboard(browser: Browser, report: Path) -> None:
    page = opened(browser, report).page
    folded = page.locator("details table").last

    assert not folded.is_visible()
    page.locator("summary").focus()
    page.keyboard.press("Enter")

    assert folded.is_visible()


def test_nothing_in_a_ledger_is_run(browser: Browser, tmp_path: Path) -> None:
    """No alert, no request for the picture, and no complaint that one was kept from it."""
    file = tmp_path / "report.html"
    write_report(written(evil()), ("production",), file, START + 100)

    found = opened(browser, file)

    assert found.asked == [file.as_uri()]
    assert found.said == []
    assert "<script>alert" in found.page.locator("article").inner_text()
