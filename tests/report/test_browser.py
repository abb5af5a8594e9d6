"""The page in a real browser: no console message, no request, charts drawn, words inside their pictures, tables sort.

Needs Chromium and its driver (Debian: apt-get install chromium chromium-driver). Screenshots go to MIXMERGE_PICTURES
where that names a folder, else to a temporary one.
"""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixmerge.report import html
from report import made_up

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no Chromium with driver here: apt-get install chromium chromium-driver"
)
webdriver = pytest.importorskip("selenium.webdriver")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
KINDS = ("single", "three", "four", "named", "grouped", "running", "several", "robust")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser: Any, folder: Path, summary: dict[str, Any], width: int = 1200, scheme: str = "light") -> Path:
    """Show a report's page; the file it lies in."""
    page = folder / "report.html"
    page.write_text(html(summary), encoding="utf-8")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wished = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wished})
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())
    return page


def requests(browser: Any) -> list[str]:
    """Addresses asked for since the page was opened."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def photograph(browser: Any, path: Path) -> None:
    """The whole page where pictures are wanted, else its beginning, which takes a tenth of the time."""
    most = 16_000 if "MIXMERGE_PICTURES" in os.environ else 1200
    size = browser.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": size[0], "height": min(size[1], most), "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(shot["data"]))


OUTSIDE = """
  const out = [];
  for (const chart of document.querySelectorAll("svg.chart")) {
    const frame = chart.getBoundingClientRect();
    if (!frame.width) continue;
    for (const words of chart.querySelectorAll("text")) {
      const box = words.getBoundingClientRect();
      if (box.left < frame.left - 8 || box.right > frame.right + 8 || box.top < frame.top - 4
          || box.bottom > frame.bottom + 4) out.push(chart.getAttribute("class") + ": " + words.textContent);
    }
  }
  return out;
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_opens_clean(browser: Any, tmp_path: Path, kind: str, width: int, scheme: str) -> None:
    page = opened(browser, tmp_path, getattr(made_up, kind)(), width, scheme)
    assert browser.get_log("browser") == []
    assert {url for url in requests(browser) if not url.startswith("data:")} == {page.as_uri()}
    charts = browser.execute_script(
        "return [...document.querySelectorAll('svg.chart')].map((c) => c.getBoundingClientRect().height)"
    )
    assert sum(height > 100 for height in charts) >= 3
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    picture = Path(os.environ.get("MIXMERGE_PICTURES", tmp_path)) / f"{kind}-{scheme}-{width}.png"
    photograph(browser, picture)
    assert picture.stat().st_size > 20_000
    browser.execute_script("document.documentElement.style.setProperty('--sans', 'DejaVu Sans, Verdana, sans-serif')")
    assert browser.execute_script(OUTSIDE) == []  # even in a wide font


