"""mixmerge attack: prompts worded badly on purpose, translated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mixmerge.cli.failures import StoppedError
from mixmerge.cli.options import Words, argument, numbers, option
from mixmerge.cli.terminal import is_terminal
from mixmerge.errors import MixmergeError, Problem, legible

if TYPE_CHECKING:
    from mixmerge.evaluation.attacks import PromptsScored


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """On what, and how long, is searched."""

    data_dir: Annotated[str | None, option("--data-dir", metavar="DIR",
        help="Plain files of sst2 or cola, for no network.")] = None
    limit: Annotated[int, option("--limit", metavar="N", low=1,
        help="Examples, the same for all models.")] = 100
    queries: Annotated[int, option("--queries", metavar="N", low=1,
        help="Prompts one search may look at.")] = 100
    seeds: Annotated[Sequence[int], option("--seeds", metavar="N[,N...]",
        help="One search each.", default="0,1,2", read=numbers)] = (0, 1, 2)
    examples_seed: Annotated[int, option("--examples-seed", metavar="N", low=0,
        help="Of the choice of examples.")] = 0
    prompt_text: Annotated[str | None, option("--prompt-text", metavar="TEXT",
        help="The prompt, with {content} for the example.")] = None
    protect: Annotated[Words | None, option("--protect", metavar="WORD",
        help="A word that stays; may be repeated.")] = None
    masked_lm: Annotated[str | None, option("--masked-lm", metavar="DIR",
        help="Masked language model, for bertattack.")] = None
    sentence_encoder: Annotated[str | None, option("--sentence-encoder", metavar="DIR",
        help="Keeps the meaning alike, for bertattack.")] = None
# fmt: on


def attack(
    models: Annotated[Words, argument("MODEL...", "Folders, hub ids or model+adapter, each by itself.")],
    task: Annotated[str, option("--task", metavar="TASK", help="sst2, cola, or a JSONL file of choices.")],
    attack: Annotated[
        str, option("--attack", metavar="NAME", help="deepwordbug, bertattack, stresstest or checklist.")
    ],
    search: SearchOptions,
    device: Annotated[str, option("--device", metavar="DEVICE", help="cpu, cuda, ...")] = "cpu",
    compute: Annotated[
        str | None, option("--compute", metavar="DTYPE", help="Models compute in it: float32, bfloat16 or float16.")
    ] = None,
    out: Annotated[str | None, option("--out", "-o", metavar="FILE", help="Write everything as JSON.")] = None,
    overwrite: Annotated[bool, option("--overwrite", help="Replace FILE.")] = False,
    json: Annotated[bool, option("--json", help="Print JSON in place of the table.")] = False,
    quiet: Annotated[bool, option("--quiet", "-q", help="Show nothing while it runs.")] = False,
) -> None:
    """Look for a wording of the prompt that makes models fail, and print their performance drop rates.

        mixmerge attack expert merged --task sst2 --attack deepwordbug --data-dir DATA

    The instruction is changed, never the examples; label words and {content} stay, as in PromptBench (arXiv
    2306.04528).
    """
    said: dict[str, Any] = {field.name: getattr(search, field.name) for field in fields(search)}
    said |= {"protect": search.protect or [], "compute": compute}
    from mixmerge.evaluation import attacks

    try:
        with _shown(quiet=quiet) as listeners:
            report = attacks.attack(
                models, task, attack, device=device, out=out, overwrite=overwrite, listeners=listeners, **said
            )
    except KeyboardInterrupt:
        raise StoppedError("nothing was written") from None
    from mixmerge.cli.attack_text import attack_text

    print(report.text(tried=False) if json else legible(attack_text(report)), end="" if json else "\n")
    if out is not None and not json:
        print(legible(f"report    {Path(out)}"))


def also_wrong(right: Mapping[str, Any]) -> Sequence[Problem]:
    """What is wrong with what else is asked, where some words are wrong."""
    from mixmerge.evaluation.attacks.request import Request, prepared

    if not right.keys() >= {"models", "task", "attack"}:
        return ()
    said: dict[str, Any] = {one.name: right[one.name] for one in fields(Request) if right.get(one.name) is not None}
    said |= {name: Path(said[name]) for name in ("data_dir", "masked_lm", "sentence_encoder", "out") if name in said}
    said |= {name: tuple(said[name]) for name in ("models", "seeds", "protect") if name in said}
    try:
        prepared(Request(**said))
    except MixmergeError as error:
        return error.problems
    return ()


@contextmanager
def _shown(*, quiet: bool) -> Iterator[list[Callable[[PromptsScored], None]]]:
    """One line on a terminal that says how far it is."""
    if quiet or not is_terminal():
        yield []
        return
    from rich.console import Console

    with Console(stderr=True).status("loading") as status:

        def tell(event: PromptsScored) -> None:
            lowest = f"lowest accuracy {100 * event.lowest:.1f}"
            status.update(f"{event.model}: {event.evaluations} prompts asked, {lowest}")

        yield [tell]
