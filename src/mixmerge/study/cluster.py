"""A crew on a Ray cluster: one actor a worker, each with the processors and accelerators it asks for.

Only this module knows Ray. Every node needs Mixmerge, and the models and tasks under the same paths; the study's folder
is needed where `explore` runs only. A worker that dies takes its job with it; the job is run once more by another, and
then given up as failed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final, final

from mixmerge import temporary
from mixmerge.errors import MixmergeError, PlanError, Problem, extra_missing
from mixmerge.study.crew import Crew
from mixmerge.study.workbench import Job, Result, Setup, Workbench

ATTEMPTS: Final = 2  # of a job whose worker dies
CLOSING: Final = 10.0  # seconds for workers to clean up
FOLDERS: Final = "mixmerge-worker-"
STARTS: Final = 3
"""Actors in a row that may die before they answer, for each worker."""


class ClusterError(MixmergeError, RuntimeError):
    """The cluster takes no more work."""

    exit_code = 1


@final
class Cluster(Crew):
    """address: auto for the cluster this machine belongs to, local for one of its own, or HOST:PORT.

    size: workers, None for as many as fit. cpus, gpus: what each needs, fractions allowed. Raises PlanError where no
    node has that much, or no cluster answers.
    """

    def __init__(self, setup: Setup, size: int | None, address: str, cpus: float, gpus: float) -> None:
        self._ray = _library()
        self._own = not self._ray.is_initialized()
        if self._own:
            _connect(self._ray, address)
        room = _room(self._ray.nodes(), cpus, gpus)
        self.size = room if size is None else size
        threads = max(1, int(cpus)) if setup.threads is None else setup.threads
        self._setup = replace(setup, threads=threads)
        self._actor = self._ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Worker)
        self._waiting: deque[tuple[Job, int]] = deque()
        self._idle: deque[Any] = deque()
        self._starting: dict[Any, Any] = {}
        self._running: dict[Any, tuple[Job, int, Any]] = {}
        self._died = 0
        for _ in range(self.size):
            self._start()

    def _start(self) -> None:
        """Ask for an actor; it gets jobs once it answers, so that none waits for a node that is gone."""
        actor = self._actor.remote(self._setup)
        self._starting[actor.ready.remote()] = actor

    def submit(self, job: Job) -> None:
        self._waiting.append((job, 1))
        self._dispatch()

    def _dispatch(self) -> None:
        while self._idle and self._waiting:
            actor = self._idle.popleft()
            job, attempt = self._waiting.popleft()
            self._running[actor.run.remote(job)] = (job, attempt, actor)

    def next(self) -> tuple[Job, Result]:
        while True:
            (done,), _ = self._ray.wait([*self._running, *self._starting], num_returns=1)
            if done in self._starting:
                self._greet(done)
            else:
                ended = self._take(done)
                if ended is not None:
                    return ended

    def _greet(self, done: Any) -> None:
        """An actor answers, or died before it did."""
        actor = self._starting.pop(done)
        try:
            self._ray.get(done)
        except self._ray.exceptions.RayError as error:
            self._died += 1
            if self._died >= STARTS * self.size:
                rule, cure = "workers start on the cluster", "is mixmerge[study] installed on every node?"
                raise ClusterError(Problem(rule, str(error), "ray", cure)) from error
            self._start()
            return
        self._died = 0
        self._idle.append(actor)
        self._dispatch()

    def _take(self, done: Any) -> tuple[Job, Result] | None:
        """A job's result; None where its worker died and it is run again."""
        job, attempt, actor = self._running.pop(done)
        try:
            result: Result = self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            result = Result(error=str(error))
        except self._ray.exceptions.RayError:
            self._start()
            if attempt >= ATTEMPTS:
                return job, Result(error="its worker died twice")
            self._waiting.appendleft((job, attempt + 1))
            self._dispatch()
            return None
        self._idle.append(actor)
        self._dispatch()
        return job, result

    def close(self) -> None:
        actors = [*self._idle, *self._starting.values(), *(actor for _, _, actor in self._running.values())]
        if self._idle:
            ends = [actor.close.remote() for actor in self._idle]
            self._ray.wait(ends, num_returns=len(ends), timeout=CLOSING)
        for actor in actors:
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()


class Worker:
    """In an actor: a workbench, made at the first job, with a scratch folder of the node's own."""

    def __init__(self, setup: Setup) -> None:
        temporary.sweep(FOLDERS, re.compile(r"process-\d+"))  # of workers that were killed
        self._held = ExitStack()
        self._scratch = Path(self._held.enter_context(temporary.held(FOLDERS)))
        self._setup = replace(setup, scratch=self._scratch)
        self._bench: Workbench | None = None

    def ready(self) -> bool:
        """Answered once the actor runs."""
        return True

    def run(self, job: Job) -> Result:
        """Merge and score; what goes wrong is in the result."""
        try:
            if self._bench is None:
                import torch  # here only: this process scores

                torch.set_num_threads(self._setup.threads or 1)
                self._bench = Workbench(self._setup)
        except Exception as error:  # as models that this node does not have
            return Result(error=f"{type(error).__name__}: {error}")
        return self._bench.run(job)

    def close(self) -> None:
        """Remove what it wrote."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._held.close()


def _connect(ray: Any, address: str) -> None:
    """Join the cluster, or start one of this machine alone."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    try:
        ray.init(address=address, include_dashboard=False if address == "local" else None, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        rule, cure = "a Ray cluster answers", "give --ray local, or start one: `ray start --head`"
        raise PlanError(Problem(rule, str(error), f"ray {address}", cure)) from error


def _room(nodes: list[Mapping[str, Any]], cpus: float, gpus: float) -> int:
    """How many workers fit on the nodes that live. Raises PlanError where none does."""
    living = [node["Resources"] for node in nodes if node["Alive"]]
    asked = {"CPU": cpus, "GPU": gpus}
    room = 0
    for has in living:
        shares = [int(has.get(name, 0.0) / amount) for name, amount in asked.items() if amount > 0]
        room += min(shares, default=1)
    if not room:
        has = "; ".join(f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs" for node in living)
        rule, cure = "some node has what one worker needs", "ask for less with --ray-cpus and --ray-gpus, or add a node"
        raise PlanError(Problem(rule, f"{cpus:g} CPUs and {gpus:g} GPUs; the nodes have: {has}", "ray", cure))
    return room


def _library() -> Any:
    try:
        ray = import_module("ray")
        import_module("ray.exceptions")
    except ImportError as error:
        raise extra_missing("cluster", error.name or "ray", "A study on a Ray cluster") from error
    return ray
