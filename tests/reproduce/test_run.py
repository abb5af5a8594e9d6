"""The whole path on tiny stand-ins: merge, score, keep, report, go on. No number here says anything of the paper."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mixmerge
from mixmerge.evaluation.judging.cost import Cost
from mixmerge.evaluation.judging.judge import Judge, Pair, Verdicts
from mixmerge.recipe import recipe_hash
from mixmerge.reproduce import ReproduceError, outline, reproduce
from mixmerge.reproduce.events import Doing, Event, Measured
from mixmerge.reproduce.report import html, markdown
from mixmerge.reproduce.summary import Summary
from support.models import weight_bytes

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

CELL = "lm-math-ties"


class Told(list[Any]):
    """Listens; stops the run once it heard of a number, where asked to."""

    def __init__(self, stop: bool = False) -> None:
        self.stop = stop

    def __call__(self, event: Event) -> None:
        if isinstance(event, Doing | Measured):
            self.append(event)
        if self.stop and isinstance(event, Measured):
            raise KeyboardInterrupt


class Fair(Judge):
    """Prefers every other answer."""

    def cost(self, pairs: Sequence[Pair]) -> Cost:
        return Cost(0, 0, 0, None)

    def record(self) -> dict[str, str | int | bool]:
        return {"judge": "fair"}

    def _compare(self, pairs: Sequence[Pair], workers: int) -> Verdicts:
        return Verdicts(tuple(float(number % 2) for number in range(len(pairs))), 0, len(pairs), 0)


@pytest.fixture(scope="module")
def done(models: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A cell of which two of three tasks can be scored here, and one of which none can."""
    out = tmp_path_factory.mktemp("run") / "out"
    return reproduce("headline", [CELL, "lm-code-ties"], out=out, models=[models], data_dir=data)


def cell(found: Summary, name: str = CELL) -> dict[tuple[str, str], Any]:
    (rows,) = (one.rows for one in found.cells if one.name == name)
    return {(row.measure, row.arm): row for row in rows}


def kept(folder: str | Path, name: str = CELL) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "cells" / f"{name}.json").read_text())
    return found


def test_scores_stand_beside_what_was_published(done: Summary) -> None:
    rows = cell(done)
    row = rows["m3_gsm8k", "with M³"]
    assert (row.published, row.n) == (18.6, 4)
    assert row.score in (0.0, 25.0, 50.0, 75.0, 100.0)
    assert row.difference == row.score - 18.6
    assert row.low <= row.score <= row.high
    assert rows["m3_math", "without M³"].published == 2.1
    assert rows["m3_alpaca_eval", "with M³"].score is None
    assert "needs a judge" in rows["m3_alpaca_eval", "with M³"].why
    code = cell(done, "lm-code-ties")
    assert "--allow-code-execution" in code["m3_mbpp", "with M³"].why
    assert cell(done, "lm-code-ties-dare")["m3_mbpp", "with M³"].why == "not asked for"


def test_what_m3_adds(done: Summary) -> None:
    """Paired over items: the mean is the difference of the two scores, and the interval holds it."""
    (found,) = (one for one in done.cells if one.name == CELL)
    assert [gain.words for gain in found.gains] == ["GSM8K accuracy", "MATH accuracy"]
    rows = cell(done)
    for gain, name, published in zip(found.gains, ("m3_gsm8k", "m3_math"), (4.0, 0.4), strict=True):
        assert gain.points == pytest.approx(rows[name, "with M³"].score - rows[name, "without M³"].score)
        assert gain.published == pytest.approx(published)
        assert gain.low is not None
        assert gain.high is not None
        assert gain.low <= gain.points <= gain.high
    text = (Path(done.folder) / "report.md").read_text()
    assert f"GSM8K accuracy, with M³ less without: {found.gains[0].points:+.1f}" in text
    assert "here, +4.0 published" in text


def test_a_recipe_alone_gives_the_same_scores(done: Summary, data: Path, tmp_path: Path) -> None:
    """What the run wrote down is enough to do by hand what it did."""
    folder, arm = Path(done.folder), kept(done.folder)["with"]
    merged = mixmerge.merge(folder / "recipes" / arm["recipe"], tmp_path / "merged")
    assert merged["ratios"] == arm["ratios"]
    assert recipe_hash(mixmerge.load_recipe(folder / "recipes" / arm["recipe"])) == arm["recipe_sha256"]
    found = mixmerge.evaluate(tmp_path / "merged", ["m3_gsm8k", "m3_math"], prompt="alpaca", data_dir=data)
    for task in found.tasks:
        record = json.loads((folder / arm["measures"][task.name]["record"]).read_text())
        answers = next(one for one in record["tasks"] if one["name"] == task.name)["samples"]
        assert [sample["answer"] for sample in answers] == [sample.answer for sample in task.samples]
        assert task.estimate is not None
        assert arm["measures"][task.name]["score"] == task.estimate.mean


