"""Recipe and headers in, plan out. What can be refused is refused here, all at once, before a weight is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from mixmerge.checkpoint import (
    DTYPES,
    Checkpoint,
    DType,
    TensorSpec,
    lay_out,
    quantisation,
)
from mixmerge.errors import PlanError, Problem, nearest
from mixmerge.methods import METHODS, Method
from mixmerge.mixup import Ratio, RatioLaw, draw_groups, equal_ratio, group_of, rounded
from mixmerge.planning import carry, names, settings
from mixmerge.planning.budget import plan_budget
from mixmerge.planning.fitting import number_problems
from mixmerge.planning.layout import Assembly, Layout, Member, SlicePlan, assemble
from mixmerge.planning.output import check_output
from mixmerge.planning.token_settings import wanted_tokens
from mixmerge.planning.types import Cost, Plan, Step, changes, viewed
from mixmerge.planning.vocabulary import Found, find_vocabulary
from mixmerge.recipe import base_of, merged_sources, model_refs, slice_key
from mixmerge.recipe.types import UNION, ModelRef, Recipe

DEFAULT_SHARD: Final = 5_000_000_000
EQUAL: Final = "equal"
"""Group of the tensors outside `mixup.filter`, merged at equal ratio."""


def build_plan(
    recipe: Recipe,
    models: Mapping[ModelRef, Checkpoint],
    *,
    memory: int | None = None,
    threads: int | None = None,
    shard_size: int = DEFAULT_SHARD,
    out: Path | None = None,
    allow_nonfinite: bool = False,
) -> Plan:
    """Decide everything about a merge. models: every model the recipe names, opened.

    memory: bytes for the whole process (None: 1 GiB). out: where the output will go, to check place and disk.
    Raises PlanError (or MemoryBudgetError, OutputError) with all problems found.
    """
    method = METHODS[recipe.dialect, recipe.method]
    order = _model_order(recipe, models)
    opened = [models[ref] for ref in order]
    position = {ref: index for index, ref in enumerate(order)}
    problems = _quantised(opened)
    unreadable = list(carry.unreadable(opened))
    if unreadable:
        raise PlanError([*problems, *unreadable])
    donor = position[recipe.base] if recipe.base is not None else 0
    slices = _slices(recipe, method, position)
    tokens = _vocabulary(recipe, opened, slices, position, donor)
    layout = assemble(opened, slices, donor, recipe.on_mismatch, tokens.vocabulary)
    problems += [*tokens.problems, *(one for one in layout.problems if not _follows(one, tokens))]
    steps, unset = _steps(recipe, method, layout, _output_dtype(recipe))
    problems += unset
    if problems:
        raise PlanError(problems)
    law, ratios = _ratios(recipe, steps)
    unmatched = _fitting(recipe, steps, ratios)
    specs = [step.spec for step in steps]
    layouts = lay_out(specs, shard_size)
    dtype = _main_dtype(specs)
    passes = _passes(recipe, method, steps)
    budget = plan_budget(
        steps,
        memory,
        threads,
        measures=passes > 1,
        whole_model=method.sparsify == "trim" and _whole(recipe, method),
        tokens=tokens,
    )
    written = sum(layout.size for layout in layouts)
    read = passes * _read_once(steps) + _read_beside(opened, steps)
    tokenizer = _tokenizer_model(recipe, position, donor)
    small = carry.small_files(recipe, opened, donor, tokenizer, specs, layout, dtype, tokens.vocabulary)
    cost = Cost(read, written, passes, written + small.nbytes + _beside(steps))
    if out is not None:
        check_output(out, cost.disk, opened)
    return Plan(
        recipe, method, tuple(opened), position.get(recipe.base) if recipe.base else None, donor, tuple(steps), layouts,
        dtype, ratios, law, budget, cost, small.carried, small.files,
        (*recipe.notes, *_of_adapters(opened), *unmatched, *tokens.notes, *small.notes, *layout.notes),
        allow_nonfinite, tokens.vocabulary,
    )  # fmt: skip


def _fitting(recipe: Recipe, steps: Sequence[Step], ratios: Mapping[str, Ratio]) -> list[str]:
    """Notes of the filters without a use. Raises PlanError with all filters, groups and numbers that do not fit."""
    unmatched = _unmatched(recipe, steps)
    problems = [*_unused(recipe, steps, unmatched), *_every_group_once(recipe, ratios)]
    problems += number_problems(recipe, steps, ratios)
    if problems:
        raise PlanError(problems)
    return [f"mixup.filter: no tensor's name contains {one}" for one in unmatched]


def _of_adapters(models: Sequence[Checkpoint]) -> Iterator[str]:
    """What there is to say of adapters."""
    return (note for model in models if model.adaptation is not None for note in model.adaptation.notes)


def with_ratios(plan: Plan, ratios: Mapping[str, Ratio]) -> Plan:
    """The same plan with other ratios; nothing else of it depends on them."""
    assert ratios.keys() == plan.ratios.keys(), "one ratio for each group of the plan"
    return replace(plan, ratios=dict(ratios))


def _model_order(recipe: Recipe, models: Mapping[ModelRef, Checkpoint]) -> list[ModelRef]:
    return [ref for ref in model_refs(recipe) if ref in models]


def _quantised(models: Sequence[Checkpoint]) -> list[Problem]:
    found = []
    for model in models:
        reason = quantisation(model)
        if reason is not None:
            rule, cure = "a merged model's elements are weights", "dequantise it first"
            found.append(Problem(rule, reason, f"model {model.label}", cure))
    return found


def _slices(recipe: Recipe, method: Method, position: Mapping[ModelRef, int]) -> list[SlicePlan]:
    """Find each slice's models. Task-vector methods skip the base wherever it is listed; others see it as listed."""
    found = []
    for index, piece in enumerate(recipe.slices):
        base = base_of(recipe, piece)
        members = [Member(position[one.model], one.layers, one) for one in merged_sources(recipe, piece)]
        listed = next((source.layers for source in piece.sources if source.model == base), members[0].layers)
        seen = base is not None and (method.space == "delta" or recipe.dare is not None)
        place = recipe.place(slice_key(recipe, index) or "models")
        found.append(SlicePlan(place, piece, tuple(members), (position[base], listed) if seen and base else None))
    return found


