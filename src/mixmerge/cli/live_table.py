"""What a running study shows on a terminal: draws, best so far, rate, time left. Rich is imported only to show it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mixmerge.cli.terminal import is_terminal

if TYPE_CHECKING:
    from mixmerge.study import StudyEvent, StudyListener, TrialDone

SHOWN: Final = 10


@contextmanager
def watched(*, quiet: bool) -> Iterator[tuple[StudyListener, ...]]:
    """Listeners for a study: a live table on stderr where that is a terminal and not `quiet`, else none."""
    if quiet or not is_terminal():
        yield ()
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield (_View(live),)


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
            for note in event.notes:
                self._live.console.print(f"note: {note}", markup=False)
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
            shown.add_row(str(trial.number), Text(ratio_text(trial)), value, f"{trial.seconds:.1f}", Text(mark))
        return Group(Text(self._doing), *([shown] if self._last else []), Text(self._progress()))

    def _progress(self) -> str:
        if not self._last:
            return ""
        last = self._last[-1]
        best = "none yet" if last.best is None else f"{last.best:.4f} (draw {last.best_number})"
        return f"{last.done} of {last.draws} draws, best {best}, {last.seconds:.1f} s a draw, {clock(last.left)} left"


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