FAINT = r"""
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].map((value) => value / 255);
  };
  const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const found = rgba(getComputedStyle(e).backgroundColor);
      if (found[3] > 0.8) return found;
    }
    return [1, 1, 1, 1];
  };
  const faint = new Set(), texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = texts.nextNode()); ) {
    const e = node.parentElement, style = getComputedStyle(e);
    if (!node.data.trim() || !e.getClientRects().length || ["STYLE", "SCRIPT"].includes(e.tagName)) continue;
    const picture = e.ownerSVGElement;
    const two = [light(rgba(picture ? style.fill : style.color)), light(behind(picture || e))].sort((a, b) => b - a);
    const ratio = (two[0] + 0.05) / (two[1] + 0.05);
    if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) {
      faint.add(`${e.tagName}.${e.getAttribute("class")} ${ratio.toFixed(2)}: ${node.data.trim().slice(0, 30)}`);
    }
  }
  return [...faint];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["single", "three", "several"])
def test_every_word_can_be_read(browser: Any, tmp_path: Path, kind: str, scheme: str) -> None:
    """Contrast of 4.5 at least, 3 for large words (WCAG 2.2, 1.4.3)."""
    opened(browser, tmp_path, getattr(made_up, kind)(), 1200, scheme)
    assert browser.execute_script(FAINT) == []


@pytest.mark.parametrize("width", [1200, 390])
def test_long_names_leave_room_for_numbers(browser: Any, tmp_path: Path, width: int) -> None:
    opened(browser, tmp_path, made_up.named(), width)
    boxes = "const [a, b] = [...document.querySelectorAll('table.results tbody tr')].slice(-2)[0].cells; "
    name, first = (browser.execute_script(boxes + f"return {cell}.getBoundingClientRect().width") for cell in "ab")
    assert name < 0.5 * width
    assert first > 100
    tall = "return [...document.querySelectorAll('.facts tr')].map((row) => row.getBoundingClientRect().height)"
    assert max(browser.execute_script(tall)) < 300


def test_what_scrolls_can_be_reached_by_keyboard(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, made_up.named(), 390)
    out = browser.execute_script("""
      return [...document.querySelectorAll("main *")].filter((e) =>
        ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth
        && e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 80));
    """)
    assert out == []


def test_the_panels_about_robustness(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, made_up.robust())
    links = browser.execute_script("return [...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))")
    for panel, tables, rows in (("ood", 1, 5), ("attacks", 2, 10)):
        place = f"#study-1-{panel}"
        assert place in links
        for part, count in (("table.results", tables), ("tbody tr", rows), ("svg.forest-chart", 1)):  # the wide one
            found = f"[...document.querySelector('{place}').querySelectorAll('{part}')]"
            assert browser.execute_script(f"return {found}.filter((e) => e.getClientRects().length).length") == count
    words = browser.execute_script("return document.querySelector('#study-1-attacks svg.forest-chart').textContent")
    for told in ("stresstest on polite", "Winner minus equal ratio", "← better"):
        assert told in words


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("kind", ["single", "named"])
def test_the_copy_button_covers_no_text(browser: Any, tmp_path: Path, kind: str, width: int) -> None:
    summary = getattr(made_up, kind)() | {"command": "mixmerge export a-study-with-a-longer-name OUT --trial 10"}
    opened(browser, tmp_path, summary, width)
    covered = browser.execute_script("""
      return [...document.querySelectorAll("button.copy")].filter((button) => {
        const a = button.getBoundingClientRect(), b = button.parentElement.querySelector("pre").getBoundingClientRect();
        return !a.width || (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom);
      }).map((button) => button.parentElement.textContent.slice(0, 60));
    """)
    assert covered == []
    command = "const pre = document.querySelector('.code pre'); return [pre.scrollWidth, pre.clientWidth]"
    needed, there = browser.execute_script(command)
    assert needed <= there  # the command is seen whole, without scrolling
    assert browser.execute_script("return document.querySelector('.code code').textContent") == summary["command"]


@pytest.mark.parametrize("width", [1200, 390])
def test_the_cells_of_a_grid_break_alike(browser: Any, tmp_path: Path, width: int) -> None:
    """As in the demonstration: the first column drew nothing, so its cells say less."""
    summary = made_up.several()
    grid = summary["grids"][0]
    for row in grid["cells"]:
        row[0] = row[0] | {"single": None}
    summary["grids"].append(grid | {"title": "another", "rows": ["no", "yes"]})
    opened(browser, tmp_path, summary, width)
    broken = browser.execute_script("""
      const pieces = [...document.querySelectorAll(".grid-table td b, .grid-table td .fine span")];
      return pieces.filter((e) => e.getClientRects().length !== 1).map((e) => e.textContent);
    """)
    assert broken == []
    lines = browser.execute_script("""
      return [...document.querySelectorAll(".grid-table td")].filter((e) => e.querySelector("b")).map((e) =>
        new Set([...e.querySelectorAll("b")].map((b) => b.getBoundingClientRect().top)).size);
    """)
    assert lines == [2 if width < 700 else 1] * 8
    places = browser.execute_script("""
      return [...document.querySelectorAll(".grid-table")].map((table) =>
        [...table.tHead.rows[0].cells].map((cell) => Math.round(cell.getBoundingClientRect().left)));
    """)
    assert places[0] == places[1]
    wide = "[...document.querySelectorAll('.grid-table')].map((e) => e.offsetWidth - e.parentElement.clientWidth)"
    assert max(browser.execute_script(f"return {wide}")) <= 0


MET = """
  const box = (e) => e.getBoundingClientRect();
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const out = [];
  for (const chart of document.querySelectorAll("svg.tradeoff-chart")) {
    if (!chart.getBoundingClientRect().width) continue;
    const names = [...chart.querySelectorAll(".label")];
    names.forEach((name, index) => {
      const others = [...chart.querySelectorAll(".ring, .rhomb, .title, .tick"), ...names.slice(index + 1)];
      for (const other of others) {
        if (meet(box(name), box(other))) out.push(`${name.textContent} and ${other.getAttribute("class")}`);
      }
    });
  }
  return out;
