"""`mixmerge.evaluate`, and that lm-eval asks and scores alike from the definitions that are shipped."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mixmerge
from evaluation.conftest import bytes_tokenizer, llama, save
from evaluation.test_lm_eval import CHOICE
from evaluation.test_lm_eval import folder as yaml_task
from mixmerge.errors import CheckpointError, OutputError
from mixmerge.evaluation import LiveBackend, LiveModel, LmEvalTask, TaskError, load_tasks, suite
from mixmerge.evaluation.greedy import Ending, answers, fitted, wrap
from mixmerge.evaluation.judging.cost import Cost
from mixmerge.evaluation.judging.judge import Judge, Pair, Verdicts
from mixmerge.evaluation.results import Asked, Note, Scored
from mixmerge.evaluation.scoring.final_number import final_number
from mixmerge.evaluation.suite import Resources, TaskName, declared, named
from mixmerge.evaluation.suite.lm_eval_glue import FOLDER
from mixmerge.evaluation.suite.opening import Opened, Settings, open_tasks
from mixmerge.evaluation.suite.prompts import TURNS

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[assistant]"
QUESTIONS = ["1?", "Two and 2?", "What is 5 times 17, if 3 are lost?", "a b c d", "0 1 2 3", "fox", "dog", "lazy 9"]


LIMIT = 40
"""Tokens of an answer where lm-eval's loop and ours are compared."""


