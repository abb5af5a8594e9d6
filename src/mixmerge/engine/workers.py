"""Jobs over a fixed number of threads, each with state of its own; the first error stops them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Job = TypeVar("Job")
State = TypeVar("State")


def run_jobs(jobs: Iterable[Job], work: Callable[[Job, State], None], states: list[State]) -> None:
    """work(job, state) for every job, on one thread a state. Jobs are started in order. Raises the first error."""
    queue = iter(jobs)
    lock = threading.Lock()
    stopped = threading.Event()

    def serve(state: State) -> None:
        while not stopped.is_set():
            with lock:
                job = next(queue, None)
            if job is None:
                return
            try:
                work(job, state)
            except BaseException:
                stopped.set()
                raise

    if len(states) == 1:
        serve(states[0])
        return
    with ThreadPoolExecutor(len(states), thread_name_prefix="mixmerge") as pool:
        futures = [pool.submit(serve, state) for state in states]
        try:
            for future in futures:
                future.result()
        except BaseException:
            stopped.set()
            raise
