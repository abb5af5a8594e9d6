"""All that one process needs to score a subject: opened models, an engine, a model live in memory, the tasks.

A subject is a point of the space, the same method without mixup, or one of the models that go in. Points are merged
into the live model in one pass; where the live model does not have the tensors of the merge, through a temporary
checkpoint.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import xxhash

from mixmerge.engine.folder import merge_to_folder
from mixmerge.evaluation import AnyTask, Backend, LiveBackend, LiveModel, computed_in, split
from mixmerge.evaluation.secret_words import without_secrets
from mixmerge.evaluation.suite.opening import Settings as Asking
from mixmerge.planning import Plan
from mixmerge.recipe import parse_recipe
from mixmerge.sink import LiveSink
from mixmerge.study.attacking import Assault, AttackSettings, notes_of, prepare, under_attack
from mixmerge.study.items import Floats, Indices
from mixmerge.study.merging import Merger, write_skeleton
from mixmerge.study.serving import Server, served
from mixmerge.study.space import Point
from mixmerge.study.suites import notes_on
from mixmerge.study.tasks import outside_tasks, repeats, study_tasks
from mixmerge.study.threads import on_threads, scoring_threads
from mixmerge.version import __version__

SCRATCH: Final = "scratch"
CUSTOM: Final = "score"
"""Stands for a task's name where the person gave a function of their own: a task of one item without a test split."""

ScoreFunction = Callable[[Any, Any], float]
Items = Mapping[str, Indices]
"""Item numbers by task."""

Scores = Mapping[str, tuple[Indices, Floats]]
"""Item numbers and their scores by task."""

Runs = Mapping[str, Sequence[Mapping[str, Any]]]
"""Searches of each attack by its name."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process builds its workbench from; plain values, so that it travels.

    recipe: canonical text. tasks, test_tasks: as the person named them. score: instead of tasks. compute: dtype the
    live model computes in, None for float32 on a CPU, else that of the merge. scratch: folder for what
    passes. server: started for each model instead of holding it in memory. allow_code: whether task folders may
    bring Python code. ood: tasks out of distribution, as the person named them. attack: None attacks nothing. asking:
    how tasks of a suite are asked; None: as the environment says. threads: of merging. scoring: threads that score, as
    the person said; None: `threads.scoring_threads` chooses.
    """

    recipe: str
    tasks: tuple[str, ...]
    scratch: Path
    test_tasks: tuple[str, ...] = ()
    memory: int | None = None
    threads: int | None = None
    device: str = "cpu"
    compute: Any = None
    batch: int = 128
    score: ScoreFunction | None = None
    server: Server | None = None
    allow_code: bool = False
    ood: tuple[str, ...] = ()
    attack: AttackSettings | None = None
    asking: Asking | None = None
    scoring: int | None = None


@dataclass(frozen=True, slots=True)
class Plain:
    """The subject: the same method without mixup."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The subject: a model that goes in, by its position in the plan."""

    model: int


Subject = Point | Plain | Parent


@dataclass(frozen=True, slots=True)
class Job:
    """Score a subject on these items of these tasks, and under attacks by their names.

    remembered: a merge with the same bytes gets the same scores. split: whose examples are attacked.
    """

    name: str
    subject: Subject
    items: Items
    remembered: bool = False
    split: str = "validation"


@dataclass(frozen=True, slots=True)
class Result:
    """seconds: merging, evaluating. error: why there are no scores. direct: whether merges go straight into memory.

    attacks: what was found by each attack, see `attacking.Attacked`.
    """

    scores: Scores = field(default_factory=dict)
    seconds: tuple[float, float] = (0.0, 0.0)
    error: str = ""
    direct: bool = True
    attacks: Runs = field(default_factory=dict)


