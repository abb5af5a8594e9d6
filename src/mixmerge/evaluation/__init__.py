"""Evaluation: scores a model on tasks, honestly. Ignorant of merging.

torch, transformers and lm-eval load only when a model is loaded or an lm-eval task is named.
"""

from mixmerge.evaluation.backends import Backend, LiveBackend
from mixmerge.evaluation.live import LiveModel, computed_in
from mixmerge.evaluation.lm_eval_tasks import LmEvalTask
from mixmerge.evaluation.loading import load_task, load_tasks
from mixmerge.evaluation.numbers import (
    Estimate,
    Spread,
    estimate,
    mcnemar,
    objective,
    objective_difference,
    paired_difference,
    spread,
)
from mixmerge.evaluation.problems import BackendError, LiveModelError, TaskError
from mixmerge.evaluation.racing import Race, Round
from mixmerge.evaluation.server import OpenAIBackend
from mixmerge.evaluation.tasks import AnyTask, ChoiceItem, Split, TargetItem, Task, item_weights, split

__all__ = [
    "AnyTask",
    "Backend",
    "BackendError",
    "ChoiceItem",
    "Estimate",
    "LiveBackend",
    "LiveModel",
    "LiveModelError",
    "LmEvalTask",
    "OpenAIBackend",
    "Race",
    "Round",
    "Split",
    "Spread",
    "TargetItem",
    "Task",
    "TaskError",
    "computed_in",
    "estimate",
    "item_weights",
    "load_task",
    "load_tasks",
    "mcnemar",
    "objective",
    "objective_difference",
    "paired_difference",
    "split",
    "spread",
]
