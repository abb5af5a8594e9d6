"""The options that name a judge, and the question whether its cost is agreed to.

A command that may ask a judge takes `JudgeOptions` and gives what `judge_of` makes of them to the library.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

from mixmerge.cli.failures import COMMAND_LINE, UsageError
from mixmerge.cli.options import option
from mixmerge.errors import Problem

if TYPE_CHECKING:
    from mixmerge.evaluation.judging.cost import Cost, Prices
    from mixmerge.evaluation.judging.judge import Judge, Verdicts

VERDICTS: Final = "judge-verdicts"
"""Stem of the file that keeps what was paid for, in the current folder."""


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """Who compares answers, and on what terms. What is not said is None."""

    judge_url: Annotated[str | None, option("--judge-url", metavar="URL",
        help="An OpenAI-compatible server whose model compares answers, as http://localhost:8000/v1.")] = None
    judge_model: Annotated[str | None, option("--judge-model", metavar="NAME",
        help="The judging model, as that server knows it.")] = None
    judge_annotators: Annotated[str | None, option("--judge-annotators", metavar="CONFIG",
        help="Ask through the alpaca_eval package instead: one of its configurations, as chatgpt_fn.")] = None
    judge_key: Annotated[str | None, option("--judge-key", metavar="VARIABLE",
        help="Environment variable that holds the key; the key itself is never said or recorded.")] = None
    judge_both_orders: Annotated[bool | None, option("--judge-both-orders",
        help="Show each pair in both orders, at twice the cost.")] = None
    judge_seed: Annotated[int | None, option("--judge-seed", metavar="N",
        help="Seed of the order in which answers are shown.", default="0")] = None
    judge_max_tokens: Annotated[int | None, option("--judge-max-tokens", metavar="N", low=1,
        help="Of one verdict; more for models that think first.", default="16")] = None
    judge_price_in: Annotated[float | None, option("--judge-price-in", metavar="X",
        help="Price of a million prompt tokens, to be told what it costs.")] = None
    judge_price_out: Annotated[float | None, option("--judge-price-out", metavar="X",
        help="Price of a million completion tokens.")] = None
    judge_verdicts: Annotated[str | None, option("--judge-verdicts", metavar="FILE",
        help="Keeps verdicts, so that none is paid for twice.", default=f"{VERDICTS}.jsonl")] = None
    yes: Annotated[bool | None, option("--yes",
        help="Agree to the judge's cost without being asked.")] = None
# fmt: on


_OF_SERVERS: Final = ("judge_key", "judge_both_orders", "judge_max_tokens")


def judge_of(said: JudgeOptions) -> Judge | None:
    """The judge that the options name, None where they name none. Sends nothing.

    Raises UsageError where they contradict each other, or where nobody could agree to a cost; TaskError,
    BackendError, MissingExtraError where the judge cannot be used.
    """
    if problems := _contradictions(said):
        raise UsageError(problems)
    if said.judge_annotators is None and said.judge_url is None:
        return None
    person = sys.stderr  # taken now: while a model is asked, what libraries print there is caught
    terms: dict[str, Any] = {
        "prices": _prices(said),
        "seed": said.judge_seed or 0,
        "agree": lambda cost: _agreed(cost, person, yes=bool(said.yes)),
        "tell": lambda found: _tell(found, person),
    }
    if said.judge_annotators is not None:
        from mixmerge.evaluation.judging.alpaca import AlpacaEvalJudge

        return AlpacaEvalJudge(said.judge_annotators, verdicts=Path(said.judge_verdicts or f"{VERDICTS}.json"), **terms)
    from mixmerge.evaluation.judging.server import MAX_TOKENS, ServerJudge

    assert said.judge_url is not None, "checked above"
    assert said.judge_model is not None, "checked above"
    return ServerJudge(
        said.judge_url,
        said.judge_model,
        key_name=said.judge_key,
        both_orders=bool(said.judge_both_orders),
        max_tokens=said.judge_max_tokens or MAX_TOKENS,
        verdicts=Path(said.judge_verdicts or f"{VERDICTS}.jsonl"),
        **terms,
    )


def _contradictions(said: JudgeOptions) -> list[Problem]:
    server, package = said.judge_url is not None or said.judge_model is not None, said.judge_annotators is not None
    problems = []
    if server and (said.judge_url is None or said.judge_model is None):
        found = "no --judge-url" if said.judge_url is None else "no --judge-model"
        problems.append(Problem("a judge is a server and a model", found, COMMAND_LINE, "say both"))
    if server and package:
        cure = "leave out --judge-annotators, or --judge-url and --judge-model"
        problems.append(Problem("there is one judge", "two", COMMAND_LINE, cure))
    for name in () if server else _OF_SERVERS:
        if package and getattr(said, name) is not None:
            cure = "alpaca_eval has settings of its own for this"
            problems.append(Problem(f"{_word(name)} goes with --judge-url", "it is said", COMMAND_LINE, cure))
    lonely = [part.name for part in fields(said) if part.name != "yes" and getattr(said, part.name) is not None]
    if not server and not package and lonely:
        cure = "say --judge-url and --judge-model, or --judge-annotators"
        problems.append(Problem(f"{_word(lonely[0])} goes with a judge", "none is named", COMMAND_LINE, cure))
    if (said.judge_price_in is None) != (said.judge_price_out is None):
        rule = "a judge's prices are said for prompt and completion tokens"
        problems.append(Problem(rule, "one of them", COMMAND_LINE, "say --judge-price-in and --judge-price-out"))
    if (server or package) and not said.yes and not _somebody():
        rule = "a judge is asked only after its cost was agreed to"
        problems.append(Problem(rule, "nobody can be asked here", COMMAND_LINE, "give --yes"))
    return problems


def _word(name: str) -> str:
    return "--" + name.replace("_", "-")


def _prices(said: JudgeOptions) -> Prices | None:
    if said.judge_price_in is None or said.judge_price_out is None:
        return None
    from mixmerge.evaluation.judging.cost import Prices

    return Prices(said.judge_price_in, said.judge_price_out)


def _somebody() -> bool:
    """Whether a person sits at the keyboard, and sees what is asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _agreed(cost: Cost, person: TextIO, *, yes: bool) -> bool:
    """Tell the cost, and ask, unless the answer was given."""
    print(f"judge     {cost.words()}", file=person, flush=True)
    if yes:
        return True
    print("judge     send them? [y/N]", file=person, flush=True)  # a line of its own: a bar may be drawn below it
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _tell(found: Verdicts, person: TextIO) -> None:
    parts = [f"{found.sent:,} sent", f"{found.known:,} known before", f"{found.unreadable:,} without a verdict"]
    if found.prompt_tokens or found.completion_tokens:
        parts.append(f"{found.prompt_tokens:,} prompt and {found.completion_tokens:,} completion tokens used")
    print(f"judged    {', '.join(parts)}", file=person, flush=True)
