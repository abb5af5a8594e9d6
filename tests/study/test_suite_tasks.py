"""Tasks of the suite as the objective of a study: asked as `mixmerge eval` asks, and part of what a study is."""

from __future__ import annotations

import json
import pickle
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mixmerge
from mixmerge.errors import MixmergeError, PlanError
from mixmerge.evaluation import TaskError
from mixmerge.evaluation.execution import walls
from mixmerge.evaluation.scoring.final_number import final_number
from mixmerge.evaluation.suite import Resources
from mixmerge.evaluation.suite.opening import Settings as Asking
from mixmerge.recipe import canonical, parse_recipe
from mixmerge.report import validate
from mixmerge.study import Study, explore
from mixmerge.study.serving import Server
from mixmerge.study.settings import settle
from mixmerge.study.suites import notes_on, spelled_out
from mixmerge.study.workbench import Job, Parent, Setup, Workbench

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

QUESTIONS = ["1+1=", "2+2=", "what is 3", "a b c", "0 1 2 3", "fox", "dog 4", "lazy 9"]
FREE = ["m3_gsm8k", "m3_math", "m3_livebench_instruction", "m3_livebench_typos"]


def write_data(folder: Path, golds: Sequence[object]) -> Path:
    folder.mkdir()
    rows = [{"question": q, "answer": f"#### {gold}"} for q, gold in zip(QUESTIONS, golds, strict=True)]
    (folder / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def data(tiny, tmp_path_factory) -> Path:
    """GSM8K in small, most of whose answers are what the first parent says, asked in the style `raw`."""
    place = tmp_path_factory.mktemp("data")
    blank = write_data(place / "blank", [1] * len(QUESTIONS))
    said = mixmerge.evaluate(tiny.a, ["m3_gsm8k"], prompt="raw", data_dir=blank, compute="float32")
    numbers = [final_number(sample.answer or "") for sample in said.tasks[0].samples]
    golds = [7 if number is None or number.denominator != 1 or place % 3 == 0 else number.numerator
             for place, number in enumerate(numbers)]  # fmt: skip
    assert golds.count(7) < len(golds) - 1
    return write_data(place / "data", golds)


@pytest.fixture(scope="module")
def study(tiny, data, tmp_path_factory) -> Study:
    return run(tiny, tmp_path_factory.mktemp("study") / "s", data)


def run(tiny: Any, folder: Path, data: Path, **other: Any) -> Study:
    words = {"prompt": "raw", "data_dir": data, "draws": 2, **other}
    return explore(tiny.recipe, ["m3_gsm8k"], folder=folder, **words)


def test_a_parent_has_the_scores_of_eval(tiny, data, study) -> None:
    done = mixmerge.evaluate(tiny.a, ["m3_gsm8k"], prompt="raw", data_dir=data, compute="float32").tasks[0]
    lines = (study.folder / "items" / "source-1.test.jsonl").read_text().splitlines()
    found = {line["item"]: line["score"] for line in map(json.loads, lines)}
    assert found == {number: done.samples[number].score for number in found}
    assert sum(sample.score for sample in done.samples) > 0
    validate(study.summary)


def test_what_the_study_says_of_its_data(data, study) -> None:
    said = json.loads((study.folder / "study.json").read_text())
    (digest,) = said["data"]["m3_gsm8k"]
    assert len(digest) == 32
    assert (said["prompt"], said["limit"]) == ("raw", None)
    assert said["places"] == {"m3_gsm8k": [str(data / "gsm8k_test.jsonl")]}
    assert f"m3_gsm8k: 8 rows of {data / 'gsm8k_test.jsonl'}, prompt raw" in study.summary["notes"]
    assert study.summary["environment"]["platform"] == f"{platform.system()} {platform.machine()}"


def test_it_goes_on_with_the_same_data_elsewhere(tiny, data, study, tmp_path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    rows = [json.loads(line) for line in (data / "gsm8k_test.jsonl").read_text().splitlines()]
    (moved / "gsm8k_test.json").write_text(json.dumps(rows))
    before = [row["value"] for row in study.trials]
    again = run(tiny, study.folder, moved, draws=3)
    assert [row["value"] for row in again.trials][:2] == before
    assert len(again.trials) == 3


@pytest.mark.parametrize(
    ("other", "told"),
    [({"prompt": "vicuna"}, "prompt was raw, now vicuna"), ({"limit": 4}, "limit was null, now 4")],
)
def test_it_does_not_go_on_as_another(tiny, data, study, other, told) -> None:
    with pytest.raises(PlanError, match=told):
        run(tiny, study.folder, data, **other)


def test_it_does_not_go_on_with_other_data(tiny, data, study, tmp_path) -> None:
    other = write_data(tmp_path / "other", [5] * len(QUESTIONS))
    with pytest.raises(PlanError, match=r"data\.m3_gsm8k was"):
        run(tiny, study.folder, other)


def test_a_limit_is_of_every_task(tiny, data, tmp_path) -> None:
    """Of one that is divided, before; of one its author divided, on each side."""
    lines = Path(tiny.tasks[0]).read_text().splitlines(keepends=True)
    for part in ("validation", "test"):
        (tmp_path / f"parts.{part}.jsonl").write_text("".join(lines[:12] if part == "test" else lines[12:]))
    tasks = ["m3_gsm8k", *map(str, sorted(tmp_path.glob("*.jsonl"))), str(tiny.tasks[1])]
    study = explore(tiny.recipe, tasks, folder=tmp_path / "s", data_dir=data, limit=5, draws=1)
    sizes = {name: (task["validation_n"], task["test_n"]) for name, task in study.summary["tasks"].items()}
    assert sizes["parts"] == (5, 5)
    assert sum(sizes["m3_gsm8k"]) == 5
    assert sum(sizes["numbers"]) == 5


@pytest.mark.parametrize(
    ("tasks", "options", "told"),
    [
        (["m3_alpaca_eval"], {}, "a study asks none"),
        (["m3_alpaca_eval"], {}, "mixmerge eval OUT --tasks m3_alpaca_eval"),
        (["m3/mbpp"], {}, "say --allow-code-execution"),
        (["m3_gsm8k"], {"data_dir": "nowhere"}, "check --data-dir"),
        (["m3_gsm8k"], {"prompt": "alpacca"}, "did you mean 'alpaca'?"),
        (["m3_gsm8k"], {"prompt": "chat_template"}, "every model's tokenizer has a chat template"),
        (["m3_gsm8k"], {"limit": 0}, "limit is at least 1"),
        (["m3_gsm8k"], {"limit": 1}, "two different items"),
        (["m3_gsm8k"], {"device": "cudaa"}, "did you mean 'cuda'?"),
        (["m3_gsm8k"], {"device": "meta"}, "it holds no numbers"),
    ],
)
def test_what_is_refused_before_anything_is_written(tiny, data, tmp_path, tasks, options, told) -> None:
    with pytest.raises(MixmergeError) as caught:
        explore(tiny.recipe, tasks, folder=tmp_path / "s", **{"data_dir": data, **options})
    assert told in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "s").exists()


def test_a_suite_is_what_may_be_asked_of_it() -> None:
    assert list(spelled_out(["m3", "own.jsonl", "m3_gsm8k"], Asking())) == [*FREE, "own.jsonl"]
    allowed = Asking(resources=Resources(execute=True))
    assert set(spelled_out(["m3"], allowed)) - set(FREE) == {"m3_humaneval", "m3_mbpp", "m3_livebench_coding"}
    left = list(notes_on(["m3"], {}, Asking()))
    assert [note.split()[0] for note in left] == ["m3_humaneval", "m3_mbpp", "m3_alpaca_eval", "m3_livebench_coding"]
    assert "paid for" in left[2]
    with pytest.raises(TaskError) as caught:
        spelled_out(["m3_alpaca_eval", "m3_mbpp"], Asking())
    assert len(caught.value.problems) == 2


def test_the_environment_speaks_where_nobody_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXMERGE_PROMPT", "vicuna")
    monkeypatch.setenv("MIXMERGE_DATA_DIR", "there")
    assert settle(None, ["m3"], {}).asking == Asking(prompt="vicuna", data_dir=Path("there"))
    said = settle(None, ["m3"], {"prompt": "raw", "data_dir": "here"}).asking
    assert (said.prompt, said.data_dir) == ("raw", Path("here"))
    section = parse_recipe(RECIPE).study
    asked = settle(section, None, {"limit": 3})
    assert (asked.asking.prompt, asked.data_dir, asked.limit) == ("raw", "data", 3)


RECIPE = """\
merge_method: linear
models: [{model: a}, {model: b}]
mixup: {alpha: 0.5}
study: {tasks: [m3_gsm8k], prompt: raw, data_dir: data, limit: 20}
"""


def test_programs_are_run_where_that_is_allowed(tiny, tmp_path) -> None:
    """A model that writes letters passes nothing; the settings travel to other processes."""
    if walls().missing:
        pytest.skip("this machine lacks walls")
    rows = [
        {"task_id": number, "text": "give 1.", "code": "def one():\n    return 1", "test_list": ["assert one() == 1"]}
        for number in (11, 12)
    ]
    (tmp_path / "mbpp.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asking = Asking(data_dir=tmp_path, resources=Resources(execute=True))
    setup = Setup(canonical(parse_recipe(tiny.recipe)), ("m3_mbpp",), tmp_path / "scratch", threads=1, asking=asking)
    bench = Workbench(pickle.loads(pickle.dumps(setup)))
    result = bench.run(Job("x", Parent(0), {"m3_mbpp": np.arange(2)}))
    bench.close()
    assert result.error == ""
    assert result.scores["m3_mbpp"][1].tolist() == [0.0, 0.0]


def test_through_a_server(tiny, tmp_path) -> None:
    """One that says nothing but zeros, and so is right about every other question."""
    script = Path(__file__).parents[1] / "support" / "completions.py"
    command = shlex.join([sys.executable, str(script), "{model}", "{port}", "bytes"])
    asking = Asking(prompt="raw", data_dir=write_data(tmp_path / "zeros", [0, 1] * 4))
    setup = Setup(
        canonical(parse_recipe(tiny.recipe)), ("m3_gsm8k",), tmp_path / "scratch", threads=1, asking=asking,
        server=Server(command),
    )  # fmt: skip
    bench = Workbench(setup)
    result = bench.run(Job("x", Parent(0), {"m3_gsm8k": np.arange(8)}))
    bench.close()
    assert result.error == ""
    assert result.scores["m3_gsm8k"][1].tolist() == [1.0, 0.0] * 4
