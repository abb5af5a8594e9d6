"""Tasks of lm-eval, prepared, asked and scored by lm-eval itself on a model in memory.

One number an item comes out: the task's main metric, the first one that is a mean over items with larger being
better. Few-shot examples are drawn anew for every item from a seed of its own, so that an item's prompt does not
depend on which other items are asked. A task folder that brings Python code is refused unless that is allowed (see
`task_code`); its templates are rendered in a sandbox in any case.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import xxhash

from mixmerge.errors import Problem, extra_missing, nearest
from mixmerge.evaluation.problems import BackendError, TaskError, shorten
from mixmerge.evaluation.task_code import refuse_code

Floats = np.ndarray[Any, np.dtype[np.float64]]

FEWSHOT_SEED: Final = 1234
SETTINGS: Final = (
    "output_type", "description", "doc_to_text", "doc_to_choice", "doc_to_target", "target_delimiter",
    "fewshot_delimiter", "num_fewshot", "generation_kwargs",
)  # fmt: skip
"""What of a task's YAML its prompts depend on."""


TextScorer = Callable[[Sequence[Mapping[str, Any]], Sequence[str]], Sequence[float]]
"""Items and an answer for each to scores in [0, 1]."""


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """One item, asked. index: of the item. answer: the model's text; None where it chose among given ones."""

    index: int
    prompt: str
    answer: str | None
    score: float


@final
class LmEvalTask:
    """task: of lm-eval, with its data. weight: of its mean score in the objective. metric: whose values count.

    scorer: scores all answers at once in place of lm-eval, for tasks that generate text. chat: whether the tokenizer's
    chat template is put around prompts. sources: where the items came from, as records state it (`suite.data.Source`);
    none for tasks of lm-eval's own.
    """

    validation: int | None = None  # lm-eval's scored set is divided like any other

    def __init__(
        self, task: Any, *, weight: float = 1.0, scorer: TextScorer | None = None, chat: bool = False,
        sources: Sequence[Mapping[str, Any]] = (),
    ) -> None:  # fmt: skip
        self.name = str(task.task_name)
        self.weight = weight
        self.metric = _main_metric(task)
        self._task = task
        self._scorer, self._chat = scorer, chat
        self.sources = tuple(sources)
        self._docs = list(task.eval_docs)
        _prepare(task)

    def __len__(self) -> int:
        return len(self._docs)

    @property
    def needs_text_only(self) -> bool:
        """Whether answers to prompts are all it needs of a model: a server can give them."""
        return self._scorer is not None and not self._chat

    @cached_property
    def fingerprint(self) -> str:
        """xxh3-128 of name, metric, version, settings and items; what a task computes in Python is not seen."""
        settings = {key: getattr(self._task.config, key, None) for key in SETTINGS}
        plain = {key: value for key, value in settings.items() if not callable(value)}
        style = ["chat template"] if self._chat else []
        lines = [self.name, self.metric, str(self._task.VERSION), _text(plain), *style, *map(_text, self._docs)]
        return xxhash.xxh3_128_hexdigest("\n".join(lines).encode("utf-8"))

    @cached_property
    def twins(self) -> tuple[int, ...]:
        """For each item the number of the first item equal to it."""
        first: dict[str, int] = {}
        return tuple(first.setdefault(_text(doc), number) for number, doc in enumerate(self._docs))

    def score(self, lm: Any, indices: Sequence[int]) -> Floats:
        """The metric of these items in the order of indices. lm: a model as lm-eval wraps it (see `greedy.wrap`).

        Raises TaskError where lm-eval fails or the metric leaves [0, 1].
        """
        values = {sample.index: sample.score for sample in self.samples(lm, indices)}
        scores = np.array([values[int(index)] for index in indices], dtype=np.float64)
        if np.isnan(scores).any():
            rule, cure = "every item gets a score", "score the task by itself: `mixmerge eval` leaves such items out"
            raise TaskError(Problem(rule, f"{np.isnan(scores).sum()} without", f"task {self.name}", cure))
        return scores

    def samples(self, lm: Any, indices: Sequence[int]) -> list[Sample]:
        """Each of these items once, rising, with prompt, answer and score. Arguments and errors as `score`, but that
        an item a judge gave no verdict on has the score NaN.
        """
        rising = sorted({int(index) for index in indices})
        if not rising:
            return []
        with _told(self.name), _quiet():
            found = self._evaluated(lm, rising) if self._scorer is None else self._answered(lm, rising, self._scorer)
        scores = np.array([sample.score for sample in found], dtype=np.float64)
        if not (((scores >= 0.0) & (scores <= 1.0)) | np.isnan(scores)).all():
            rule, cure = "a score lies in [0, 1]", "use a task with a metric such as acc or exact_match"
            raise TaskError(Problem(rule, f"{self.metric} {scores.min()} to {scores.max()}", f"task {self.name}", cure))
        return found

    def _evaluated(self, lm: Any, rising: list[int]) -> list[Sample]:
        """Asked and scored by lm-eval."""
        evaluator = _library("lm_eval.evaluator")
        found = evaluator.evaluate(lm, {self.name: self._task}, samples={self.name: rising}, bootstrap_iters=0)
        samples = found["samples"][self.name]
        first = samples[0]["filter"]
        own = {int(sample["doc_id"]): sample for sample in samples if sample["filter"] == first}
        return [
            Sample(index, str(own[index]["arguments"][0][0]), _answer(own[index]), float(own[index][self.metric]))
            for index in rising
        ]

    def _answered(self, lm: Any, rising: list[int], scorer: TextScorer) -> list[Sample]:
        """Asked as lm-eval asks, then scored together."""
        template = lm.apply_chat_template if self._chat else None
        self._task.build_all_requests(
            samples=rising, rank=0, world_size=1, apply_chat_template=self._chat, chat_template=template
        )
        requests = sorted(self._task.instances, key=lambda request: int(request.doc_id))
        texts = [str(text) for text in lm.generate_until(requests)]
        scores = scorer([self._docs[index] for index in rising], texts)
        return [
            Sample(index, str(request.args[0]), text, float(score))
            for index, request, text, score in zip(rising, requests, texts, scores, strict=True)
        ]


