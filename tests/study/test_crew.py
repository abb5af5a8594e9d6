"""Several processes share a study; one that dies takes no draw with it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from mixmerge.study import explore


class DieOnce:
    """A score that kills its process the first time it is asked for a draw."""

    def __init__(self, mark: Path, after: int) -> None:
        self.mark = mark
        self.after = after
        self.calls = 0

    def __call__(self, model: Any, tokenizer: Any) -> float:
        self.calls += 1
        if self.calls > self.after and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(model.get_input_embeddings().weight.float().abs().sum())


def test_two_workers_draw_what_one_does(tiny, tmp_path) -> None:
    """One of the two dies on the way."""
    score = DieOnce(tmp_path / "died", after=4)
    both = explore(tiny.recipe, folder=tmp_path / "both", draws=5, workers=2, score=score)
    assert score.mark.exists()
    one = explore(tiny.recipe, folder=tmp_path / "one", draws=5, score=score, threads=1)

    def rows(study: Any) -> list[tuple[Any, ...]]:
        return [(row["number"], row["ratio a"], row["value"], row["state"]) for row in study.trials]

    assert rows(both) == rows(one)
    assert {row["state"] for row in both.trials} == {"complete"}
