"""A study on disk, to be read: its trials, its best, its report. Nothing is scored again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast, final

from mixmerge import report
from mixmerge.errors import PlanError, Problem
from mixmerge.mixup import RatioLaw
from mixmerge.report.schema import SingleReport
from mixmerge.study.identity import Identity, read_identity
from mixmerge.study.robustness import robustness
from mixmerge.study.session import objective_of, pareto_set
from mixmerge.study.space import Space
from mixmerge.study.storage import Recorded, read_trials
from mixmerge.study.summary import Records, summary


def space_of(identity: Identity) -> Space:
    """The space study.json describes."""
    vary = {name: tuple(span) for name, span in identity["vary"].items()}
    return Space(RatioLaw(tuple(identity["alpha"])), tuple(identity["groups"]), tuple(identity["centre"]), vary)


@final
class Study:
    """What a study's folder holds, as it is when asked. Raises OutputError where the folder holds no study."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.identity = read_identity(self.folder)

    @property
    def records(self) -> Records:
        """The trials as the storage has them."""
        url, name = self.identity["storage"], self.identity["study"]
        return Records(self.folder, self.identity, read_trials(self.folder, url, name, space_of(self.identity)))

    @property
    def trials(self) -> list[dict[str, Any]]:
        """One flat row a trial, fit for `pandas.DataFrame`.

        Columns: number, state, value (the objective), `ratio LABEL` for each source (`ratio GROUP LABEL` where groups
        have ratios of their own), what else varied, `score TASK`, seconds, error.
        """
        return [self._row(trial) for trial in self.records.trials]

    @property
    def best(self) -> dict[str, Any]:
        """The row of the winner: best objective on the validation items, the earliest of equals.

        Raises PlanError where no draw is complete.
        """
        return self._row(self.winner)

    @property
    def winner(self) -> Recorded:
        """The winner's record. Raises PlanError where no draw is complete."""
        records = self.records
        if records.winner is None:
            rule, cure = "a study has a winner once a draw is complete", "run `mixmerge explore` to its end"
            found = "no complete draw"
            if records.all_failed:
                found, cure = f"all {len(records.trials)} draws failed", "see why in its report.html"
            raise PlanError(Problem(rule, found, str(self.folder), cure))
        return records.winner

    @property
    def pareto(self) -> list[dict[str, Any]]:
        """Rows of the draws that no other one beats on the validation items, taking every task for itself."""
        records = self.records
        return [self._row(trial) for trial in pareto_set(records.trials, records.weights)]

    @property
    def summary(self) -> SingleReport:
        """The content of report.json."""
        records = self.records
        return cast("SingleReport", {**summary(records), **robustness(records)})

    def report(self, path: str | Path | None = None) -> Path:
        """Write report.html, report.md and report.json into a folder (default: the study's); returns the HTML page."""
        folder = self.folder if path is None else Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        report.build(cast("dict[str, Any]", self.summary), folder)
        return folder / "report.html"

    def _row(self, trial: Recorded) -> dict[str, Any]:
        outcome, labels = trial.outcome, self.identity["sources"]
        row: dict[str, Any] = {"number": trial.number, "state": outcome.state}
        weights = {name: task["weight"] for name, task in self.identity["tasks"].items()}
        row["value"] = objective_of(outcome.scores, weights)
        groups = self.identity["groups"]
        for group in groups:
            for label, part in zip(labels, outcome.point.ratios.get(group, ()), strict=False):
                row[f"ratio {label}" if len(groups) == 1 else f"ratio {group} {label}"] = part
        row |= dict(outcome.point.values)
        row |= {f"score {task}": mean for task, (mean, _) in outcome.scores.items()}
        return row | {"seconds": sum(outcome.seconds), "error": outcome.error}
