"""What the code tasks share: programs to run, equal ones once, and pass@1 of their verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mixmerge.errors import Problem
from mixmerge.evaluation.execution import Limits, Program, check, run_programs
from mixmerge.evaluation.problems import TaskError
from mixmerge.evaluation.suite._task import Resources

Row = Mapping[str, Any]
Answers = Sequence[Sequence[str]]
"""One or more a row."""

GIB: Final = 1 << 30
"""Bytes."""

METRIC: Final = "pass@1"
ROUNDS: Final = 4  # rows a worker whose programs are held at once: the hidden tests of a question may be megabytes


def ready(rows: Sequence[Row]) -> None:  # noqa: ARG001
    """Raises TaskError where this machine has no walls to run a model's code behind."""
    check(weak=False)


def scorer(
    program: Callable[[Row, str], Program], memory: int
) -> Callable[[Sequence[Row], Answers, Resources], list[float]]:
    """What scores a task. program: of a row and an answer. memory: bytes that a program may use."""

    def score_many(rows: Sequence[Row], answers: Answers, resources: Resources) -> list[float]:
        """pass@1 of each row: the share of its answers that pass (Chen et al. 2021, arXiv 2107.03374, for k = 1).

        Raises TaskError where the person did not allow to run code, or the machine has no walls.
        """
        if not resources.execute:
            rule = "code that a model wrote is run only where the person says so"
            cure = "say --allow-code-execution, or leave the task out; docs/code-execution.md tells what that means"
            raise TaskError(Problem(rule, "not allowed", "scoring", cure))
        limits, some = Limits(seconds=resources.timeout, memory=memory), ROUNDS * resources.workers
        found: list[float] = []
        for start in range(0, len(rows), some):
            pairs = zip(rows[start : start + some], answers[start : start + some], strict=True)
            found += _shares([[program(row, answer) for answer in given] for row, given in pairs], limits, resources)
        return found

    return score_many


def _shares(programs: Sequence[Sequence[Program]], limits: Limits, resources: Resources) -> list[float]:
    """Of each row's programs, how many pass."""
    different = list(dict.fromkeys(one for own in programs for one in own))
    outcomes = run_programs(different, limits, resources.workers)
    passed = {one: outcome.passed for one, outcome in zip(different, outcomes, strict=True)}
    return [sum(passed[one] for one in own) / len(own) for own in programs]