def _vocabulary(
    recipe: Recipe,
    models: Sequence[Checkpoint],
    slices: Sequence[SlicePlan],
    position: Mapping[ModelRef, int],
    donor: int,
) -> Found:
    """Put in step the vocabularies of the models whose embeddings, heads or tokenizers are taken."""
    home = _tokenizer_model(recipe, position, donor)
    seen = [member.model for piece in (slices[0], slices[-1]) for member in piece.members]
    bases = [piece.base[0] for piece in (slices[0], slices[-1]) if piece.base is not None]
    wanted = wanted_tokens(recipe, position)
    return find_vocabulary(
        models,
        list(dict.fromkeys([*seen, *bases, donor, home, *wanted.models()])),
        home,
        only=recipe.tokenizer_source not in (None, UNION),
        owners=recipe.dialect == "mergekit",
        base=position[recipe.base] if recipe.base is not None else None,
        lenient=recipe.on_mismatch == "base",
        wanted=wanted,
    )


def _follows(problem: Problem, tokens: Found) -> bool:
    """Whether tables over the vocabulary differ only because vocabularies could not be put in step."""
    return bool(tokens.problems) and names.over_vocabulary(problem.place.removeprefix("tensor "))


def _read_once(steps: Sequence[Step]) -> int:
    """Bytes that one pass reads."""
    return sum(step.read_bytes for step in steps) + sum(change.nbytes for change in changes(steps))


def _read_beside(models: Sequence[Checkpoint], steps: Sequence[Step]) -> int:
    """Bytes read beside the passes: tensors with other rows are read once for their fingerprints, and for means; the
    factors of adapters for their fingerprints."""
    factors = sum(span.nbytes for model in models if model.adaptation for span in model.adaptation.factors)
    return factors + sum(item.span.nbytes + (item.rows.mean_bytes if item.rows else 0) for item in viewed(steps))


def _output_dtype(recipe: Recipe) -> DType | None:
    return None if recipe.dtype is None else DTYPES[recipe.dtype]


def _steps(recipe: Recipe, method: Method, layout: Layout, dtype: DType | None) -> tuple[list[Step], list[Problem]]:
    steps: list[Step] = []
    unset: dict[tuple[str, int | None], Problem] = {}
    for item in layout.assemblies:
        try:
            steps.append(_step(recipe, method, item, dtype))
        except settings.UnsetError as error:
            problem = _unset_problem(recipe, item, error)
            unset.setdefault((error.parameter, error.source), problem)
        except ValueError as error:
            problem = Problem(str(error), f"for {item.name}", item.slice.place, "change the weights")
            unset.setdefault((str(error), None), problem)
    return steps, list(unset.values())


def _step(recipe: Recipe, method: Method, item: Assembly, dtype: DType | None) -> Step:
    first = item.base or item.inputs[0]
    floating = first.default.kind == "float"
    spec = TensorSpec(item.name, dtype if floating and dtype is not None else first.default, first.shape)
    if not floating or item.copied:
        return Step(spec, item.inputs if item.base is None else (*item.inputs, item.base), layer=item.layer)
    step = Step(
        spec,
        item.inputs,
        item.base,
        method,
        settings.per_source(recipe, method, item, mixed=recipe.mixup is not None),
        settings.shared(recipe, method, item),
        _group(recipe, item),
        item.layer,
    )
    if step.group is None:
        step.coefficients({})  # a ratio sums to one; weights may be impossible
    return step


def _group(recipe: Recipe, item: Assembly) -> str | None:
    if recipe.mixup is None:
        return None
    filters = recipe.mixup.filters
    if filters and not any(fragment in item.name for fragment in filters):
        return EQUAL
    return group_of(item.name, item.layer, recipe.mixup.scope)


