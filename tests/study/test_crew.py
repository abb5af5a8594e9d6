"""Several processes share a study; one that dies takes no draw with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from mixmerge.study import crew as crew_module
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


class Breaking:
    """A pool in which the job `bad` kills its worker, and with it whatever runs beside."""

    def __init__(self, ran: list[tuple[str, ...]]) -> None:
        self.ran = ran
        self.futures: dict[Future[Any], str] = {}

    def submit(self, function: Any, job: str) -> Future[Any]:
        future: Future[Any] = Future()
        self.futures[future] = job
        return future

    def shutdown(self, **_: Any) -> None:
        pass

    def settle(self) -> None:
        """All that were handed in end, in one way or the other."""
        running = {future: job for future, job in self.futures.items() if not future.done()}
        self.ran.append(tuple(running.values()))
        for future, job in running.items():
            if "bad" in running.values():
                future.set_exception(BrokenProcessPool("a child process terminated abruptly"))
            else:
                future.set_result(f"scored {job}")


def test_only_the_job_that_kills_its_worker_is_given_up(monkeypatch) -> None:
    pools: list[Breaking] = []
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(Processes, "_started", lambda _: pools.append(Breaking(ran)) or pools[-1])
    monkeypatch.setattr(crew_module, "wait", lambda *a, **k: pools[-1].settle() or wait(*a, **k))
    crew, todo, ended = Processes(Setup("", (), Path("scratch")), 3), ["a", "bad", "b", "c", "d"], {}
    for job in todo[:3]:
        crew.submit(job)  # type: ignore[arg-type]
    for job in [*todo[3:], None, None, None]:  # as a session does: the next one when one has ended
        name, result = crew.next()
        ended[name] = result
        if job is not None:
            crew.submit(job)  # type: ignore[arg-type]
    assert {name for name, result in ended.items() if result != f"scored {name}"} == {"bad"}
    assert ended["bad"].error == "its worker process died twice"
    assert ended.keys() == set(todo)
    assert ran[:4] == [("a", "bad", "b"), ("a",), ("bad",), ("b",)]
    assert sum("bad" in names for names in ran) == 2


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


def test_control_c_in_a_terminal_reaches_workers_too_and_shows_no_traceback(tiny, tmp_path) -> None:
    """A terminal sends it to the whole group: workers that wait, that score, and that are only being started."""
    (tmp_path / "r.yaml").write_text(tiny.recipe)
    program = (
        "import signal, sys; from mixmerge.cli import run;"
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(run(sys.argv[1:]))"
    )
    words = ["explore", "r.yaml", "s", "--tasks", str(tiny.tasks[0]), "--draws", "64", "--workers", "2"]
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        told = [line for line in iter(process.stderr.readline, "") if interrupt_at(line, process.pid)]
    assert process.returncode == 130
    assert "Traceback" not in "".join(told)
    assert "every draw that ended is kept" in told[-1]
    assert not (tmp_path / "s" / "scratch").exists()


def interrupt_at(line: str, group: int) -> bool:
    """At the first draw, to all; every line is kept."""
    if line.startswith("draw 0:"):
        os.killpg(group, signal.SIGINT)
    return True
