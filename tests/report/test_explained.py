"""What the page draws, it explains: legends and the sentences above its charts."""

import re

from mixmerge.report import html
from mixmerge.report.charts import forest_chart
from report import made_up


def legends(page: str) -> list[str]:
    """What the legends of a page say."""
    lists = re.findall(r'<ul class="legend">(.*?)</ul>', page, re.DOTALL)
    return [re.sub(r"<[^>]*>", "", item) for text in lists for item in re.findall(r"<li>(.*?)</li>", text, re.DOTALL)]


def test_what_the_chart_of_the_ratio_draws_is_explained() -> None:
    summary = made_up.single()
    page = html(summary)
    assert 'class="band"' in page
    assert 'class="rug failed"' in page
    assert 'class="stem' not in page
    assert legends(page) == [
        "a draw, coloured by λ", "the winner", "a draw dropped early, over the items it answered",
        "a ratio that failed", "Equal ratio", "its 95 % interval", "add-expert", "sort-expert", "Base model, dashed",
    ]  # fmt: skip
    for merge in summary["baselines"].values():  # no interval, no band
        for score in merge.values():
            del score["low"], score["high"]
    summary["trials"][0]["validation"]["add"] |= {"low": 0.0, "high": 1.0}
    page = html(summary)
    assert 'class="band"' not in page
    assert 'class="stem' in page
    assert "its 95 % interval" not in legends(page)
    assert "the 95 % interval of a draw" in legends(page)
    del summary["baselines"]  # then the lines are those of the test
    assert "its 95 % interval" in legends(html(summary))
    assert legends(html(made_up.three())) == ["a draw, from the worst score to the best", "the winner"]


def test_whose_share_an_axis_shows_is_told() -> None:
    told = "A group's number is λ, the share of add-expert."
    assert told in html(made_up.grouped()).replace("&#39;", "'")
    assert "the share of add-expert." not in html(made_up.four())


def test_a_short_row_leaves_out_the_winner_only() -> None:
    study = made_up.study()
    assert "− Base model" in (forest_chart(study, 360) or "")
    for row in study["paired"]:
        row["a"] = "base" if row["b"] == "equal" else row["a"]
    chart = forest_chart(study, 360) or ""
    assert "− Equal ratio" not in re.sub('data-tip="[^"]*"', "", chart)
    assert "means: the winner minus the merge named" in html(made_up.single())


def test_a_front_is_told_of_only_as_what_is_drawn() -> None:
    page = html(made_up.single())
    assert "A line joins those that no other draw beats on both tasks (the Pareto front)" in page
    assert "where there are several" in page