def let_it_say(model: Any, tokens: Sequence[int]) -> None:
    """Exchange the rows of these tokens with those of tokens the model says now and then."""
    import torch

    starts = torch.arange(10, 60)[:, None]
    said = model.generate(starts, do_sample=False, max_new_tokens=12, min_new_tokens=12, pad_token_id=1)[:, 1:]
    common = torch.bincount(said.flatten(), minlength=300).argsort(descending=True).tolist()
    others = [token for token in common if token not in (0, 1, *tokens)][1 : 1 + len(tokens)]
    with torch.no_grad():
        for table in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
            for token, other in zip(tokens, others, strict=True):
                table[[token, other]] = table[[other, token]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that says digits and ends its answers now and then, with a chat template."""
    inner = llama(tied=False)
    inner.config.max_position_embeddings = 512
    tokenizer = bytes_tokenizer(begin=True)
    tokenizer.chat_template = TEMPLATE
    let_it_say(inner, [*tokenizer.convert_tokens_to_ids(["7", "2"]), tokenizer.eos_token_id])
    return save(inner, tokenizer, tmp_path_factory.mktemp("ends"))


def short(opened: Opened) -> LmEvalTask:
    """The task with shorter answers than its definition allows."""
    opened.task._task.set_config(key="generation_kwargs", value={"max_gen_toks": LIMIT}, update=True)
    return opened.task


@pytest.fixture(scope="module")
def live(model: Path) -> LiveModel:
    return LiveModel.load(model, dtype="float32")


def write_gsm8k(folder: Path, golds: Sequence[str]) -> Path:
    rows = [{"question": q, "answer": f"#### {gold}"} for q, gold in zip(QUESTIONS, golds, strict=True)]
    folder.mkdir(exist_ok=True)
    (folder / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def data(live: LiveModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GSM8K rows whose results are what the model says, for every other one: scores of 0 and of 1."""
    folder = write_gsm8k(tmp_path_factory.mktemp("data"), ["1"] * len(QUESTIONS))
    (opened,) = open_tasks(named("m3_gsm8k"), Settings(prompt="alpaca", data_dir=folder))
    said = [final_number(sample.answer or "") for sample in LiveBackend(live).samples(short(opened), range(8))]
    golds = [str(number) if number is not None and number.denominator == 1 else "123456" for number in said]
    return write_gsm8k(folder, [gold if place % 2 else "123456" for place, gold in enumerate(golds)])


def lm_eval_alone(live: LiveModel, data: Path, prompt: str) -> list[tuple[str, str, float]]:
    """Prompt, answer and score of every item as lm-eval's own evaluator and generation loop have them."""
    from lm_eval import evaluator
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        manager = TaskManager(
            include_path=str(FOLDER), include_defaults=False, metadata={"prompt": prompt, "data_dir": str(data)}
        )
        lm = HFLM(pretrained=live.model, tokenizer=live.tokenizer, batch_size=3)
        found = evaluator.simple_evaluate(
            lm, tasks=["m3_gsm8k"], task_manager=manager, bootstrap_iters=0,
            apply_chat_template=prompt == "chat_template", gen_kwargs={"max_gen_toks": LIMIT},
        )  # fmt: skip
    samples = sorted(found["samples"]["m3_gsm8k"], key=lambda sample: sample["doc_id"])
    return [(s["arguments"][0][0], s["filtered_resps"][0], s["exact_match"]) for s in samples]


@pytest.mark.parametrize("prompt", ["alpaca", "chat_template"])
def test_lm_eval_says_the_same_item_by_item(live: LiveModel, data: Path, prompt: Any) -> None:
    (opened,) = open_tasks(named("m3_gsm8k"), Settings(prompt=prompt, data_dir=data))
    ours = LiveBackend(live, max_rows=3).samples(short(opened), range(len(QUESTIONS)))
    theirs = lm_eval_alone(live, data, prompt)
    assert [(sample.prompt, sample.answer, sample.score) for sample in ours] == theirs
    assert ("[assistant] Let's think" in ours[0].prompt) == (prompt == "chat_template")
    if prompt == "alpaca":
        assert {sample.score for sample in ours} == {0.0, 1.0}


def test_batches_do_not_change_answers(live: LiveModel, data: Path) -> None:
    (opened,) = open_tasks(named("m3_gsm8k"), Settings(data_dir=data))
    task = short(opened)
    one, many = (LiveBackend(live, max_rows=rows).samples(task, range(8)) for rows in (1, 8))
    assert one == many
    some = LiveBackend(live).samples(task, [5, 2])
    assert some == [many[2], many[5]]
    assert task.score(wrap(live.model, live.tokenizer, batch=2), [5, 2, 5]).tolist() == [
        many[5].score, many[2].score, many[5].score,
    ]  # fmt: skip


def test_answers_end_at_stop_texts(live: LiveModel) -> None:
    lm = wrap(live.model, live.tokenizer, batch=2)
    prompts = lm.codec.prompts(["The quick", "fox", "a b"])

    def said(stops: tuple[str, ...], limit: int = 24) -> list[str]:
        ending = Ending(stops, limit)
        return answers(lm.model, lm.codec, prompts, ending, batch=2, window=lm.window, accepts=lm.accepts)

    whole = said(())
    stop = next(text[4:6] for text in whole if len(text) > 8)
    assert said((stop,)) == [text.partition(stop)[0] for text in whole]
    assert all(text.startswith(short) for text, short in zip(whole, said((), 3), strict=True))


@pytest.mark.parametrize(
    ("length", "limit", "window", "wanted"),
    [(10, 5, 100, (10, 5)), (99, 5, 100, (95, 5)), (10, 100, 100, (10, 90)), (80, 100, 100, (50, 50))],
)
def test_windows(length: int, limit: int, window: int, wanted: tuple[int, int]) -> None:
    assert fitted(length, limit, window) == wanted


def test_requests_that_sample_are_lm_evals(live: LiveModel) -> None:
    from types import SimpleNamespace

    from mixmerge.evaluation.greedy import ending_of

    assert ending_of({"until": "a", "do_sample": False, "temperature": 0.0}) == Ending(("a",), 256)
    assert ending_of({"until": ["a", ""], "max_gen_toks": 3}) == Ending(("a",), 3)
    assert ending_of({"until": ["a"], "do_sample": True}) is None
    assert ending_of({"until": ["a"], "temperature": 0.5}) is None
    assert ending_of({"until": ["a"], "num_beams": 2}) is None
    lm = wrap(live.model, live.tokenizer, batch=2)
    asked = {"until": ["\n"], "max_gen_toks": 4, "do_sample": False, "num_beams": 2}
    with contextlib.redirect_stderr(io.StringIO()):
        (text,) = lm.generate_until([SimpleNamespace(args=("fox", asked))])
    assert isinstance(text, str)


def test_shipped_definitions_agree_with_the_declarations() -> None:
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: node.value)
    found = {}
    for path in FOLDER.glob("*.yaml"):
        found[path.stem] = yaml.load(path.read_text("utf-8"), Loader)  # a safe loader
    assert sorted(found) == sorted(str(name) for name in named("m3"))
    for name in named("m3"):
        task, said = declared(name), found[str(name)]
        assert said["task"] == str(name)
        assert said["metadata"] == {"version": task.version, "suite_task": task.name}
        how = said["generation_kwargs"]
        assert how == {"until": [*task.stops, *TURNS], "do_sample": False, "max_gen_toks": task.max_tokens}
        assert said["metric_list"] == [{"metric": task.metric, "aggregation": "mean", "higher_is_better": True}]
        assert said.get("unsafe_code", False) == ("code_execution" in task.needs)