def _answer(sample: Mapping[str, Any]) -> str | None:
    """The text a model wrote, after the task's filter; None for log-likelihoods."""
    first = sample["filtered_resps"][0]
    return first if isinstance(first, str) else None


def by_name(name: str, weight: float) -> list[LmEvalTask]:
    """Tasks that lm-eval knows under a name; a group or tag shares its weight equally among its tasks."""
    manager = _library("lm_eval.tasks").TaskManager()
    if name not in manager.all_tasks:
        rule = "a task is a JSONL file, a folder with lm-eval YAML tasks, or a task lm-eval knows"
        raise TaskError(Problem(rule, repr(name), "tasks", nearest(name, manager.all_tasks)[:200]))
    return _load(manager, [name], name, weight)


def in_folder(folder: Path, weight: float, *, allow_code: bool = False) -> list[LmEvalTask]:
    """Every task that YAML files of a folder define. allow_code: whether they may bring Python code."""
    if not allow_code:
        _library("lm_eval.api.metrics")  # which registers them
        metrics = _library("lm_eval.api.registry").METRIC_REGISTRY
        refuse_code(folder, tuple(metrics.keys()), Path(_library("lm_eval").__file__).parent)
    manager = _library("lm_eval.tasks").TaskManager(include_path=str(folder), include_defaults=False)
    if not manager.all_subtasks:
        rule, cure = "a task folder holds lm-eval YAML tasks", "add a file with `task: NAME`, or name a JSONL file"
        raise TaskError(Problem(rule, "none", str(folder), cure))
    return _load(manager, list(manager.all_subtasks), str(folder), weight)


def _load(manager: Any, names: list[str], place: str, weight: float) -> list[LmEvalTask]:
    _confine_templates()
    with _told(place), _quiet():
        tasks = list(manager.load(names)["tasks"].values())
        share = weight if len(names) == len(tasks) else weight / len(tasks)
        return [LmEvalTask(task, weight=share) for task in tasks]


def _confine_templates() -> None:
    """lm-eval renders the templates of tasks with all of Python in reach; put a sandbox in the renderer's place."""
    utils, sandbox = _library("lm_eval.utils"), _library("jinja2.sandbox")
    if isinstance(utils.env, sandbox.SandboxedEnvironment):
        return
    settings = {name: getattr(utils.env, name) for name in ("loader", "undefined", "keep_trailing_newline")}
    confined = sandbox.ImmutableSandboxedEnvironment(**settings)
    confined.filters.update(utils.env.filters)
    utils.env = confined


def _main_metric(task: Any) -> str:
    mean = _library("lm_eval.api.metrics").mean
    larger = task.higher_is_better()
    fitting = [name for name, how in task.aggregation().items() if how is mean and larger.get(name) is True]
    if not fitting:
        rule = "a task has a metric that is a mean over items and better when larger"
        found = ", ".join(task.aggregation())
        raise TaskError(Problem(rule, found, f"task {task.task_name}", "use a task scored by acc or exact_match"))
    return str(fitting[0])


def _prepare(task: Any) -> None:
    """No examples unless the task asks for some; each item's examples from a seed of its own."""
    if task.config.num_fewshot is None:
        task.set_config(key="num_fewshot", value=0)
    original: Callable[..., Any] = task.fewshot_context

    def own_examples(doc: Any, *arguments: Any, **named: Any) -> Any:
        task.set_fewshot_seed(seed=xxhash.xxh3_64_intdigest(f"{FEWSHOT_SEED}\0{_text(doc)}".encode()))
        return original(doc, *arguments, **named)

    task.fewshot_context = own_examples


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise extra_missing("study", error.name or "lm_eval", "a task of lm-eval") from error


@contextlib.contextmanager
def _told(place: str) -> Iterator[None]:
    """What lm-eval or a task's own code raises, told as an error of ours."""
    try:
        yield
    except (TaskError, BackendError):
        raise
    except Exception as error:
        cure = "try the task with lm-eval alone; data sets of its own must be reachable or cached"
        raise TaskError(
            Problem("lm-eval can run the task", shorten(f"{type(error).__name__}: {error}"), place, cure)
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """lm-eval draws its progress bars on standard error, whatever it is told."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _text(doc: Any) -> str:
    return json.dumps(doc, default=str, sort_keys=True)
