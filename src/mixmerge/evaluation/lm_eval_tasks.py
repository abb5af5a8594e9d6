"""Tasks of lm-eval, asked and scored by lm-eval itself on a model in memory."""

from __future__ import annotations

from typing import Any, final


@final
class LmEvalTask:
    name: str
    weight: float
    metric: str
    validation: int | None
    fingerprint: str
    twins: tuple[int, ...]

    def __len__(self) -> int:
        raise NotImplementedError