def test_declarations() -> None:
    assert named("gsm8k") == ()
    assert named("m3_gsm8k") == named("m3/gsm8k") == (TaskName("m3", "gsm8k"),)
    for name in named("m3"):
        task = declared(name)
        for part in task.data:
            assert part.names
            assert {file.rpartition(".")[2] for file in part.names} <= set(suite_formats())
            assert (part.package is None) == (part.read is None)
    assert suite.names()[:2] == ("m3", "m3_gsm8k")


def suite_formats() -> tuple[str, ...]:
    from mixmerge.evaluation.suite.formats import FORMATS

    return FORMATS


def test_evaluate(model: Path, data: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": q, "choices": ["a", "b"], "answer": 0}) for q in QUESTIONS]
    (tmp_path / "own.jsonl").write_text("\n".join(lines))
    events: list[Any] = []
    out = tmp_path / "found.json"
    done = mixmerge.evaluate(
        model, ["m3_gsm8k", str(tmp_path / "own.jsonl")], prompt="alpaca", data_dir=data, limit=6, out=out,
        compute="float32", batch_size=4, listeners=[events.append],
    )  # fmt: skip
    gsm8k, own = done.tasks
    assert gsm8k.estimate is not None
    assert own.estimate is not None
    assert (gsm8k.name, gsm8k.estimate.n, own.name, own.metric, own.estimate.n) == ("m3_gsm8k", 6, "own", "accuracy", 6)
    assert gsm8k.estimate.mean == sum(sample.score for sample in gsm8k.samples) / 6
    assert [(e.done, e.total) for e in events if isinstance(e, Asked)] == [(4, 6), (6, 6)]
    assert [e.result.name for e in events if isinstance(e, Scored)] == ["m3_gsm8k", "own"]
    record = json.loads(out.read_text())
    assert record == done.record()
    assert record["prompt"] == "alpaca"
    assert record["allowed"] == {"code_execution": False, "judge": None}
    assert record["tasks"][0]["data"][0]["rows"] == 8
    assert len(record["tasks"][0]["samples"]) == 6
    assert {"item", "prompt", "answer", "score"} == set(record["tasks"][0]["samples"][0])
    assert "samples" not in done.record(samples=False)["tasks"][0]
    assert {"mixmerge", "torch", "transformers", "lm_eval"} <= set(record["versions"])
    with pytest.raises(OutputError, match="do not replace"):
        mixmerge.evaluate(model, ["m3_gsm8k"], data_dir=data, out=out)


def test_the_models_own_template_is_the_default(model: Path, data: Path, zoo: Path) -> None:
    done = mixmerge.evaluate(model, ["m3_gsm8k"], data_dir=data, limit=1, compute="float32")
    assert done.prompt == "chat_template"
    with pytest.raises(TaskError, match="tokenizer has a chat template"):
        mixmerge.evaluate(zoo / "adder", ["m3_gsm8k"], prompt="chat_template", data_dir=data)


def test_short_windows_are_told(model: Path, tmp_path: Path) -> None:
    rows = [{"question": question, "answer": "#### 1"} for question in ("1?", "fox " * 300)]
    (tmp_path / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = mixmerge.evaluate(model, ["m3_gsm8k"], data_dir=tmp_path, prompt="raw")
    assert (done.prompt, done.tasks[0].shortened) == ("raw", 1)


def test_short_windows_are_told_of_the_task_whose_prompts_they_cut(model: Path, tmp_path: Path) -> None:
    """lm-eval cuts the prompts of choices too, and says so to nobody."""
    rows = [{"question": question, "answer": "#### 1"} for question in ("1?", "fox " * 300)]
    (tmp_path / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = []
    for name, prompts in (("cut", ["dog", "dog " * 600]), ("whole", ["dog"])):
        (tmp_path / name).mkdir()
        items = [{"prompt": prompt, "choices": [" a", " b"], "answer": 0} for prompt in prompts]
        tasks.append(str(yaml_task(tmp_path / name / "t", items, CHOICE, name)))
    done = mixmerge.evaluate(model, ["m3_gsm8k", *tasks], data_dir=tmp_path, prompt="raw")
    assert [(task.name, task.shortened) for task in done.tasks] == [("m3_gsm8k", 1), ("cut", 1), ("whole", 0)]


class _Heard(logging.Handler):
    """What transformers logs."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_no_error_is_foretold_of_prompts_that_are_shortened(zoo: Path, tmp_path: Path) -> None:
    rows = [{"question": "1+1=" * 300, "answer": "#### 1"}]
    (tmp_path / "gsm8k_test.jsonl").write_text(json.dumps(rows[0]) + "\n")
    (tmp_path / "cut").mkdir()
    item = {"prompt": "1+1=" * 300, "choices": ["2", "3"], "answer": 0}
    task = yaml_task(tmp_path / "cut" / "t", [item], CHOICE, "cut")
    heard, log = _Heard(), logging.getLogger("transformers")
    log.addHandler(heard)
    try:
        done = mixmerge.evaluate(zoo / "adder", ["m3_gsm8k", task], data_dir=tmp_path, prompt="raw")
    finally:
        log.removeHandler(heard)
    assert [task.shortened for task in done.tasks] == [1, 1]
    assert [said for said in heard.said if "indexing errors" in said] == []


@pytest.fixture
def unloadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is loaded."""

    def load(*words: Any, **named: Any) -> Any:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(LiveModel, "load", load)


def test_refused_before_a_model_is_loaded(model: Path, data: Path, tmp_path: Path, unloadable: None) -> None:
    with pytest.raises(TaskError) as told:
        mixmerge.evaluate(model, ["m3_humaneval", "m3_gsm8k", "m3_alpaca_eval"], data_dir=data)
    assert [problem.rule.split()[1] for problem in told.value.problems] == ["m3_humaneval", "m3_alpaca_eval"]
    assert "--allow-code-execution" in told.value.problems[0].cure
    with pytest.raises(TaskError) as told:
        mixmerge.evaluate(model, ["m3_gsm8k", "m3_math", str(tmp_path / "gone.jsonl")], data_dir=tmp_path)
    assert len(told.value.problems) == 3
    with pytest.raises(CheckpointError):
        mixmerge.evaluate(tmp_path / "nowhere", ["m3_gsm8k"], data_dir=data)
    with pytest.raises(OutputError, match="no such folder"):
        mixmerge.evaluate(model, ["m3_gsm8k"], data_dir=data, out=tmp_path / "a" / "b.json")
    with pytest.raises(OutputError, match="a folder"):
        mixmerge.evaluate(model, ["m3_gsm8k"], data_dir=data, out=tmp_path)
    with pytest.raises(TaskError, match=r"limit is at least 1(?s:.)*batch_size is at least 1"):
        mixmerge.evaluate(model, ["m3_gsm8k"], limit=0, batch_size=0)
    with pytest.raises(TaskError, match="there is a task to score"):
        mixmerge.evaluate(model, [])


def test_a_suite_leaves_out_what_is_not_allowed(model: Path, tmp_path: Path, unloadable: None) -> None:
    events: list[Any] = []
    with pytest.raises(TaskError) as told:
        mixmerge.evaluate(model, ["m3"], data_dir=tmp_path, listeners=[events.append])
    left_out = [event.text.split()[0] for event in events if isinstance(event, Note)]
    assert left_out == ["m3_humaneval", "m3_mbpp", "m3_alpaca_eval", "m3_livebench_coding"]
    assert "it runs programs that a model wrote; say --allow-code-execution" in events[0].text
    text = str(told.value)
    assert all(name in text for name in ("m3_gsm8k", "m3_math", "m3_livebench_instruction", "m3_livebench_typos"))
    assert "m3_humaneval" not in text


class Half(Judge):
    """Prefers every other answer; says nothing about the third one."""

    def cost(self, pairs: Sequence[Pair]) -> Cost:
        return Cost(len(pairs), 0, 10, 10)

    def record(self) -> dict[str, Any]:
        return {"kind": "half"}

    def _compare(self, pairs: Sequence[Pair], workers: int) -> Verdicts:
        scores = tuple(math.nan if place == 2 else float(place % 2) for place in range(len(pairs)))
        return Verdicts(scores, len(pairs), 0, 1)


def test_a_judge(model: Path, tmp_path: Path) -> None:
    rows = [{"instruction": question, "output": "no"} for question in QUESTIONS]
    (tmp_path / "alpaca_eval_gpt4_baseline.json").write_text(json.dumps(rows))
    done = mixmerge.evaluate(
        model, ["m3_alpaca_eval"], data_dir=tmp_path, limit=4, judge=Half(agree=lambda cost: True), compute="float32"
    )
    (task,) = done.tasks
    assert task.estimate is not None
    assert (task.metric, task.estimate.n, task.unscored) == ("win_rate", 3, 1)
    assert [sample["score"] for sample in done.record()["tasks"][0]["samples"]] == [0.0, 1.0, None, 1.0]
    assert done.allowed["judge"] == {"kind": "half"}


def test_a_task_of_the_suite_as_an_objective(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXMERGE_DATA_DIR", str(data))
    (plain,) = load_tasks(["m3_gsm8k"], {"m3_gsm8k": 2.0})
    assert isinstance(plain, LmEvalTask)
    assert (plain.name, plain.metric, plain.weight, len(plain)) == ("m3_gsm8k", "exact_match", 2.0, 8)
    monkeypatch.setenv("MIXMERGE_PROMPT", "vicuna")
    (other,) = load_tasks(["m3/gsm8k"])
    assert other.fingerprint != plain.fingerprint
    (chat,) = open_tasks(named("m3_gsm8k"), Settings(prompt="chat_template", data_dir=data))
    (raw,) = open_tasks(named("m3_gsm8k"), Settings(prompt="raw", data_dir=data))
    assert len({plain.fingerprint, other.fingerprint, chat.task.fingerprint, raw.task.fingerprint}) == 4
    with pytest.raises(TaskError, match="runs programs that a model wrote"):
        load_tasks(["m3_humaneval"])
    with pytest.raises(TaskError, match="did you mean 'm3_gsm8k'"):
        load_tasks(["m3_gsm"])
    allowed = replace(Resources(), execute=True)
    assert open_tasks(named("m3_gsm8k"), Settings(data_dir=data, resources=allowed))[0].task.name == "m3_gsm8k"


def test_weights_are_fetched_last(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unloadable: None
) -> None:
    """A hub model's headers are looked at; what is wrong with the data is told before its weights come."""
    from mixmerge.checkpoint import hub, open_checkpoint

    def download(remote: Any) -> Any:
        raise AssertionError("weights were fetched")

    remote = open_checkpoint(model, "owner/name")
    remote.weights_here = False
    monkeypatch.setattr(hub, "resolve", lambda *given, **named: remote)
    monkeypatch.setattr(hub, "fetch_small", lambda found: None)
    monkeypatch.setattr(hub, "download", download)
    with pytest.raises(TaskError, match="the data folder holds the data of m3_gsm8k"):
        mixmerge.evaluate("owner/name", ["m3_gsm8k"], data_dir=tmp_path)
