"""The section a study adds to the card of a model it exports: how it was chosen, how good it is, what went in."""

from __future__ import annotations

from collections.abc import Mapping

from mixmerge.errors import legible
from mixmerge.evaluation import Estimate
from mixmerge.report.markdown import escaped
from mixmerge.report.schema import WINNER
from mixmerge.study.items import trial_name
from mixmerge.study.storage import Recorded
from mixmerge.study.summary import OBJECTIVE, Records, estimates_of, not_proved, summary, tables


def study_section(records: Records, trial: Recorded, hashes: Mapping[str, Mapping[str, str]]) -> str:
    """Markdown, in which names of models and tasks stay text. hashes: model -> file -> sha256."""
    identity, winner = records.identity, records.winner
    chosen = winner is not None and winner.number == trial.number
    count = sum(one.state in ("complete", "dropped") for one in records.trials)  # dropped early: compared all the same
    how = f"the best of {count} draws on the validation items" if chosen else f"one of {count} draws"
    if trial.state == "dropped":
        how += ", dropped early as clearly not the best, before it had answered all items"
    opening = (
        f"Trial {trial.number} of a study with seed {identity['seed']} and sampler `{identity['sampler']}`: {how}."
    )
    parts = ["## How it was chosen", opening, _validation(records, trial, chosen=chosen)]
    if chosen:
        parts += _proof(records)
    return "\n\n".join([*parts, _inputs(hashes)])


def _validation(records: Records, trial: Recorded, *, chosen: bool) -> str:
    scores = records.scores(trial_name(trial.number), "validation")
    if not scores:
        return ""
    title = "On validation items" + (", which it was chosen on" if chosen else "")
    return _table(title, {"this model": estimates_of(records, scores)})


def _proof(records: Records) -> list[str]:
    table = tables(records, "test")
    named = {"this model" if label == WINNER else label: row for label, row in table.items()}
    shown = [_table("On test items, held out", named)] if WINNER in table else []
    return [*shown, escaped(not_proved(records, table) or summary(records)["verdict"]["sentence"])]


def _table(title: str, rows: Mapping[str, Mapping[str, Estimate]]) -> str:
    tasks = list(next(iter(rows.values())))
    head = "| model | " + " | ".join("mean" if one == OBJECTIVE else escaped(one) for one in tasks) + " |"
    lines = [f"{title}, with 95 % intervals:\n", head, "|---" * (len(tasks) + 1) + "|"]
    for label, row in rows.items():
        lines.append(f"| {escaped(label)} | " + " | ".join(_cell(row[task]) for task in tasks) + " |")
    return "\n".join(lines)


def _cell(found: Estimate) -> str:
    if found.low == found.high:
        return f"{found.mean:g}"
    return f"{100 * found.mean:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f}, n = {found.n})"


def _inputs(hashes: Mapping[str, Mapping[str, str]]) -> str:
    lines = ["sha256 of the weights that went in:\n", "| model | file | sha256 |", "|---|---|---|"]
    for label, files in hashes.items():
        lines += [f"| {_name(label)} | {_file(name)} | `{digest}` |" for name, digest in files.items()]
    return "\n".join(lines)


def _file(name: str) -> str:
    """A file's name; within one, Markdown takes no underscore for emphasis."""
    return escaped(name).replace(r"\_", "_")


def _name(label: str) -> str:
    """A model's name as code, where it stays code."""
    return escaped(label) if set("`|\n") & set(label) else f"`{legible(label)}`"
