"""A progress bar from the engine's events: bytes done of all, rate and time left. Rich is imported only to show it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mixmerge.cli.terminal import is_terminal

if TYPE_CHECKING:
    from mixmerge.engine import Event


class Meter:
    """Listens to the engine: counts bytes and time, and moves a bar where there is one.

    nbytes: read and written so far, over all passes. seconds: since the meter was made.
    """

    def __init__(self, bar: Any = None, *, quiet: bool = True) -> None:
        self.nbytes = 0
        self._bar = bar
        self._quiet = quiet
        self._task: Any = None
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the command began to work."""
        return time.monotonic() - self._start

    def __call__(self, event: Event) -> None:
        from mixmerge.engine.events import PassStarted, Progress, Restarted

        if isinstance(event, Progress):
            self.nbytes += event.nbytes
            if self._task is not None:
                self._bar.advance(self._task, event.nbytes)
        elif isinstance(event, PassStarted) and self._bar is not None:
            self._task = self._bar.add_task(event.name, total=event.total)
        elif isinstance(event, Restarted):
            self._say(f"writing again: {event.reason}")

    def _say(self, line: str) -> None:
        """A line on stderr, above the bar where there is one."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False)
        elif not self._quiet:
            print(line, file=sys.stderr)


@contextmanager
def shown(*, quiet: bool) -> Iterator[Meter]:
    """A meter, with a bar on stderr where that is a terminal and not `quiet`."""
    if quiet or not is_terminal():
        yield Meter(quiet=quiet)
        return
    with _bar() as bar:
        yield Meter(bar)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True),
    )  # fmt: skip
