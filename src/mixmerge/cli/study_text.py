"""What a study and the demonstration found, as text for people. Scores are percentages with their 95 % intervals."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mixmerge.cli.tables import table
from mixmerge.cli.terminal import width
from mixmerge.study.summary import export_command

if TYPE_CHECKING:
    from mixmerge.study import Demo, PairResult, TwoByTwo


def study_text(summary: Mapping[str, Any], folder: str) -> str:
    """The result of one study: its test table, spread, optimism, verdict, and how to rebuild the winner.

    summary: the content of report.json (docs/report-schema.md). folder: of the study, as the person typed it.
    """
    verdict = _wrapped("verdict   ", summary["verdict"]["sentence"])
    lines = [*_test_table(summary["test"]), *_robustness(summary), *_spread(summary), verdict]
    winner = next((trial for trial in summary["trials"] if trial["number"] == summary["winner"]), None)
    if winner is not None and winner["ratio"] is not None:
        ratio = ", ".join(
            f"{part:g} {label}" for part, label in zip(winner["ratio"], summary["law"]["sources"], strict=True)
        )
        lines.append(f"winner    draw {winner['number']}: {ratio}")
    elif winner is not None:
        lines.append(f"winner    draw {winner['number']}")
    if winner is not None:
        lines.append(f"again     {export_command(folder, winner['number'])}")
    return "\n".join(lines)


def _robustness(summary: Mapping[str, Any]) -> Iterator[str]:
    """Scores out of distribution; performance drop rates, with the clean accuracy they are of."""
    yield from _test_table(summary.get("ood", {}).get("test", {}), "out of distribution")
    for attack in summary.get("attacks", []):
        columns = {"clean": "clean", "attacked": "attacked", "PDR": "pdr"}
        rates = {
            merge: {title: found[key] for title, key in columns.items() if found[key] is not None}
            for merge, found in attack["merges"].items()
        }
        yield from _test_table(rates, f"{attack['attack']} on {attack['task']}")


def _test_table(test: Mapping[str, Mapping[str, Any]], title: str = "on test items") -> Iterator[str]:
    tasks = list(dict.fromkeys(task for scores in test.values() for task in scores))
    if not tasks:
        return
    rows = [[title, *tasks]]
    for name, scores in test.items():
        rows.append([name, *(_interval(scores[task]) if task in scores else "" for task in tasks)])
    yield table(rows) + "\n"


def _interval(score: Mapping[str, Any]) -> str:
    return f"{100 * score['mean']:.1f} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def _spread(summary: Mapping[str, Any]) -> Iterator[str]:
    for task, found in summary["spread"].items():
        mean, sd = 100 * found["mean"], 100 * found["sd"]
        one = f"{mean:.1f} (the only draw, on validation)"
        many = f"{mean:.1f} ± {sd:.1f} (mean ± sd of {found['n']} draws on validation)"
        yield f"draws     {task}: {one if found['n'] == 1 else many}"
    for task, found in summary["optimism"].items():
        difference = 100 * found["difference"]
        yield f"optimism  {task}: {difference:+.1f} (validation minus test of the winner)"


def demo_text(demo: Demo) -> str:
    """The demonstration's tables, then the paths of the winner and of its report."""
    parts = [_pair(pair, demo.draws) for pair in demo.pairs]
    parts += [_two_by_two(demo)] if demo.two_by_two else []
    ends = [f"time      {demo.seconds:.0f} s", f"winner    {demo.winner}", f"report    {demo.report}"]
    return "\n\n".join([*parts, "\n".join(ends)])


def _pair(pair: PairResult, draws: int) -> str:
    rows = [["on test items", "score", "95 % interval"]]
    for name, score in pair.scores.items():
        rows.append([name, f"{100 * score.mean:.1f}", f"[{100 * score.low:.1f}, {100 * score.high:.1f}]"])
    ratio = ", ".join(f"{part:g}" for part in pair.ratio)
    mean, sd = (100 * number for number in pair.spread)
    who, spread = ("the only draw", "") if draws == 1 else ("all draws", f" ± {sd:.1f}")
    return "\n".join(
        [
            f"{pair.name}: best of {draws} draws is ratio {ratio}",
            table(rows, indent="  "),
            f"  {who} on validation {mean:.1f}{spread}; optimism of the winner {100 * pair.optimism:+.1f}",
            f"  winner written to {pair.winner}, loaded again by transformers: {100 * pair.loaded:.1f}",
            _wrapped("  ", pair.verdict),
        ]
    )


def _two_by_two(demo: Demo) -> str:
    rows = [["pair, DARE, M³", "single draws, on validation", f"best of {demo.draws} draws, on test"]]
    rows += [[_cell_name(cell), _single(cell, demo.draws), _chosen(cell)] for cell in demo.two_by_two]
    note = "mean ± sd of draws, mean [95 % interval] of the chosen; without M³ nothing is drawn: one merge"
    return f"with and without DARE and M³ ({note})\n" + table(rows, indent="  ")


def _wrapped(head: str, text: str) -> str:
    return textwrap.fill(text, width(), initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)


def _cell_name(cell: TwoByTwo) -> str:
    return f"{cell.pair}, {'with' if cell.dare else 'no'} DARE, {'with' if cell.m3 else 'no'} M³"


def _single(cell: TwoByTwo, draws: int) -> str:
    if cell.single is None:
        return ""
    return f"{100 * cell.single[0]:.1f}" + (f" ± {100 * cell.single[1]:.1f}" if draws > 1 else "")


def _chosen(cell: TwoByTwo) -> str:
    score = cell.chosen
    return f"{100 * score.mean:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"
