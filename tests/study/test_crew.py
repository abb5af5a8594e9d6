"""Several processes share a study; one that dies takes no draw with it."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from mixmerge.study import explore
from mixmerge.study.crew import Processes
from mixmerge.study.workbench import Setup


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
    assert not (tmp_path / "both" / "scratch").exists()
    one = explore(tiny.recipe, folder=tmp_path / "one", draws=5, score=score, threads=1)

    def rows(study: Any) -> list[tuple[Any, ...]]:
        return [(row["number"], row["ratio a"], row["value"], row["state"]) for row in study.trials]

    assert rows(both) == rows(one)
    assert {row["state"] for row in both.trials} == {"complete"}


def test_a_job_given_to_a_pool_that_just_broke_is_done_all_the_same(monkeypatch) -> None:
    """A worker may die between a look at the pool and the next job."""

    class Pool:
        def __init__(self, broken: bool) -> None:
            self.broken = broken

        def submit(self, function: Any, job: Any) -> Future[Any]:
            if self.broken:
                raise BrokenProcessPool("a child process terminated abruptly")
            future: Future[Any] = Future()
            future.set_result(f"scored {job}")
            return future

        def shutdown(self, **_: Any) -> None:
            pass

    pools = iter([Pool(broken=True), Pool(broken=False)])
    monkeypatch.setattr(Processes, "_started", lambda _: next(pools))
    crew = Processes(Setup("", (), Path("scratch")), 2)
    crew.submit("job")  # type: ignore[arg-type]
    assert crew.next() == ("job", "scored job")
