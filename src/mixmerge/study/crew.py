"""Who runs jobs: this process, or several on this machine (`cluster`: a cluster). Jobs in, results out in any order.

A worker that dies takes its job with it; the job is run once more by another, and then given up as failed. Where
several were running it is not known whose death it was: they are run again one at a time, so that only a job that was
running alone is given up.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import wait as wait_for_any
from multiprocessing.util import Finalize
from pathlib import Path
from typing import final

from mixmerge.fileio import processors
from mixmerge.study.workbench import Job, Result, Setup, Workbench


class Crew(ABC):
    """size: jobs at work at once."""

    size: int

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Hand in a job."""

    @abstractmethod
    def next(self) -> tuple[Job, Result]:
        """Wait until a job is done; one must have been handed in."""

    @abstractmethod
    def close(self) -> None:
        """End the workers; what is at work is lost."""


@final
class Alone(Crew):
    """This process does everything itself."""

    size = 1

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def next(self) -> tuple[Job, Result]:
        job = self._waiting.popleft()
        return job, self._bench.run(job)

    def close(self) -> None:
        self._waiting.clear()


@final
class Processes(Crew):
    """`size` processes, each with a workbench of its own; the sources are in the page cache once for all."""

    def __init__(self, setup: Setup, size: int) -> None:
        share = max(1, processors() // size)
        self.size = size
        self._setup = replace(setup, threads=share if setup.threads is None else setup.threads)
        self._pool = self._started()
        self._running: dict[Future[Result], Job] = {}
        self._waiting: deque[Job] = deque()
        self._suspects: deque[Job] = deque()  # were running when a worker died: one of them may be why
        self._alone = False  # whether a suspect is running, with nothing beside

    def _started(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.size, context, initializer=_begin, initargs=(self._setup,))

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._dispatch()

    def _dispatch(self) -> None:
        """Everything that waits to the pool; but first the suspects, one at a time."""
        if self._alone or (self._suspects and self._running):
            return
        if self._suspects:
            self._alone = self._send(self._suspects.popleft())
            return
        while self._waiting and self._send(self._waiting.popleft()):
            pass

    def _send(self, job: Job) -> bool:
        """Whether the pool took it; else it waits, and `next` starts a new pool."""
        with _interrupts_held():  # a process begun by this starts with them held
            try:
                future = self._pool.submit(_run, job)
            except BrokenProcessPool:  # a worker died since the last look
                if self._running:
                    self._waiting.appendleft(job)
                    return False
                self._restart()
                future = self._pool.submit(_run, job)
        self._running[future] = job
        return True

    def next(self) -> tuple[Job, Result]:
        while True:
            self._dispatch()
            done = wait(self._running, return_when=FIRST_COMPLETED).done
            future = next(iter(done))
            was_alone, self._alone = self._alone, False
            try:
                result = future.result()
            except BrokenProcessPool:
                lost = self._restart()
            else:
                return self._running.pop(future), result
            if was_alone:
                return lost[0], Result(error="its worker process died twice")
            self._suspects.extend(lost)

    def _restart(self) -> list[Job]:
        """New processes; the jobs that were running are told."""
        lost = list(self._running.values())
        self._running.clear()
        self._pool.shutdown(wait=True)
        _clear(self._setup.scratch)
        self._pool = self._started()
        return lost

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        _clear(self._setup.scratch)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Control-C is heard behind it, by this thread; by what it starts, once that lets go of it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _clear(scratch: Path) -> None:
    """Remove what workers that are gone left there; the folder of this process stays."""
    for folder in scratch.glob("process-*"):
        if folder.name != f"process-{os.getpid()}":
            shutil.rmtree(folder, ignore_errors=True)


_bench: Workbench | None = None


def _begin(setup: Setup) -> None:
    """In a worker: the workbench, made once."""
    global _bench
    _end_at_interrupt()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch  # here only: this process scores

    torch.set_num_threads(setup.threads or 1)
    _bench = Workbench(setup)
    Finalize(None, _bench.close, exitpriority=0)  # a worker ends without what `atexit` would call


def _end_at_interrupt() -> None:
    """Control-C in a terminal goes to workers too: they end without a word, the process that began them tells it."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(1))
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for jobs for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_any([parent.sentinel])
        os._exit(1)


def _run(job: Job) -> Result:
    assert _bench is not None, "the worker has begun"
    return _bench.run(job)
