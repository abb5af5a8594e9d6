"""What a running study shows: draws, best so far, rate, time left. On a terminal a table, elsewhere a line a draw.

Rich is imported only to show the table.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mixmerge.cli.interrupts import kept_interrupts
from mixmerge.cli.plan_text import few_notes
from mixmerge.cli.terminal import is_terminal
from mixmerge.errors import legible

if TYPE_CHECKING:
    from mixmerge.study import StudyEvent, StudyListener, TrialDone

SHOWN: Final = 10


@contextmanager
def watched(*, quiet: bool) -> Iterator[tuple[StudyListener, ...]]:
    """Listeners for a study that show it on stderr, unless `quiet`, and let no Control-C be lost."""
    with kept_interrupts() as again:
        if quiet:
            yield (again,)
            return
        if not is_terminal():
            yield (_tell, again)
            return
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(stderr=True), refresh_per_second=4) as live:
            yield (_View(live), again)


def _tell(event: StudyEvent) -> None:
    """Lines for a log."""
    from mixmerge import study

    if isinstance(event, study.TrialDone):
        ratio = f"ratio {ratio_text(event)}; " if event.ratios else ""
        lines = [f"draw {event.number}: {ratio}{_result(event)}; {progress_text(event)}"]
    elif isinstance(event, study.StudyStarted):
        lines = [f"note: {note}" for note in few_notes(event.notes)]
    elif isinstance(event, study.TrialStarted):
        lines = []
    else:
        lines = [_doing(event)]
    for line in lines:
        print(legible(line), file=sys.stderr, flush=True)


def _result(trial: TrialDone) -> str:
    return trial.error or trial.state if trial.value is None else f"{trial.value:.4f}"


class _View:
    """Keeps the last draws and redraws the table after every event."""

    def __init__(self, live: Any) -> None:
        self._live = live
        self._last: deque[TrialDone] = deque(maxlen=SHOWN)
        self._doing = "starting"

    def __call__(self, event: StudyEvent) -> None:
        from mixmerge import study

        if isinstance(event, study.TrialDone):
            self._last.append(event)
        elif isinstance(event, study.StudyStarted):
            self._last.clear()
            for note in few_notes(event.notes):
                self._live.console.print(legible(f"note: {note}"), markup=False)
        self._doing = _doing(event) or self._doing
        self._live.update(self._table())

    def _table(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        shown = Table()
        for name in ("draw", "ratio", "validation", "seconds", ""):
            shown.add_column(name, justify="left" if name in ("ratio", "") else "right")
        for trial in self._last:
            mark = "best" if trial.number == trial.best_number else trial.error or trial.state
            value = "" if trial.value is None else f"{trial.value:.4f}"
            shown.add_row(
                str(trial.number), Text(ratio_text(trial)), value, f"{trial.seconds:.1f}", Text(legible(mark))
            )
        progress = Text(progress_text(self._last[-1]) if self._last else "")
        return Group(Text(legible(self._doing)), *([shown] if self._last else []), progress)


def progress_text(last: TrialDone) -> str:
    """How far a study is after that draw."""
    best = "none yet" if last.best is None else f"{last.best:.4f} (draw {last.best_number})"
    left = "" if last.left is None else f", {clock(last.left)} left"
    return f"{last.done} of {last.draws} draws, best {best}, {last.seconds:.1f} s a draw{left}"


def clock(seconds: float) -> str:
    """Hours, however many, minutes and seconds: `26:01:05`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest:02d}"


def ratio_text(trial: TrialDone) -> str:
    """A draw's ratio in one short line; the number of groups where there are several."""
    if len(trial.ratios) == 1:
        return ", ".join(f"{part:.4g}" for part in next(iter(trial.ratios.values())))
    return f"{len(trial.ratios)} groups" if trial.ratios else ""


def _doing(event: StudyEvent) -> str:
    from mixmerge import study

    if isinstance(event, study.Proving):
        return f"scoring {event.name} on the {event.split} items"
    if isinstance(event, study.Stage):
        return event.name
    if isinstance(event, study.TrialStarted):
        return f"draw {event.number}"
    return ""