def _unmatched(recipe: Recipe, steps: Sequence[Step]) -> tuple[str, ...]:
    """The filters that no tensor's name contains."""
    mixed = [step.spec.name for step in steps if step.group is not None]
    filters = recipe.mixup.filters if recipe.mixup is not None else ()
    return tuple(one for one in filters if not any(one in name for name in mixed))


def _unused(recipe: Recipe, steps: Sequence[Step], unmatched: Sequence[str]) -> Iterator[Problem]:
    """The problem of filters none of which has a use."""
    filters = recipe.mixup.filters if recipe.mixup is not None else ()
    if filters and len(unmatched) == len(filters):
        mixed = next((step.spec.name for step in steps if step.group is not None), None)
        rule, found = "mixup.filter leaves some tensor to be mixed", f"no name contains {', '.join(unmatched)}"
        cure = f"write parts of tensor names, as they are in {mixed}" if mixed else "remove it"
        yield Problem(rule, found, recipe.place("mixup.filter"), cure)


def _unset_problem(recipe: Recipe, item: Assembly, error: settings.UnsetError) -> Problem:
    rule = f"every tensor has a {error.parameter}"
    if error.source is None:
        return Problem(rule, f"none for {item.name}", recipe.place("parameters"), f"add `{error.parameter}:`")
    model = item.slice.members[error.source].source.model
    place = f"{item.slice.place}, model {model}"
    cure = f"add a case without filter to `{error.parameter}` of this model, or a value at the top level"
    return Problem(rule, f"none for {item.name}", place, cure)


def _ratios(recipe: Recipe, steps: Sequence[Step]) -> tuple[RatioLaw | None, Mapping[str, Ratio]]:
    groups = list(dict.fromkeys(step.group for step in steps if step.group is not None))
    if recipe.mixup is None or not groups:
        return None, {}
    count = max(len(step.inputs) for step in steps if step.group is not None)
    drawn = [group for group in groups if group != EQUAL]
    if recipe.mixup.groups:
        given = recipe.mixup.groups
        law, found = None, {group: rounded(given[group]) for group in drawn if group in given}
    elif recipe.mixup.ratio is not None:
        law, found = None, {group: rounded(recipe.mixup.ratio) for group in drawn}
    else:
        law = RatioLaw.symmetric(recipe.mixup.alpha, count)
        seed = recipe.seed if recipe.mixup.seed is None else recipe.mixup.seed
        found = dict(draw_groups(law, seed, drawn))
    return law, {group: found.get(group, equal_ratio(count)) for group in groups}


def _every_group_once(recipe: Recipe, known: Collection[str]) -> Iterator[Problem]:
    """Ratios by group are given for exactly the groups there are. known: those, and perhaps the one at equal ratio."""
    given = {} if recipe.mixup is None else recipe.mixup.groups
    groups = [group for group in known if group != EQUAL]
    if not groups:
        return
    rule = "a ratio by group names every group of the scope, and no other"
    for group in given:
        if group not in groups:
            yield Problem(rule, f"{group}: ...", recipe.place(f"mixup.ratio.{group}"), nearest(group, groups))
    missing = [group for group in groups if group not in given]
    if given and missing:
        found = f"none for {', '.join(missing[:5])}" + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        yield Problem(rule, found, recipe.place("mixup.ratio"), "add a line for each")


def _whole(recipe: Recipe, method: Method) -> bool:
    return method.parameter("trim") is not None and recipe.parameters.get("trim", "model") == "model"


def _passes(recipe: Recipe, method: Method, steps: Sequence[Step]) -> int:
    """Passes over the inputs: one to apply, and what measuring takes when all goes as expected."""
    passes = 1 + (recipe.dare is not None and recipe.dare.strategy == "magnitude") * 2
    if method.sparsify == "trim":
        passes += 1 if _whole(recipe, method) else 3
    return passes + any(step.shared.get("rescale", False) for step in steps)  # norms before and after


def _beside(steps: Sequence[Step]) -> int:
    """Bytes of the record, the model card and the journal, generously."""
    return 2**20 + 512 * sum(1 + len(step.all_inputs) for step in steps) + 1_024 * len(changes(steps))


def _main_dtype(specs: Sequence[TensorSpec]) -> DType:
    """The float dtype most bytes are written in."""
    sizes: Counter[str] = Counter()
    for spec in specs:
        if spec.dtype.kind == "float":
            sizes[spec.dtype.name] += spec.nbytes
    return DTYPES[sizes.most_common(1)[0][0]] if sizes else DTYPES["F32"]


def _tokenizer_model(recipe: Recipe, position: Mapping[ModelRef, int], donor: int) -> int:
    wanted = recipe.tokenizer_source
    if wanted in (None, "base", UNION):
        return donor
    return next((index for ref, index in position.items() if str(ref) == wanted), donor)
