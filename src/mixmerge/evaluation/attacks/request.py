"""What a person asks of an attack, and everything that can be wrong with it, told at once before a model is loaded.

It knows names, numbers, files and prompts; it loads no weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, final

from mixmerge.errors import MissingExtraError, MixmergeError, nearest
from mixmerge.evaluation.attacks.examples import SEED, Example, Examples, chosen, load_examples
from mixmerge.evaluation.attacks.table import ATTACKS, Attack
from mixmerge.evaluation.attacks.words import PLACEHOLDER, Template, attackable, template
from mixmerge.evaluation.devices import device_problems
from mixmerge.evaluation.live import Compute
from mixmerge.evaluation.named_model import NamedModel, find_model
from mixmerge.evaluation.problems import Problems, shorten
from mixmerge.evaluation.results import check_out

LIMIT: Final = 100
QUERIES: Final = 100
SEEDS: Final = (0, 1, 2)

_Found = TypeVar("_Found")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The arguments of `run.attack`, with its defaults. masked_lm, sentence_encoder: folders, for bertattack."""

    models: tuple[str, ...]
    task: str
    attack: str
    data_dir: Path | None = None
    limit: int | None = LIMIT
    queries: int = QUERIES
    seeds: tuple[int, ...] = SEEDS
    examples_seed: int = SEED
    prompt_text: str | None = None
    protect: tuple[str, ...] = ()
    masked_lm: Path | None = None
    sentence_encoder: Path | None = None
    device: str = "cpu"
    compute: Compute | None = None
    out: Path | None = None
    overwrite: bool = False


@final
@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that can be met. data: with the chosen rows only. stays: words the attack leaves alone.

    seeds: one search each; None stands for an attack that draws nothing.
    """

    attack: Attack
    models: tuple[NamedModel, ...]
    data: Examples
    prompt: Template
    stays: tuple[str, ...]
    seeds: tuple[int | None, ...]


def prepared(request: Request) -> Prepared:
    """Everything but the weights. Raises TaskError with all problems, MissingExtraError."""
    problems = Problems()
    attack = ATTACKS.get(request.attack)
    if attack is None:
        problems.add("an attack has a known name", repr(request.attack), "--attack", nearest(request.attack, ATTACKS))
    else:
        _check_helpers(request, attack, problems)
    _check_numbers(request, problems)
    if request.out is not None:
        _found(partial(check_out, request.out, overwrite=request.overwrite), problems)
    named = [_found(partial(find_model, model), problems) for model in request.models]
    data = _found(lambda: load_examples(request.task, request.data_dir), problems)
    stays = (*(data.labels if data is not None else ()), *request.protect)
    if attack is None or data is None:
        problems.raise_if_any()
    assert attack is not None, "known, or told"
    assert data is not None, "read, or told"
    prompt = _prompt(request, data, problems)
    if prompt is not None and attack.candidates is not None:
        _check_budget(prompt, attack.candidates, stays, request.queries, problems)
    problems.raise_if_any()
    assert prompt is not None, "checked, or told"
    rows: tuple[Example, ...] = chosen(data, request.limit, request.examples_seed)
    taken = Examples(data.task, data.labels, data.prompt, rows, data.sources)
    models = tuple(found for found in named if found is not None)
    return Prepared(attack, models, taken, prompt, stays, request.seeds if attack.drawn else (None,))


def _found(call: Callable[[], _Found], problems: Problems) -> _Found | None:
    """What the call gives; None where it refuses, which is noted. A missing extra is told at once."""
    try:
        return call()
    except MissingExtraError:
        raise
    except MixmergeError as error:
        for problem in error.problems:
            problems.add(problem.rule, problem.value, problem.place, problem.cure)
        return None


def _check_numbers(request: Request, problems: Problems) -> None:
    if not request.models:
        problems.add("an attack has a model", "none", "models", "name a folder or a hub id")
    if request.limit is not None and request.limit < 1:
        problems.add("an attack has an example or more", str(request.limit), "--limit", f"say {LIMIT}")
    if request.queries < 1:
        problems.add("a search looks at a prompt or more", str(request.queries), "--queries", f"say {QUERIES}, or more")
    for problem in device_problems(request.device, request.compute):
        problems.add(problem.rule, problem.value, problem.place, problem.cure)
    seeds: Sequence[int] = request.seeds
    if not seeds or len(set(seeds)) < len(seeds) or any(seed < 0 for seed in seeds):
        found = ", ".join(map(str, seeds)) or "none"
        problems.add("seeds are different whole numbers, 0 or more", found, "--seeds", "write them as --seeds 0,1,2")


def _check_helpers(request: Request, attack: Attack, problems: Problems) -> None:
    """Models beside the attacked one: named where they are needed, and nowhere else."""
    if attack.find is None and request.masked_lm is None:
        cure = "say --masked-lm FOLDER, as of bert-base-uncased, with safetensors weights"
        problems.add(f"{request.attack} needs a masked language model", "none", "--masked-lm", cure)
    for option, folder in (("--masked-lm", request.masked_lm), ("--sentence-encoder", request.sentence_encoder)):
        if folder is not None and attack.find is not None:
            problems.add(f"{option} goes with bertattack", f"--attack {request.attack}", option, "leave it out")
        elif folder is not None and not os.path.isdir(folder):
            problems.add(f"{option} names a folder", str(folder), option, "download it first: no id is looked up")


def _prompt(request: Request, data: Examples, problems: Problems) -> Template | None:
    """The prompt in words; None where there is none, or no place for an example in it, or no word, which is noted."""
    text = data.prompt if request.prompt_text is None else request.prompt_text
    place = "--prompt-text"
    if text is None:
        cure = f"say --prompt-text 'Is this polite? {PLACEHOLDER} Answer:'"
        problems.add("a task from a file needs the prompt that is attacked", "none", place, cure)
        return None
    if any("\ud800" <= character <= "\udfff" for character in text):  # of bytes that were no UTF-8
        problems.add("a prompt is a text of whole characters", shorten(text), place, "write it in UTF-8")
        return None
    if text.count(PLACEHOLDER) != 1:
        found, cure = f"{text.count(PLACEHOLDER)} times", "write it where an example is to stand"
        problems.add(f"a prompt holds {PLACEHOLDER} once", found, place, cure)
        return None
    prompt = template(text)
    if not prompt.words:
        problems.add("a prompt has a word", repr(text), place, "write an instruction")
        return None
    return prompt


def _check_budget(
    prompt: Template, candidates: int, stays: Sequence[str], queries: int, problems: Problems
) -> None:  # fmt: skip
    """Ranking the words must leave something to try."""
    count = len(attackable(prompt, stays))
    if not count:
        cure = "label words, function words and those of --protect stay: write a longer instruction"
        problems.add("a prompt has a word that may be changed", repr(prompt.text), "--prompt-text", cure)
    elif 1 <= queries <= count:
        rule = f"the budget is larger than the {count} queries that rank the words of the prompt"
        cure = f"--queries {count * (1 + candidates)} is enough for every candidate of every word"
        problems.add(rule, str(queries), "--queries", cure)
