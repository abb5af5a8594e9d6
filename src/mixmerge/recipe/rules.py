"""Rules between the keys of a recipe: functions over the frozen values. To add one, write it and list it.

A rule yields the problems it finds. Values that could not be read have been replaced by harmless stand-ins,
so rules may run on a recipe that is already known to be wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mixmerge.errors import Problem, nearest
from mixmerge.methods import Method, Parameter
from mixmerge.recipe.sources import (
    base_of,
    is_merged,
    merged_sources,
    model_refs,
    slice_key,
    source_key,
)
from mixmerge.recipe.types import UNION, Filtered, Given, Gradient, Recipe, Slice, Source

Rule = Callable[[Recipe, Method], Iterator[Problem]]


def check(recipe: Recipe, method: Method | None) -> Iterator[Problem]:
    """Every broken rule; those that need the method's declaration are left out where there is none."""
    for general in (_layers, _listed_once, _base_to_copy_from, _tokenizer_listed):
        yield from general(recipe)
    if method is not None:
        for rule in _OF_A_METHOD:
            yield from rule(recipe, method)


def _layers(recipe: Recipe) -> Iterator[Problem]:
    """All sources of a slice give the same number of layers."""
    for i, part in enumerate(recipe.slices):
        lengths = [(s.model, s.layers[1] - s.layers[0]) for s in part.sources if s.layers]
        if len({length for _, length in lengths}) > 1:
            found = ", ".join(f"{model}: {length}" for model, length in lengths)
            rule = "all sources of a slice must have the same number of layers"
            yield Problem(rule, found, recipe.place(slice_key(recipe, i)), "make every end - first equal")


def _listed_once(recipe: Recipe) -> Iterator[Problem]:
    """No source stands twice in a slice: mergekit would count it once, a reader twice."""
    for i, part in enumerate(recipe.slices):
        seen = set()
        for j, source in enumerate(part.sources):
            if (source.model, source.layers) in seen and source.model.path:
                rule = "a source may be listed once"
                cure = "remove one of the two; a larger weight says that it counts more"
                yield Problem(rule, str(source.model), recipe.place(source_key(recipe, i, j)), cure)
            seen.add((source.model, source.layers))


def _base_to_copy_from(recipe: Recipe) -> Iterator[Problem]:
    if recipe.on_mismatch == "base" and recipe.base is None:
        cure = "add base_model, or remove on_mismatch"
        rule = "on_mismatch: base needs a base_model to copy from"
        yield Problem(rule, "", recipe.place("on_mismatch"), cure)


def _tokenizer_listed(recipe: Recipe) -> Iterator[Problem]:
    """The tokens are those of the base or of a model of the recipe, or of all; rows of single ones its models'."""
    models = [str(ref) for ref in model_refs(recipe)]
    known = list(dict.fromkeys(["base", UNION, *models]))
    if recipe.tokenizer_source is not None and recipe.tokenizer_source not in known:
        key = "tokenizer.source" if "tokenizer" in recipe.places else "tokenizer_source"
        rule = f"{key} must be `base`, `union` or a model of the recipe"
        yield Problem(rule, recipe.tokenizer_source, recipe.place(key), nearest(recipe.tokenizer_source, known))
    for one in recipe.tokenizer.tokens if recipe.tokenizer else ():
        if one.source is None or one.source == "zero":
            continue
        if str(one.source.model) not in models and one.source.model.path:
            rule = "the row of a token is that of a model of the recipe"
            place = recipe.place(f"tokenizer.tokens.{one.token}.source")
            yield Problem(rule, str(one.source.model), place, nearest(str(one.source.model), models))