class Workbench:
    """See the module. Not for two threads at once."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.merger = Merger(parse_recipe(setup.recipe), memory=setup.memory, threads=setup.threads)
        self.asking = setup.asking or Asking.from_environment()
        inside = study_tasks(setup.tasks, setup.test_tasks, allow_code=setup.allow_code, asking=self.asking)
        outside = outside_tasks(inside, setup.ood, allow_code=setup.allow_code, asking=self.asking)
        self.tasks: Mapping[str, AnyTask] = {**inside, **outside}
        self.outside = tuple(outside)
        self.attacks: Mapping[str, Assault] = (
            {} if setup.attack is None else prepare(setup.attack, self.merger.plan.models[0].folder)
        )
        self._scratch = setup.scratch / f"process-{os.getpid()}"
        parameters = sum(step.spec.count for step in self.merger.plan.steps)
        self._threads = scoring_threads(setup.scoring, parameters)
        self._live: LiveModel | None = None
        self._faithful: bool | None = None
        self._seen: dict[str, tuple[Scores, Runs]] = {}
        self._scorer: tuple[LiveModel, LiveBackend] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the merge, the tasks and the attacks."""
        said = (*self.setup.tasks, *self.setup.ood)
        of_tasks = (*notes_on(said, self.tasks, self.asking), *repeats(self.tasks))
        return (*self.merger.plan.notes, *of_tasks, *notes_of(self.attacks))

    @property
    def faithful(self) -> bool:
        """Whether merges are written straight into the live model."""
        if self._faithful is None:
            self._live = self._skeleton(self.merger.plan)
            shapes = {step.spec.name: step.spec.shape for step in self.merger.plan.steps}
            self._faithful = self._live.is_faithful(shapes)
            if not self._faithful:
                self._live = None
        return self._faithful

    def run(self, job: Job) -> Result:
        """Merge, then score. What goes wrong is in the result, which is recorded: servers print their keys."""
        try:
            start = time.perf_counter()
            if self.setup.server is not None:
                return self._serve(self.setup.server, job, start)
            live = self.prepare(job.subject)
            merged = time.perf_counter()
            with on_threads(self._threads):
                scores, runs = self._remembered(live, job) if job.remembered else self._scores(live, job)
            took = (merged - start, time.perf_counter() - merged)
            return Result(scores, took, direct=self._faithful is not False, attacks=runs)
        except Exception as error:  # a failed trial is a record, whatever the reason
            return Result(error=without_secrets(f"{type(error).__name__}: {error}", os.environ))

    def _serve(self, server: Server, job: Job, start: float) -> Result:
        """The same through a server that holds the model; starting it counts as evaluating."""
        folder = self._on_disk(job.subject)
        merged = time.perf_counter()
        self._scratch.mkdir(parents=True, exist_ok=True)
        with served(server, folder, self._scratch / "server.log") as backend:
            scores = self._asked(backend, job.items)
        return Result(scores, (merged - start, time.perf_counter() - merged))

    def _asked(self, backend: Backend, wanted: Items) -> dict[str, tuple[Indices, Floats]]:
        return {name: (chosen, backend.score(self.tasks[name], chosen)) for name, chosen in wanted.items()}

    def _scores(self, live: LiveModel, job: Job) -> tuple[Scores, Runs]:
        if self.setup.score is not None:
            return {CUSTOM: (np.zeros(1, np.int64), np.array([_asked_of(self.setup.score, live)]))}, {}
        plain = {name: chosen for name, chosen in job.items.items() if name not in self.attacks}
        scores = self._asked(self._backend(live), plain)
        assaults = [self.attacks[name] for name in job.items if name in self.attacks]
        found = under_attack(live, assaults, job.split, max_rows=self.setup.batch)
        scores |= {name: (job.items[name], one.scores) for name, one in found.items()}
        return scores, {name: one.runs for name, one in found.items()}

    def _remembered(self, live: LiveModel, job: Job) -> tuple[Scores, Runs]:
        key = f"{job.split} {_digest(live, job.items)}"
        if key not in self._seen:
            self._seen[key] = self._scores(live, job)
        return self._seen[key]

    def prepare(self, subject: Subject) -> LiveModel:
        """The subject as a model in memory. It is valid until the next call."""
        if isinstance(subject, Parent) or not self.faithful:
            return self._load(self._on_disk(subject))
        assert self._live is not None, "made with faithful"
        sink = LiveSink(self._live.tensors())
        if isinstance(subject, Point):
            self.merger.merge(subject, sink)
        else:
            self.merger.merge_plain(self._plain(), sink)
        self._live.commit()
        return self._live

    def _backend(self, live: LiveModel) -> LiveBackend:
        """One a model: it remembers the tokens of every item."""
        if self._scorer is None or self._scorer[0] is not live:
            self._scorer = (live, LiveBackend(live, max_rows=self.setup.batch))
        return self._scorer[1]

    def _plain(self) -> Plan:
        plan = self.merger.plain_plan()
        assert plan is not None, "asked before"
        return plan

    def _on_disk(self, subject: Subject) -> Path:
        """The folder of a model that goes in, or of a merge; the latter is valid until the next call."""
        if isinstance(subject, Parent):
            plan = self.merger.parent_plan(subject.model)
            if plan is None:
                return self.merger.plan.models[subject.model].folder
        else:
            plan = self.merger.plan_of(subject) if isinstance(subject, Point) else self._plain()
        out = self._scratch / "merged"
        self._scratch.mkdir(parents=True, exist_ok=True)
        merge_to_folder(plan, out, version=__version__, overwrite=True)
        return out

    @property
    def compute(self) -> Any:
        """The dtype models compute in; None: as stored."""
        return computed_in(self.setup.device, self.setup.compute)

    def _skeleton(self, plan: Plan) -> LiveModel:
        folder = write_skeleton(plan, self._scratch / "skeleton")
        return LiveModel.skeleton(folder, device=self.setup.device, dtype=self.compute)

    def _load(self, folder: Path) -> LiveModel:
        return LiveModel.load(folder, device=self.setup.device, dtype=self.compute)

    def close(self) -> None:
        """Let go of the models, and of what lies in the scratch folder."""
        self.merger.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        with suppress(OSError):
            self.setup.scratch.rmdir()


def _digest(live: LiveModel, chosen: Items) -> str:
    """Of every bit of the model in memory, and of what it is asked."""
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(live.tensors().items()):
        digest.update(name.encode())
        digest.update(tensor.data.view(np.uint8).data)
    for name, numbers in chosen.items():
        digest.update(name.encode())
        digest.update(numbers.tobytes())
    return digest.hexdigest()


def _asked_of(score: ScoreFunction, live: LiveModel) -> float:
    """A person's own score; no gradients are kept."""
    import torch  # where scoring begins

    with torch.no_grad():
        found = float(score(live.model, live.tokenizer))
    if not math.isfinite(found):
        raise ValueError(f"a score is a finite number, not {found}")
    return found


def score_folder(folder: Path, tasks: Sequence[str], *, compute: Any, batch: int) -> dict[str, Floats]:
    """A checkpoint on disk, loaded by transformers and scored on the test items of tasks that are divided."""
    backend = LiveBackend(LiveModel.load(folder, dtype=compute), max_rows=batch)
    return {name: backend.score(task, split(task, 0.5, 0).test) for name, task in study_tasks(tasks).items()}
