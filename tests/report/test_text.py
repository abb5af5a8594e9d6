"""report.md and report.html as text: complete, escaped, and asking nothing of any network."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import MissingExtraError
from mixmerge.report import ReportError, build, html, markdown, wording
from mixmerge.report.charts import luck_chart
from mixmerge.report.charts.parallel import told_apart
from mixmerge.report.svg import clipped
from report import made_up

GOLDEN = Path(__file__).parent / "golden.md"
KINDS = ("single", "three", "four", "grouped", "running", "several", "robust")
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'&{{ 7 * 7 }}|`'


def test_markdown_as_it_was() -> None:
    """To accept a change on purpose: python -m report.golden, in the folder tests."""
    assert markdown(made_up.robust()) == GOLDEN.read_text(encoding="utf-8")


def test_a_difference_is_claimed_only_where_its_interval_excludes_0() -> None:
    summary = made_up.robust()
    text = markdown(summary)
    assert "the equal ratio 33.0 %: the winner is better there (+9.0 points, 95 % interval +1.0 to +17.0)" in text
    assert "the equal ratio 67.0 %: the winner is worse there (−9.0 points" in text
    lost = "polite the winner lost 10.0 % of its accuracy, the equal ratio 25.0 %"
    assert text.count(f"{lost}: the winner loses less (−15.0") == 2
    for pair in (summary["ood"]["paired"][0], summary["attacks"][0]["paired"][0]):
        pair.update(low=-0.2, high=0.1)
    text = markdown(summary)
    assert "the equal ratio 33.0 %: no difference was shown (+9.0 points" in text
    assert f"Under stresstest on {lost}: no difference was shown (−15.0" in text
    assert f"Under deepwordbug on {lost}: the winner loses less (−15.0" in text


def test_panels_stand_where_there_is_something_to_show() -> None:
    for kind in ("single", "several"):
        assert "Out of distribution" not in html(getattr(made_up, kind)())
    summary = made_up.robust()
    summary["ood"] |= {"test": {}, "paired": []}  # not proved yet
    for attack in summary["attacks"]:
        attack |= {"merges": {}, "paired": []}
    assert "Under attack" not in html(summary) + markdown(summary)
    assert html(made_up.robust()).count("<section id=\"study-1-") == html(made_up.single()).count(
        "<section id=\"study-1-") + 2  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_study_is_written(kind: str) -> None:
    summary = getattr(made_up, kind)()
    page, text = html(summary), markdown(summary)
    for study in summary.get("studies", [summary]):
        assert study["name"] in page
        assert study["verdict"]["sentence"] in text


class Parts(HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def hostile(kind: str) -> dict[str, Any]:
    """A report whose every free text is an attack."""
    summary: dict[str, Any] = json.loads(json.dumps(getattr(made_up, kind)()))
    names = {"add": f"add{HOSTILE}", "add-expert": f"expert{HOSTILE}", "sort": "</style></svg>sort"}

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(key, key): renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [renamed(item) for item in value]
        return names.get(value, value) if isinstance(value, str) else value

    summary = renamed(summary)
    for study in summary.get("studies", [summary]):
        study |= {"name": HOSTILE + study["name"], "method": HOSTILE, "sampler": HOSTILE, "recipe": HOSTILE}
        study |= {"command": HOSTILE, "notes": [HOSTILE], "environment": {HOSTILE: HOSTILE}}
        study["verdict"]["sentence"] = HOSTILE
        study["trials"][3] |= {"state": "failed", "validation": {}, "objective": None, "error": HOSTILE}
        for trial in study["trials"]:
            trial["parameters"] = {HOSTILE: f"{HOSTILE}{trial['number'] % 3}"}
        study["models"] = [{"label": study["law"]["sources"][0], "path": HOSTILE, "role": "source"}]
    return summary


@pytest.mark.parametrize("kind", ["single", "three", "several"])
def test_hostile_names_stay_text(kind: str) -> None:
    page = html(hostile(kind))
    parts, clean = Parts(page), Parts(html(getattr(made_up, kind)()))
    assert parts.tags.count("script") == 1
    assert parts.tags.count("style") == 1
    assert "img" not in parts.tags
    assert not [name for _, name, _ in parts.attributes if name.startswith("on")]
    assert set(parts.tags) - set(clean.tags) <= {"details", "summary", "pre", "p", "h3"}
    assert "alert(1)" in page  # it is shown, as text
    assert "49|" not in page  # and no template


def test_hostile_names_stay_text_in_markdown() -> None:
    text = markdown(hostile("single"))
    outside = re.sub(r"(?ms)^```+\w*\n.*?^```+$", "", text)
    assert not re.search(r"(?<!\\)<", outside)
    widths = {line.count("|") - line.count("\\|") for line in outside.splitlines() if line.startswith("| 0 |")}
    assert len(widths) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fetched(kind: str) -> None:
    page = html(getattr(made_up, kind)())
    for tag, name, value in Parts(page).attributes:
        if name in ("src", "srcset", "action", "poster", "data", "background") or name.endswith("href"):
            assert value.startswith(("#", "data:,")), (tag, name, value)
    assert "url(" not in page
    assert "@import" not in page
    assert not re.search(r"(?i)(https?:)?//[a-z0-9-]+\.[a-z]", page.replace("http://www.w3.org", ""))


def test_only_our_script_may_run() -> None:
    page = html(made_up.single())
    found = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page


CHARTS = {
    "single": ["ratio-chart", "forest-chart", "tradeoff-chart", "luck-chart"],
    "three": ["ternary-chart", "forest-chart", "tradeoff-chart", "luck-chart"],
    "four": ["parallel-chart", "forest-chart", "tradeoff-chart", "luck-chart"],
    "grouped": ["parallel-chart", "forest-chart", "tradeoff-chart", "luck-chart"],
    "running": ["ratio-chart", "tradeoff-chart", "luck-chart"],
    "robust": ["ratio-chart", "forest-chart", "tradeoff-chart", "luck-chart"],
}


@pytest.mark.parametrize("kind", CHARTS)
def test_the_charts_of_each_kind(kind: str) -> None:
    classes = [value for tag, name, value in Parts(html(getattr(made_up, kind)())).attributes if name == "class"]
    charts = {word for value in classes for word in value.split() if word.endswith("-chart")} - {"cell-chart"}
    assert charts == set(CHARTS[kind])


def test_every_draw_is_in_every_chart_that_shows_draws() -> None:
    summary = made_up.single()
    parts = Parts(html(summary))
    seen = [value for tag, name, value in parts.attributes if (tag, name) == ("circle", "data-trial")]
    panels, both = 3, 2  # objective and two tasks; wide and narrow
    pruned_panels = 2 + 2  # objective and the one task it was scored on: ratio chart, luck
    drawn = both * (panels + 1 + panels)  # ratio chart, trade-off, luck
    for trial in summary["trials"]:
        expected = {"complete": drawn, "pruned": both * pruned_panels, "failed": 0}[trial["state"]]
        assert seen.count(str(trial["number"])) == expected, trial


def test_the_first_sentence_is_the_headline() -> None:
    summary = made_up.single()
    summary["verdict"]["sentence"] = "It won by 3.1 points (95 % interval 0.2 to 6.0). Against the best parent it lost."
    page = html(summary)
    assert '<h1 class="verdict">It won by 3.1 points (95\u202f% interval 0.2 to 6.0).</h1>' in page
    assert '<p class="lead further">Against the best parent it lost.</p>' in page


def test_a_headline_has_real_minus_signs_and_keeps_names() -> None:
    summary = made_up.single()
    summary["verdict"]["sentence"] = "No difference was shown: phi-3 lost (-1.5 points, 95 % interval -3.0 to +0.5)."
    page = html(summary)
    assert "phi-3 lost (\u22121.5 points, 95\u202f% interval \u22123.0 to +0.5)." in page


def test_pairs_of_tasks_that_are_not_drawn_are_counted() -> None:
    five = {"version": 1, **made_up.study(("add", "sort", "flip", "copy", "count"), 4, 3)}
    assert "4 more pairs of tasks are not shown" in html(five)
    assert "more pairs of tasks" not in html(made_up.four())


def test_one_draw_has_no_spread_and_no_luck() -> None:
    made = made_up.study(count=1)
    text = markdown({"version": 1, **made})
    assert "The only draw scored" in text
    for absent in ("luckiest", "± 0.0", "best of 1"):
        assert absent not in text


@pytest.mark.parametrize(
    ("kind", "change", "badge"),
    [
        ("running", {}, "Not tested yet"),
        ("running", {"state": "finished", "winner": 0}, "Chosen, not proved"),
        ("running", {"state": "finished", "trials": []}, "Nothing chosen"),
        ("single", {}, "No clear difference"),
    ],
)
def test_the_badge(kind: str, change: dict[str, Any], badge: str) -> None:
    summary = getattr(made_up, kind)() | change
    assert f">{badge}</span>" in html(summary)


def test_an_alpha_that_varied_is_not_called_the_law() -> None:
    summary = made_up.single()
    for trial in summary["trials"]:
        trial["parameters"] = {"alpha": 0.3 + trial["number"] / 10}
    page = html(summary).split("</style>")[1]
    assert "Beta(α, α) with α varied too" in page
    assert "Beta(0.5, 0.5)" not in page.split('id="glossary"')[0]
    assert 'class="law-area"' not in page
    assert "used here" not in page


def test_raced_draws_are_compared_on_what_all_answered() -> None:
    assert "on the validation items that all of them answered" in html(made_up.single())  # one was dropped early
    assert "that all of them answered" not in html(made_up.three())
    assert "a draw dropped early" in html(made_up.single())
    assert "luckiest of 15 draws" in html(made_up.single())  # of 16 one failed


def test_the_spread_lies_within_its_picture() -> None:
    summary = made_up.three()
    summary["spread"]["objective"] |= {"mean": 0.1, "sd": 0.05}
    chart = luck_chart(summary, 920)  # type: ignore[arg-type]
    assert chart is not None
    box = re.search(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', chart)
    assert box is not None
    bar = re.search(r'<line x1="([\d.]+)" y1="[\d.]+" x2="[\d.]+" y2="[\d.]+" class="bar"', chart)
    assert bar is not None
    assert float(bar[1]) == pytest.approx(float(box[1]) + float(box[2]) / 2, abs=0.1)


def test_names_that_differ_at_their_end_stay_apart() -> None:
    first, second = "organisation__model-with-a-long-name-v1", "organisation__model-with-a-long-name-v2"
    assert clipped(first, 120) != clipped(second, 120)
    assert len(clipped(first, 120)) <= 120 / (12 * 0.56)
    assert clipped("short", 120) == "short"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["model.layers.0.up.weight", "model.layers.1.up.weight", "model.norm.weight"], ["layers.0.up", "layers.1.up",
         "norm"]),
        (["a.0.weight", "a.1.weight"], ["0", "1"]),
        (["attention", "mlp", "other"], ["attention", "mlp", "other"]),
        (["layer 0", "outside"], ["layer 0", "outside"]),
        (["a.weight", "a.a.weight"], ["weight", "a.weight"]),
        (["model"], ["model"]),
    ],
)  # fmt: skip
def test_groups_are_named_by_what_tells_them_apart(names: list[str], told: list[str]) -> None:
    assert told_apart(names) == told


def test_two_hundred_draws_are_no_burden() -> None:
    summary = {"version": 1, **made_up.study(count=200)}
    assert len(html(summary)) < 900_000


def test_a_source_keeps_its_colour_through_all_studies() -> None:
    page = html(made_up.several())  # add + sort, add + flip, sort + flip
    for palette in ("--s0:var(--c0);--s1:var(--c1)", "--s0:var(--c0);--s1:var(--c2)", "--s0:var(--c1);--s1:var(--c2)"):
        assert page.count(f'style="{palette}"') == 2


def test_what_varied_beside_the_ratio_is_told_of_the_winner() -> None:
    summary = made_up.single()
    for trial in summary["trials"]:
        trial["parameters"] = {"density": 0.5, "method": ("ties", "linear")[trial["number"] == summary["winner"]]}
    for told in (html(summary), markdown(summary)):
        assert "Drawn with it: method linear." in told
        assert "methods ties, linear" in told
    assert "Drawn with it" not in html(made_up.single())


def test_the_law_that_drew_is_no_other_law() -> None:
    """Draws are enough for their own α, and may yet be worth too little under any other one."""
    summary = made_up.single()
    for place, trial in enumerate(summary["trials"]):
        part = 10 ** (-0.38 * (place + 1))
        trial["ratio"] = [part, 1 - part]
    summary["law"]["alpha"] = [1.0, 1.0]
    estimates = wording.advice_of(summary)
    assert [item.alpha for item in estimates if item.enough] == [1.0]
    assert "too few effective draws under any other α" in wording.advice_sentence(summary, estimates)


def test_a_sampler_that_learns_gives_no_advice() -> None:
    page = html(made_up.grouped())
    assert "learns from scores" in page
    assert "Effective draws" not in page


def test_one_task_has_no_mean_over_tasks() -> None:
    summary = made_up.single()
    del summary["tasks"]["sort"]
    for trial in summary["trials"]:
        trial["validation"].pop("sort", None)
    for table in (summary["test"], summary["baselines"]):
        for scores in table.values():
            del scores["sort"], scores["objective"]
    for key in ("spread", "optimism"):
        del summary[key]["sort"], summary[key]["objective"]
    summary["paired"] = [pair | {"task": "add"} for pair in summary["paired"][:1]]
    page = html(summary)
    assert "Mean of the tasks" not in page
    assert "tradeoff-chart" not in page.split("</style>")[1]


def test_numbers_that_are_no_fractions() -> None:
    summary = made_up.single()
    summary["tasks"]["add"] |= {"unit": "number", "goal": "minimize", "metric": "perplexity"}
    page = html(summary)
    assert "perplexity, smaller is better" in page


def test_three_files_or_none(tmp_path: Path) -> None:
    summary = made_up.single()
    build(summary, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == summary
    assert (tmp_path / "report.html").stat().st_size < 400_000
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(ReportError):
        build(summary | {"seed": "none"}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_jinja(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match="pip install 'mixmerge"):
        build(made_up.single(), tmp_path)
    assert not list(tmp_path.iterdir())
    assert markdown(made_up.single())


def test_the_room_imports_nothing_heavy() -> None:
    heavy = ("torch", "optuna", "transformers", "numba", "plotly", "jinja2", "pandas")
    code = f"import sys, mixmerge.report.page as p; print([name for name in {heavy!r} if name in sys.modules])"
    clean = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert clean.stdout.strip() == "[]"