def _base_given(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """Task vectors need a base to be taken from."""
    masked = recipe.dare is not None and recipe.dare.of == "delta"
    if method.base != "required" and not masked:
        return
    who = f"method {method.name}" if method.base == "required" else "dare on task vectors"
    cure = "add `base_model: ...`, the model the sources were fine-tuned from"
    for i, part in enumerate(recipe.slices):
        if base_of(recipe, part) is None:
            where = slice_key(recipe, i) or ("merge_method" if method.base == "required" else "dare")
            yield Problem(f"{who} needs a base_model", "none", recipe.place(where), cure)


def _base_layers_clear(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """A base that a slice does not list lends the layers its sources have, so these must agree."""
    if method.space != "delta":
        return
    for i, part in enumerate(recipe.slices):
        base = base_of(recipe, part)
        ranges = {source.layers for source in part.sources}
        if base is not None and len(ranges) > 1 and all(source.model != base for source in part.sources):
            rule = "where the sources of a slice take different layers, the base must say its own"
            cure = f"add `- {{model: {base}, layer_range: [first, end]}}` to the sources"
            yield Problem(rule, "", recipe.place(slice_key(recipe, i)), cure)


def _source_count(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """As many sources as the method takes, and two at least where a ratio is mixed."""
    low, high = method.sources
    low = max(low, 2) if recipe.mixup else low
    for i, part in enumerate(recipe.slices):
        count = len(merged_sources(recipe, part))
        if low <= count <= high or not part.sources:
            continue
        who = "mixup" if recipe.mixup and count < 2 else f"method {method.name}"
        least = count < low
        rule = f"{who} needs {'at least' if least else 'at most'} {low if least else high} source models"
        besides = " besides the base" if method.space == "delta" else ""
        where = slice_key(recipe, i) or "models"
        cure = "add a model" if least else "remove some"
        yield Problem(rule, f"{count}{besides}", recipe.place(where), cure)


def _ratio_fits(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """A ratio, and an alpha per source, has one number for each source of every slice."""
    mixup = recipe.mixup
    if mixup is None:
        return
    given = {f"ratio.{group}": ratio for group, ratio in mixup.groups.items()}
    if not given:
        given = {"alpha": mixup.alpha} if mixup.ratio is None else {"ratio": mixup.ratio}
    counts = [len(merged_sources(recipe, part)) for part in recipe.slices]
    for name, numbers in given.items():
        one_for_all = name == "alpha" and len(numbers) == 1
        wrong = [] if one_for_all else [count for count in counts if count >= 2 and count != len(numbers)]
        if wrong:
            besides = " (the base is none)" if method.space == "delta" else ""
            rule = f"{name.partition('.')[0]} must have one number per source"
            found = f"{len(numbers)} numbers, {wrong[0]} sources{besides}"
            cure = f"give {wrong[0]} numbers, in the order of the sources"
            yield Problem(rule, found, recipe.place(f"mixup.{name}"), cure)


def _base_is_not_mixed(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """A ratio is for sources the person listed, not for a base that counts as one by mergekit's rule."""
    last = len(recipe.slices[0].sources) - 1 if recipe.slices else -1
    if recipe.mixup and last >= 0 and source_key(recipe, 0, last) == "base_model":
        rule = f"an unlisted base_model is one more source of {method.name}; mixup has no ratio for it"
        cure = "list it under models, remove base_model, or set dialect: paper"
        yield Problem(rule, str(recipe.base), recipe.place("base_model"), cure)


def _slices_mix_alike(recipe: Recipe, _: Method) -> Iterator[Problem]:
    """With mixup all slices have the same number of sources, since one ratio serves them all."""
    counts = [len(merged_sources(recipe, part)) for part in recipe.slices]
    if recipe.mixup and len(set(counts)) > 1:
        rule = "with mixup every slice must have the same number of sources"
        yield Problem(rule, str(counts), recipe.place("slices"), "add or remove sources, or remove mixup")


def _takes_a_ratio(recipe: Recipe, method: Method) -> Iterator[Problem]:
    if recipe.mixup and method.dialect != "paper" and method.parameter("weight") is None:
        rule = f"method {method.name} has no weights that a ratio could supply"
        yield Problem(rule, "", recipe.place("mixup"), "remove mixup, or use linear, task_arithmetic or ties")


def _required(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """A parameter without a default is given somewhere: at the source, its slice or the top level."""
    for parameter in method.parameters:
        if parameter.default is not None or (parameter.name == "weight" and recipe.mixup):
            continue
        if parameter.name in recipe.parameters:
            continue
        for i, part in enumerate(recipe.slices):
            if parameter.name not in part.parameters:
                yield from _missing(recipe, method, parameter, i)


def _missing(recipe: Recipe, method: Method, parameter: Parameter, i: int) -> Iterator[Problem]:
    part = recipe.slices[i]
    owner = f"method {method.name}"
    if not parameter.per_source:
        cure = f"add `{parameter.name}: ...` to the top-level parameters ({parameter.meaning})"
        where = slice_key(recipe, i) or "merge_method"
        yield Problem(f"{owner} needs {parameter.name}", "", recipe.place(where), cure)
        return
    merged = ((j, one) for j, one in enumerate(part.sources) if one.model.path and is_merged(recipe, part, one))
    lacking = [(j, one) for j, one in merged if parameter.name not in one.parameters]
    for j, source in lacking:
        rule, cure = f"{owner} needs {parameter.name} for every source", _cure(parameter)
        if method.space == "delta" and recipe.base is not None and len(lacking) == 1 < len(part.sources):
            cure += f"; if it is the base: base_model is {recipe.base}, which is another"
        key = source_key(recipe, i, j)
        if key == "base_model":
            rule = f"an unlisted base_model is one more source of {owner}, and needs {parameter.name}"
            cure = f"list it under models with its {parameter.name}, or remove base_model"
            cure += ", or set dialect: paper" if recipe.dare else ""
        yield Problem(rule, str(source.model), recipe.place(key), cure)


def _cure(parameter: Parameter) -> str:
    line = f"parameters: {{{parameter.name}: 1.0}}"
    by_hand = f"add `{line}` to this source, or at the top level for all"
    if parameter.name != "weight":
        return by_hand
    return f"{by_hand} (--weight); or let mixup supply it: `mixup: {{alpha: 0.5}}` (--alpha 0.5)"


def _one_density_per_model(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """Trimming over the whole model has one threshold per model, hence one density."""
    if method.parameter("trim") is None or recipe.parameters.get("trim") != "model":
        return
    seen: dict[str, Given | None] = {}
    for where, source, density in _densities(recipe):
        rule = "with trim: model the density must be one number per model (there is one threshold)"
        cure = "give one number, or set `trim: tensor`"
        if isinstance(density, Gradient | Filtered):
            yield Problem(rule, _words(density), where, cure)
        elif seen.setdefault(str(source.model), density) != density:
            yield Problem(rule, f"{density} and {seen[str(source.model)]} for {source.model}", where, cure)


def _one_threshold_a_source(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """Trimming over the whole model ranks each source's changes together, so every slice has the same sources."""
    listed = dict.fromkeys(tuple(s.model for s in merged_sources(recipe, part)) for part in recipe.slices)
    if method.parameter("trim") is not None and recipe.parameters.get("trim") == "model" and len(listed) > 1:
        rule = "with trim: model every slice has the same source models in the same order"
        found = "; ".join(", ".join(map(str, models)) for models in listed)
        cure = "set `trim: tensor`, or give all slices the same models"
        yield Problem(rule, found, recipe.place("slices"), cure)


def _masked_once(recipe: Recipe, method: Method) -> Iterator[Problem]:
    """A method that drops elements at random itself has no DARE before it."""
    if recipe.dare is not None and method.sparsify == "bernoulli":
        rule = f"method {method.name} drops elements itself, so `dare` cannot stand before it"
        cure = f"remove `dare` and set `density: {1 - recipe.dare.drop_rate:g}`"
        yield Problem(rule, f"drop_rate {recipe.dare.drop_rate:g}", recipe.place("dare"), cure)


def _densities(recipe: Recipe) -> Iterator[tuple[str, Source, Given | None]]:
    """Place, source and density of every merged source, as looked up."""
    told: set[str] = set()
    for i, part in enumerate(recipe.slices):
        for j, source in enumerate(part.sources):
            if is_merged(recipe, part, source):
                key, density = _lookup(recipe, part, source, (slice_key(recipe, i), source_key(recipe, i, j)))
                if key not in told or not isinstance(density, Gradient | Filtered):
                    yield recipe.place(key), source, density
                told.add(key)


def _lookup(recipe: Recipe, part: Slice, source: Source, keys: tuple[str, str]) -> tuple[str, Given | None]:
    """Key path and value of the density: at the source, else at the slice, else at the top level."""
    levels = ((keys[1], source.parameters), (keys[0], part.parameters))
    for key, parameters in levels:
        if "density" in parameters:
            return f"{key}.parameters.density", parameters["density"]
    return "parameters.density", recipe.parameters.get("density")


def _words(given: Gradient | Filtered) -> str:
    if isinstance(given, Gradient):
        return f"a gradient of {len(given.anchors)} numbers"
    return "a list of filters"


_OF_A_METHOD: tuple[Rule, ...] = (
    _base_given,
    _base_layers_clear,
    _source_count,
    _base_is_not_mixed,
    _slices_mix_alike,
    _ratio_fits,
    _takes_a_ratio,
    _required,
    _one_density_per_model,
    _one_threshold_a_source,
    _masked_once,
)