def test_weights_are_not_kept(done: Summary) -> None:
    assert not list(Path(done.folder).rglob("*.safetensors"))
    assert not (Path(done.folder) / "models").exists()


def test_reports(done: Summary) -> None:
    folder = Path(done.folder)
    text, page = (folder / "report.md").read_text(), (folder / "report.html").read_text()
    for words in ("published, not measured by us", "One ratio was drawn", "not stated where we could read it", "14.6"):
        assert words in text
        assert words in page
    assert "| lm-code-ties | HumanEval pass@1 | 0.0 | 25.6 | runs programs" in text
    assert "http" not in page.replace("https:", "http:").replace("--judge", "").split("</style>")[1]
    assert json.loads((folder / "report.json").read_text())["cells"] == json.loads(json.dumps(done.record()["cells"]))


def test_what_comes_from_outside_is_escaped(done: Summary) -> None:
    bad = "<script>alert(1)</script> | `x` [a](b)"
    changed = replace(done, models={"lm": bad}, cells=tuple(replace(one, ratio=bad) for one in done.cells))
    assert "<script" not in html(changed)
    assert "&lt;script&gt;" in html(changed)
    settings = markdown(changed).rpartition("## Settings")[2]
    assert r"\<script\>alert(1)\</script\> \| \`x\` \[a\](b)" in settings


def test_a_finished_cell_is_not_measured_again(done: Summary, models: Path, data: Path) -> None:
    before, told = kept(done.folder), Told()
    again = reproduce(
        "headline", [CELL, "lm-code-ties"], out=done.folder, models=[models], data_dir=data, listeners=[told]
    )
    assert told == []
    assert kept(done.folder) == before
    assert again.cells == done.cells


def test_what_is_allowed_later_is_added(done: Summary, models: Path, data: Path, tmp_path: Path) -> None:
    import shutil

    out, told = tmp_path / "copy", Told()
    shutil.copytree(done.folder, out)
    found = reproduce(
        "headline", [CELL], out=out, models=[models], data_dir=data, judge=Fair(), keep_models=True, listeners=[told]
    )
    measured = [event.words for event in told if isinstance(event, Measured)]
    assert measured == ["AlpacaEval win rate"] * 2
    row = cell(found)["m3_alpaca_eval", "without M³"]
    assert (row.score, row.n, row.published) == (pytest.approx(100 / 3), 3, None)
    assert cell(found)["m3_gsm8k", "with M³"] == cell(done)["m3_gsm8k", "with M³"]
    assert kept(out)["with"]["measures"]["m3_alpaca_eval"]["prompt"] == "vicuna"
    assert sorted(path.name for path in (out / "models").iterdir()) == [f"{CELL}-with-m3", f"{CELL}-without-m3"]


