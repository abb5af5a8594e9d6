"""From the words of a command line to a recipe and a place: which word is which, and where words contradict."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any, Final

from mixmerge.cli.failures import COMMAND_LINE, UsageError
from mixmerge.cli.options import RecipeOptions
from mixmerge.errors import MixmergeError, Problem

if TYPE_CHECKING:
    from mixmerge.recipe import Recipe

RECIPE_SUFFIXES: Final = (".yaml", ".yml")
WITH_METHOD: Final = {
    "base": "base_model: ...",
    "weight": "weight: ... at each model's parameters",
    "density": "parameters: {density: ...}",
    "scale": "parameters: {scale: ...}",
    "parameter": "parameters: {...}",
}
"""Options that make a recipe together with --method, and how a recipe file says them."""

BESIDE: Final = (
    "alpha", "ratio", "scope", "filter", "seed", "dare", "dare_rescale", "dare_strategy", "dare_of", "dialect", "dtype",
    "on_mismatch", "tokenizer_source",
)  # fmt: skip
"""Options that may be said beside a recipe file too, and then win over it."""

_LISTS: Final = ("alpha", "ratio")
_FLAGS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """recipe: checked. out: None where none is said. said: the options it was made from."""

    recipe: Recipe
    out: Path | None
    said: RecipeOptions

    def again(self, command: str, ratio: Sequence[float], *more: str) -> str:
        """The command that makes the same recipe with a fixed ratio in place of a law. more: options beside it."""
        fixed = ",".join(f"{part:.6f}".rstrip("0").rstrip(".") for part in ratio)
        paths = [f"./{path}" if path.startswith("-") else path for path in self.said.paths or []]
        options: list[str] = []
        for field in fields(self.said):
            value = getattr(self.said, field.name)
            if field.name not in ("paths", "out", "alpha", "ratio") and value is not None:
                options += _words(field.name, value)
        words = [*options, *paths] if self.said.method else [paths[0], *options]
        return " ".join(["mixmerge", command, *map(quote, words), "--ratio", fixed, *more, "-o", "OUT"])


def asked(said: RecipeOptions, *, needs_out: bool) -> Asked:
    """The recipe that the words describe, and the output folder. Raises UsageError, RecipeError."""
    if said.method is not None:
        return _from_models(said, needs_out)
    return _from_file(said, needs_out)


def recipe_problems(right: Mapping[str, Any], *, needs_out: bool) -> Sequence[Problem]:
    """What `asked` refuses. right: values of words by name; where one of the recipe's is not there, it is not read."""
    names = [field.name for field in fields(RecipeOptions)]
    if not right.keys() >= set(names):
        return ()
    try:
        asked(RecipeOptions(**{name: right[name] for name in names}), needs_out=needs_out)
    except MixmergeError as error:
        return error.problems
    return ()


def _from_models(said: RecipeOptions, needs_out: bool) -> Asked:
    assert said.method is not None, "asked for a method"
    models = said.paths or []
    problems = []
    if needs_out and said.out is None:
        rule = "with --method every positional word is a model, and the output folder is said with -o"
        problems.append(Problem(rule, f"{len(models)} models, no -o", COMMAND_LINE, "add `-o OUT`"))
    for word in models:
        if Path(word).suffix in RECIPE_SUFFIXES and not os.path.isdir(word):
            cure = "leave out --method to merge as the recipe says"
            problems.append(Problem("--method goes with models, not with a recipe file", word, COMMAND_LINE, cure))
    if not models:
        cure = "mixmerge merge --method ties --base BASE MODEL MODEL -o OUT"
        problems.append(Problem("with --method the models are said as positional words", "none", COMMAND_LINE, cure))
    named: dict[str, Any] = {"weight": _split(said.weight), "density": said.density, "scale": said.scale}
    named |= {"parameters": _named(said.parameter or [], problems)}
    if not models:
        raise UsageError(problems)
    from mixmerge.recipe import recipe_from_options

    method = said.method
    recipe = _read(lambda: recipe_from_options(method, models, base=said.base, **named, **_options(said)), problems)
    return Asked(recipe, None if said.out is None else Path(said.out), said)


