"""The doors: YAML text, a file, or options of a command line become one frozen, checked `Recipe`.

Every door builds the same tree of positioned nodes and has it read by `mixmerge.recipe.schema`; options are
nodes that stand at their option's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

from mixmerge import fileio
from mixmerge.errors import Problem, RecipeError
from mixmerge.methods import Number
from mixmerge.recipe.canonical import as_data
from mixmerge.recipe.nodes import Scalar, Table, below, from_python, planted, pruned
from mixmerge.recipe.report import Report
from mixmerge.recipe.schema import read_recipe
from mixmerge.recipe.text import MAX_BYTES, compose
from mixmerge.recipe.types import Recipe


class Options(TypedDict, total=False):
    """What can be said beside a recipe: keywords here, `--options` on the command line. None: not said.

    dare is its drop_rate; filter, alpha, ratio and scope are those of `mixup`.
    """

    dialect: str | None
    seed: int | None
    dtype: str | None
    on_mismatch: str | None
    tokenizer_source: str | None
    chat_template: str | None
    alpha: float | Sequence[float] | None
    ratio: float | Sequence[float] | Mapping[str, Sequence[float]] | None
    scope: str | None
    filter: Sequence[str] | None
    dare: float | None
    dare_rescale: bool | None
    dare_strategy: str | None
    dare_of: str | None


# Where an option stands in a recipe, if not under its own name.
_KEYS = {
    "alpha": "mixup.alpha",
    "ratio": "mixup.ratio",
    "scope": "mixup.scope",
    "filter": "mixup.filter",
    "dare": "dare.drop_rate",
    "dare_rescale": "dare.rescale",
    "dare_strategy": "dare.strategy",
    "dare_of": "dare.of",
}
# What an option makes void in the recipe it is said beside.
_REPLACED = {"alpha": "mixup.ratio", "ratio": "mixup.alpha", "dtype": "out_dtype", "seed": "mixup.seed"}


def load_recipe(path: str | Path, **options: Unpack[Options]) -> Recipe:
    """The recipe in a UTF-8 file of at most 1 MB; options win over what it says. A leading ~ in its path is a home.

    Relative model paths stay as given: as in mergekit, they are relative to the working directory.
    Raises RecipeError with everything that is wrong.
    """
    path = fileio.expanded(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        rule = "a recipe must be a readable file"
        found = (error.strerror or "") if isinstance(error, OSError) else str(error)
        problem = Problem(rule, found, str(path), fileio.mistyped(path) or "check the path")
        raise RecipeError(problem) from error
    if len(data) > MAX_BYTES:
        rule = f"a recipe is at most {MAX_BYTES} bytes"
        raise RecipeError(Problem(rule, "more", str(path), "is this a recipe?"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem("a recipe must be UTF-8 text", error.reason, f"{path}:{line}", "save it as UTF-8")
        raise RecipeError(problem) from error
    return parse_recipe(text, str(path), **options)


def parse_recipe(text: str, file: str = "<recipe>", **options: Unpack[Options]) -> Recipe:
    """The recipe in a YAML text; options win over what it says. `file` is its name in messages."""
    report = Report()
    return read_recipe(_with_options(compose(text, file, report), options), report)


def recipe_from_options(
    method: str,
    models: Sequence[str],
    *,
    base: str | None = None,
    weight: Sequence[float] = (),
    density: float | None = None,
    scale: float | None = None,
    parameters: Mapping[str, Number] | None = None,
    **options: Unpack[Options],
) -> Recipe:
    """A recipe without a file: whole models merged by one method.

    weight: none, one for all, or one per model. density, scale and `parameters` are set at the top level.
    The same checks as for files; places name the option, as `--alpha`.
    """
    report = Report()
    one_each = len(weight) > 1
    if one_each and len(weight) != len(models):
        cure = "give one --weight per model, in their order, or one for all"
        found = f"{len(weight)} weights, {len(models)} models"
        report.add(Problem("there must be as many weights as models", found, "--weight", cure))
    entries: list[dict[str, object]] = [{"model": model} for model in models]
    for entry, value in zip(entries, weight if one_each else (), strict=False):
        entry["parameters"] = {"weight": value}
    named = {"density": density, "scale": scale, "weight": weight[0] if len(weight) == 1 else None}
    options_said = {name: value for name, value in named.items() if value is not None}
    for name in sorted(options_said.keys() & (parameters or {}).keys()):
        report.add(Problem(f"{name} is given once", f"{_option(name)} and -p {name}", _option(name), "keep one"))
    shared = {**(parameters or {}), **options_said}
    data = {"merge_method": method, "base_model": base, "models": entries, "parameters": shared}
    root = from_python(data, "command line", "", _option_places(len(models), options_said, parameters or {}))
    assert isinstance(root, Table)
    return read_recipe(_with_options(root, options), report)


def _option_places(models: int, options: Iterable[str], parameters: Mapping[str, object]) -> dict[str, str]:
    """Key path -> what of the command line stands there. parameters: those said as `-p NAME=VALUE`."""
    places = {"merge_method": "--method", "base_model": "--base", "models": "MODELS"}
    places |= {f"models[{i}].parameters": "--weight" for i in range(models)}
    places |= {below("parameters", name): f"-p {name}={_typed(value)}" for name, value in parameters.items()}
    return places | {below("parameters", name): _option(name) for name in options}


def _typed(value: object) -> str:
    """A parameter's value as it is typed."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(_typed, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def with_overrides(recipe: Recipe, **options: Unpack[Options]) -> Recipe:
    """The recipe with some of it said anew, checked like any other.

    `ratio` replaces the law, `alpha` a fixed ratio, `seed` that of mixup too. The dialect stays as it is
    unless given; `load_recipe` with the same options decides it anew, as where mixup is added.
    """
    report = Report()
    root = from_python(as_data(recipe), "recipe", "", recipe.places)
    assert isinstance(root, Table)
    new = read_recipe(_with_options(root, options), report)
    places = {**recipe.places, **{key: place for key, place in new.places.items() if place.startswith("--")}}
    return replace(new, study=recipe.study, places=places, notes=tuple(dict.fromkeys((*recipe.notes, *new.notes))))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _with_options(root: Table, options: Options) -> Table:
    """The tree with every option said planted at its key, and what it replaces taken out."""
    said = {name: value for name, value in options.items() if value is not None}
    bare = root.entries.get("dare")
    if isinstance(bare, Scalar) and not bare.null and any(name.startswith("dare") for name in said):
        drop_rate = Scalar(bare.place, "dare.drop_rate", bare.text, flag=bare.flag)
        root = planted(root, "dare", Table(bare.place, "dare", {"drop_rate": drop_rate}))
    for name in said:
        root = pruned(root, _REPLACED[name]) if name in _REPLACED else root
    for name, value in said.items():
        key = _KEYS.get(name, name)
        if name == "tokenizer_source" and "tokenizer" in root.entries:
            key = "tokenizer.source"
        root = planted(root, key, from_python(value, _option(name), key))
    return root