"""


@pytest.mark.parametrize("width", [1200, 390])
def test_no_name_lies_on_the_winner_or_on_another_name(browser: Any, tmp_path: Path, width: int) -> None:
    opened(browser, tmp_path, made_up.crowded(), width)
    assert browser.execute_script(MET) == []


def test_hostile_text_runs_nothing(browser: Any, tmp_path: Path) -> None:
    from report.test_text import hostile

    opened(browser, tmp_path, hostile("single"))
    assert browser.get_log("browser") == []
    browser.execute_script("document.querySelector('[data-tip]').dispatchEvent("
                           "new PointerEvent('pointerover', {bubbles: true}))")  # fmt: skip
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.querySelectorAll('img, #tip *').length") == 0


def column(browser: Any, index: int) -> list[str]:
    rows = "[...document.querySelectorAll('table.trials tbody tr')]"
    return list(browser.execute_script(f"return {rows}.map((row) => row.cells[{index}].dataset.sort)"))


def test_the_table_sorts_with_missing_scores_last(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, made_up.single())
    heading = "document.querySelectorAll('table.trials th button')[3]"  # the second task, which two trials lack
    for order in (-1, 1):
        browser.execute_script(f"{heading}.click()")
        values = column(browser, 3 + 1 - 1)
        known = [float(value) for value in values if value]
        assert known == sorted(known, reverse=order < 0)
        assert values[-2:] == ["", ""] or values[-1] == ""
    assert browser.execute_script(f"return {heading}.parentElement.getAttribute('aria-sort')") == "ascending"


def test_a_row_lights_its_draw(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, made_up.single())
    point = "new PointerEvent('pointerover', {bubbles: true})"
    browser.execute_script(f"document.querySelector('tr[data-trial=\"7\"]').dispatchEvent({point})")
    lit = browser.execute_script("return [...document.querySelectorAll('.lit')].map((m) => m.dataset.trial)")
    assert set(lit) == {"7"}
    assert len(lit) > 8
    browser.execute_script(f"document.querySelector('circle[data-trial=\"7\"]').dispatchEvent({point})")
    words = browser.execute_script("return document.getElementById('tip').textContent")
    assert words.startswith("trial 7 (winner)")
    assert browser.execute_script("return document.getElementById('tip').hidden") is False


def test_light_and_dark_differ_and_can_be_switched(browser: Any, tmp_path: Path) -> None:
    look = "return getComputedStyle(document.body).backgroundColor"
    opened(browser, tmp_path, made_up.single(), scheme="light")
    light = browser.execute_script(look)
    opened(browser, tmp_path, made_up.single(), scheme="dark")
    dark = browser.execute_script(look)
    assert light != dark
    browser.execute_script("document.getElementById('theme').click()")
    assert browser.execute_script(look) == light


@pytest.mark.parametrize("kind", ["single", "named", "robust"])
def test_nothing_is_cut_off_on_paper(browser: Any, tmp_path: Path, kind: str) -> None:
    opened(browser, tmp_path, getattr(made_up, kind)(), 680)  # A4 between its margins, in CSS pixels
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.execute_script("for (const part of document.querySelectorAll('details')) part.open = true")
        cut = browser.execute_script("""
          return [...document.querySelectorAll("main td, main th, main .wide svg")].filter((e) =>
            e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1
          ).map((e) => e.outerHTML.slice(0, 80));
        """)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert cut == []


def test_prints(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, made_up.single(), scheme="dark")
    paper = {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69, "preferCSSPageSize": False}
    printed = browser.execute_cdp_cmd("Page.printToPDF", paper)
    data = base64.b64decode(printed["data"])
    (Path(os.environ.get("MIXMERGE_PICTURES", tmp_path)) / "single.pdf").write_bytes(data)
    assert data.startswith(b"%PDF")
    assert browser.get_log("browser") == []