def _read(read: Callable[[], Recipe], problems: list[Problem]) -> Recipe:
    """The recipe. Raises RecipeError where it alone is wrong, UsageError with all problems where words are too."""
    try:
        recipe = read()
    except MixmergeError as error:
        if not problems:
            raise
        raise UsageError([*problems, *error.problems]) from error
    if problems:
        raise UsageError(problems)
    return recipe


def _from_file(said: RecipeOptions, needs_out: bool) -> Asked:
    words = list(said.paths or [])
    problems = [
        Problem(f"--{name} goes with --method", str(getattr(said, name)), COMMAND_LINE, f"in a recipe write `{cure}`")
        for name, cure in WITH_METHOD.items()
        if getattr(said, name) is not None
    ]
    problems += (misplaced := _misplaced(words, said.out, needs_out))
    if misplaced and not (words and is_recipe(words[0])):
        raise UsageError(problems)
    from mixmerge.recipe import load_recipe

    recipe = _read(lambda: load_recipe(Path(words[0]), **_options(said)), problems)
    out = said.out if said.out is not None else next(iter(words[1:]), None)
    return Asked(recipe, None if out is None else Path(out), said)


def _misplaced(words: Sequence[str], out: str | None, needs_out: bool) -> list[Problem]:
    """What is wrong with the positional words where the first should be a recipe file."""
    without = "to merge without a recipe: --method NAME --base BASE MODEL MODEL -o OUT"
    if not words:
        command = "mixmerge merge recipe.yaml OUT" if needs_out else "mixmerge plan recipe.yaml"
        return [Problem("a recipe file is needed", "none", COMMAND_LINE, f"{command}; {without}")]
    found = " ".join(map(quote, words))
    if len(words) == 2 and is_swapped(words[0], words[1]):
        rule, cure = "the recipe comes first, then the output folder", f"{quote(words[1])} {quote(words[0])}"
        return [Problem(rule, found, COMMAND_LINE, f"say {cure}")]
    if os.path.isdir(words[0]):
        rule = "without --method the first word is a recipe file"
        return [Problem(rule, f"{words[0]} is a folder", COMMAND_LINE, without)]
    if len(words) > 2:
        return [Problem("without --method there are two words: RECIPE OUT", found, COMMAND_LINE, without)]
    if len(words) == 2 and out is not None:
        return [Problem("the output folder is said once", f"{words[1]} and -o {out}", COMMAND_LINE, "leave out one")]
    if len(words) == 1 and out is None and needs_out:
        return [Problem("an output folder is needed", found, COMMAND_LINE, "mixmerge merge RECIPE OUT")]
    return []


def is_swapped(first: str, second: str) -> bool:
    """Whether the second word is a recipe's file and the first is none, nor meant to be one."""
    return is_recipe(second) and not is_recipe(first) and Path(first).suffix not in RECIPE_SUFFIXES


def is_recipe(word: str) -> bool:
    """Whether a word names a recipe file that is there."""
    return Path(word).suffix in RECIPE_SUFFIXES and os.path.isfile(word)


def _options(said: RecipeOptions) -> Any:
    """The options beside a recipe, as text: the recipe's reader checks them and names the option."""
    values = {name: getattr(said, name) for name in BESIDE}
    for name in _LISTS:
        if values[name] is not None and "," in values[name]:
            values[name] = values[name].split(",")
    if said.filter is not None:
        values["filter"] = _split(said.filter)
    return values


def _split(words: Sequence[str] | None) -> Any:
    """Values said in one word with commas, in several words, or both."""
    return [part for word in words or [] for part in word.split(",")]


def _named(words: Sequence[str], problems: list[Problem]) -> dict[str, Any]:
    """NAME=VALUE words as a mapping; true and false are flags, commas make a gradient over the layers."""
    named: dict[str, Any] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or not name or not text or name in named:
            rule = f"{name} is given once" if name in named else "a parameter is NAME=VALUE"
            problems.append(Problem(rule, word, "--parameter", "write it as -p normalize=false"))
        else:
            named[name] = _FLAGS.get(text, text.split(",") if "," in text else text)
    return named


def _words(name: str, value: Any) -> list[str]:
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [option if value else "--no-" + name.replace("_", "-")]
    return [word for one in (value if isinstance(value, list) else [value]) for word in (option, str(one))]
