"""What scores tasks: a model in memory, or a server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from mixmerge.evaluation.live import LiveModel
from mixmerge.evaluation.tasks import AnyTask

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Backend(ABC):
    """Scores items of tasks."""

    @abstractmethod
    def score(self, task: AnyTask, indices: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
        """Scores in [0, 1] of these items, in the order of indices."""


@final
class LiveBackend(Backend):
    def __init__(self, live: LiveModel, *, batch: int = 128) -> None: ...


@final
class OpenAIBackend(Backend):
    def __init__(self, url: str, model: str, *, api_key: str | None = None, workers: int = 8) -> None: ...
