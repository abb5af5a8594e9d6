"""What cannot be run is refused before anything is written, everything that is wrong at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mixmerge.reproduce import ReproduceError, outline, reproduce
from mixmerge.reproduce.grid import MODELS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def refusals(table: str, *cells: str, **words: Any) -> list[tuple[str, str, str]]:
    """(rule, value, cure) of each problem."""
    with pytest.raises(ReproduceError) as refused:
        reproduce(table, cells, **words)
    assert refused.value.exit_code == 2
    return [(problem.rule, problem.value, problem.cure) for problem in refused.value.problems]


def test_names(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert refusals("gird", out=out) == [("there is no such table", "'gird'", "did you mean 'grid'?")]
    found = refusals("ood", "lm-math-tie", "lm-cod-average", "lm-math-ties", out=out)
    assert [value for _, value, _ in found] == ["'lm-math-tie'", "'lm-cod-average'"]
    assert found[0][2] == "did you mean 'lm-math-ties'?"
    assert not out.exists()


def test_names_by_themselves_and_what_is_no_list(models: Path, tmp_path: Path) -> None:
    words: Any = {"out": tmp_path / "out", "models": str(models), "tasks": "m3_gsm8k"}
    alone = outline("headline", "lm-math-ties", **words)
    assert (alone.request.cells, alone.request.models) == (("lm-math-ties",), (str(models),))
    assert alone.request.tasks == ("m3_gsm8k",)
    assert [cell.name for cell in alone.cells] == ["lm-math-ties"]
    with pytest.raises(ReproduceError) as refused:
        outline("headline", 3, out=tmp_path / "out", models={"lm": "x"}, tasks=1)  # type: ignore[arg-type]
    assert [problem.place for problem in refused.value.problems] == ["cells", "models", "tasks"]


def test_everything_at_once(models: Path, data: Path, tmp_path: Path) -> None:
    few, empty, out = tmp_path / "few", tmp_path / "no data", tmp_path / "out"
    shutil.copytree(models / "base", few / "Llama-2-13b-hf")
    shutil.copytree(models / "lm", few / "lm")
    empty.mkdir()
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    found = refusals(
        "headline", "lm-math-ties", out=out, models=[few, "cod=x", "nowhere"], data_dir=empty, draws=0, tasks=["m3_gsm"]
    )
    assert [(rule, value) for rule, value, _ in found] == [
        ("draws is at least 1", "0"),
        ("there is no such task in these cells", "'m3_gsm'"),
        ("a model has a known role", "'cod'"),
        ("the models' folder exists", "no such folder"),
        ("the models' folder holds the model 'math'", "no such folder in it"),
        ("the output folder is new, or that of an earlier run", "other files"),
    ]
    assert "did you mean 'code'?" in found[2][2]
    assert "math or WizardMath-13B-V1.0" in found[4][2]
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_data(models: Path, tmp_path: Path) -> None:
    empty = tmp_path / "no data"
    empty.mkdir()
    found = refusals("headline", "lm-math-ties", out=tmp_path / "out", models=[models], data_dir=empty)
    assert [(rule, value) for rule, value, _ in found] == [
        ("the data folder holds the data of m3_gsm8k", "no gsm8k_test.jsonl"),
        ("the data folder holds the data of m3_math", "no math_test.jsonl"),
    ]
    assert "published" in found[0][2]
    found = refusals("stresstest", "lm-math-ties", out=tmp_path / "out", models=[models], data_dir=empty, draws=3)
    assert found[0][1] == "stresstest_sst2, stresstest_cola"
    assert len(found) == 3
    assert not (tmp_path / "out").exists()


def test_models(models: Path, data: Path, tmp_path: Path) -> None:
    words: dict[str, Any] = {"out": tmp_path / "out", "data_dir": data}
    found = refusals("headline", "lm-math-ties", models=[models, f"lm={tmp_path}/none"], **words)
    assert [(rule, value) for rule, value, _ in found] == [("the model 'lm' is there", "no such folder")]
    found = refusals("headline", "lm-math-ties", models=[models, f"lm={tmp_path}"], **words)
    assert len(found) == 1, "the same fault is told once"
    ready = outline("headline", ["lm-math-ties"], models=[], **words)
    assert ready.models == {role: MODELS[role] for role in ("base", "lm", "math")}
    assert [job.cost for job in ready.jobs] == [None, None]
    assert ready.disk is None
    ready = outline("headline", ["lm-math-ties"], models=[models, "math=owner/other"], **words)
    assert ready.models["math"] == "owner/other"
    assert ready.models["lm"] == str(models / "lm")


def test_a_hub_that_does_not_answer(data: Path, tmp_path: Path) -> None:
    """Nothing is begun before the headers of all models were seen."""
    words: dict[str, Any] = {"out": tmp_path / "out", "models": ["lm=nobody/none-of-it"], "data_dir": data}
    with pytest.raises(ReproduceError) as refused:
        reproduce("headline", ["lm-math-ties"], **words)
    assert len(refused.value.problems) == 3
    assert "nobody/none-of-it" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_places(models: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    words: dict[str, Any] = {"models": [models], "data_dir": data}
    found = refusals("headline", "lm-math-ties", out=tmp_path / "file", **words)
    assert [value for _, value, _ in found] == ["a file of that name"]
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "reproduce.json").write_text("{")
    found = refusals("headline", "lm-math-ties", out=broken, **words)
    assert [rule for rule, _, _ in found] == ["a file of an earlier run can be read"]
    assert (broken / "reproduce.json").read_text() == "{"


def test_a_run_killed_before_it_knew_what_it_was_begins(models: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".reproduce.json.4711.tmp").write_text("{")
    assert not outline("headline", ["lm-math-ties"], out=tmp_path / "out", models=[models], data_dir=data).problems


@pytest.mark.parametrize("text", ["[", "[]", '{"with": 1}', '{"with": {"measures": {"m3_gsm8k": {"score": 1}}}}'])
def test_a_damaged_cell(models: Path, data: Path, tmp_path: Path, text: str) -> None:
    cells = tmp_path / "out" / "cells"
    cells.mkdir(parents=True)
    asked = outline("headline", ["lm-math-ties"], out=tmp_path / "out", models=[models], data_dir=data)
    asked.store.begin(asked.identity)
    (cells / "lm-math-ties.json").write_text(text)
    found = refusals("headline", "lm-math-ties", out=tmp_path / "out", models=[models], data_dir=data)
    assert [rule for rule, _, _ in found] == ["a file of an earlier run can be read"]
    assert "measured again" in found[0][2]


def test_unknown_keywords_are_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="drows"):
        outline("headline", out=tmp_path, drows=2)  # type: ignore[call-arg]