def test_an_interrupted_run_goes_on(done: Summary, models: Path, data: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {"out": tmp_path / "out", "models": [models], "data_dir": data}
    with pytest.raises(KeyboardInterrupt):
        reproduce("headline", [CELL], listeners=[Told(stop=True)], **words)
    assert set(kept(tmp_path / "out")) == {"without"}
    weights = weight_bytes(tmp_path / "out" / "models" / f"{CELL}-without-m3")
    assert weights
    told = Told()
    found = reproduce("headline", [CELL], listeners=[told], **words)
    assert {event.merge for event in told} == {"LM & Math, TIES, with M³"}
    assert cell(found) == cell(done)


def test_a_merge_that_is_there_is_taken(models: Path, data: Path, tmp_path: Path) -> None:
    """Stopped while it scored: the same command does not merge again."""
    words: dict[str, Any] = {
        "out": tmp_path / "out", "models": [models], "data_dir": data, "tasks": ["m3_gsm8k"], "keep_models": True,
    }  # fmt: skip
    reproduce("grid", ["lm-math-average-dare"], **words)
    folder = tmp_path / "out" / "models" / "lm-math-average-dare-with-m3"
    before = folder.stat().st_ino
    (tmp_path / "out" / "cells" / "lm-math-average-dare.json").unlink()
    found = reproduce("grid", ["lm-math-average-dare"], **words)
    assert folder.stat().st_ino == before
    assert cell(found, "lm-math-average-dare")["m3_gsm8k", "with M³"].score is not None
    assert cell(found, "lm-math-average-dare")["m3_math", "with M³"].why == "not asked for"


def test_the_best_of_several_draws(models: Path, data: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {"models": [models], "data_dir": data, "tasks": ["m3_gsm8k"], "draws": 2}
    found = reproduce("headline", [CELL], out=tmp_path / "out", **words)
    arms = kept(tmp_path / "out")
    choice = arms["with"]["choice"]
    assert arms["without"]["choice"] is None
    assert choice["draws"] == 2
    assert arms["with"]["ratios"] == {"model": choice["ratio"]}
    trials = mixmerge.Study(tmp_path / "out" / "studies" / CELL).trials
    assert len(trials) == 2
    assert choice["score"] == max(trial["value"] for trial in trials)
    record = json.loads((tmp_path / "out" / arms["with"]["measures"]["m3_gsm8k"]["record"]).read_text())
    items = {sample["item"]: sample["score"] for sample in record["tasks"][0]["samples"]}
    used = choice["items"]["m3_gsm8k"]
    assert 0 < len(used) < len(items)
    assert choice["score"] == pytest.approx(sum(items[item] for item in used) / len(used))
    rest = [score for item, score in items.items() if item not in used]
    row = cell(found)["m3_gsm8k", "with M³"]
    assert (row.held_out, row.n_held_out) == (pytest.approx(100 * sum(rest) / len(rest)), len(rest))
    plain = json.loads((tmp_path / "out" / arms["without"]["measures"]["m3_gsm8k"]["record"]).read_text())
    before = [sample["score"] for sample in plain["tasks"][0]["samples"] if sample["item"] not in used]
    (gain,) = next(one for one in found.cells if one.name == CELL).gains
    assert gain.held_out == len(rest)  # items that chose the ratio do not speak for it
    assert gain.points == pytest.approx(100 * (sum(rest) - sum(before)) / len(rest))
    text = (tmp_path / "out" / "report.md").read_text()
    assert "best of 2 draws" in text
    assert f"on the {len(rest)} items that did not choose, " in text


def test_stresstest(models: Path, data: Path, tmp_path: Path) -> None:
    found = reproduce("stresstest", ["lm-code-task-arithmetic"], out=tmp_path / "out", models=[models], data_dir=data)
    rows = cell(found, "lm-code-task-arithmetic")
    measures = kept(tmp_path / "out", "lm-code-task-arithmetic")["with"]["measures"]
    for name in ("stresstest_sst2", "stresstest_cola"):
        row, kept_one = rows[name, "with M³"], measures[name]
        assert row.published == 31.7
        report = json.loads((tmp_path / "out" / kept_one["record"]).read_text())
        assert (report["attack"], len(report["results"][0]["runs"][0]["tried"])) == ("stresstest", 4)
        if kept_one["clean"]:
            assert row.score == pytest.approx(100 * (1 - kept_one["attacked"] / kept_one["clean"]))
        else:
            assert "nothing to lose" in row.why
    (tmp_path / "out" / "cells" / "lm-code-task-arithmetic.json").unlink()  # or stopped before it was written
    again = reproduce("stresstest", ["lm-code-task-arithmetic"], out=tmp_path / "out", models=[models], data_dir=data)
    assert again.cells == found.cells


def test_another_run_is_not_mixed_in(done: Summary, models: Path, data: Path) -> None:
    with pytest.raises(ReproduceError) as refused:
        reproduce("headline", [CELL], out=done.folder, models=[models], data_dir=data, seed=1, limit=2)
    assert [problem.value for problem in refused.value.problems] == ["1, not 0", "2, not None"]


def test_an_outline_knows_the_cost(models: Path, data: Path, tmp_path: Path) -> None:
    found = outline("grid", ["lm-math-task-arithmetic"], out=tmp_path / "out", models=[models], data_dir=data)
    assert found.problems == ()
    assert [job.wanted for job in found.jobs] == [("m3_gsm8k", "m3_math")] * 2
    costs = [job.cost for job in found.jobs]
    assert all(cost is not None and cost.read > 3 * 60_000 for cost in costs)
    assert found.disk == max(cost.disk for cost in costs if cost is not None)
    assert set(found.lacks) == {"m3_alpaca_eval"}
    assert not (tmp_path / "out").exists()
