"""What scores tasks: a model in memory, or a server (see `server`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from mixmerge.evaluation.greedy import Told, wrap
from mixmerge.evaluation.live import LiveModel
from mixmerge.evaluation.lm_eval_tasks import LmEvalTask, Sample
from mixmerge.evaluation.score import MAX_ROWS, Scorer
from mixmerge.evaluation.tasks import AnyTask, Indices

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Backend(ABC):
    """Scores items of tasks with one model."""

    @abstractmethod
    def score(self, task: AnyTask, indices: Sequence[int] | Indices) -> Floats:
        """Scores in [0, 1] of these items, in the order of indices. Raises TaskError, BackendError."""


@final
class LiveBackend(Backend):
    """A model in memory. Its parameters may change between calls; items are tokenized once.

    max_rows: of a batch. It computes with as many threads as torch is set to.
    """

    def __init__(self, live: LiveModel, *, max_rows: int = MAX_ROWS) -> None:
        self._live = live
        self._max_rows = max_rows
        self._scorer = Scorer(live.model, live.tokenizer, max_rows=max_rows)
        self._wrapped: Any = None

    def score(self, task: AnyTask, indices: Sequence[int] | Indices) -> Floats:
        if isinstance(task, LmEvalTask):
            return task.score(self._lm(None), [int(index) for index in indices])
        return self._scorer.score([task.items[int(index)] for index in indices])

    def samples(self, task: LmEvalTask, indices: Sequence[int], told: Told | None = None) -> list[Sample]:
        """What the model was asked, what it said and what that scored. told: of answers as they end."""
        return task.samples(self._lm(told), indices)

    @property
    def shortened(self) -> int:
        """Prompts of the last `samples` that lost their beginning, because the model's window is too small."""
        return 0 if self._wrapped is None else int(self._wrapped.shortened)

    def _lm(self, told: Told | None) -> Any:
        """The model as lm-eval wants it."""
        if self._wrapped is None:
            self._wrapped = wrap(self._live.model, self._live.tokenizer, batch=min(self._max_rows, 32))
        self._wrapped.told, self._wrapped.shortened = told, 0
        return self._wrapped
