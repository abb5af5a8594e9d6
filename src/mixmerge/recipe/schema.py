"""Nodes -> Recipe: which keys there are, what each holds, and what it is when left out.

One table of keys per mapping and one function per mapping. Rules between keys are in `mixmerge.recipe.rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

from mixmerge.errors import nearest
from mixmerge.methods import METHODS, Dialect, method_names
from mixmerge.mixup import MAX_ALPHA, MIN_ALPHA, Scope
from mixmerge.recipe import values
from mixmerge.recipe.nodes import Listing, Node, Table, places_of
from mixmerge.recipe.parameters import (
    ELSEWHERE,
    MERGEKIT_METHODS,
    STACKING,
    Asked,
    Level,
    completed,
    known_here,
    read_parameters,
    unread,
)
from mixmerge.recipe.report import RefusedError, Report
from mixmerge.recipe.rules import check
from mixmerge.recipe.types import (
    CHATML,
    MOST_USED,
    UNION,
    Dare,
    Given,
    Mixup,
    ModelRef,
    Recipe,
    Slice,
    Source,
)

if TYPE_CHECKING:
    from mixmerge.recipe.study import StudySection
    from mixmerge.recipe.tokenizer import TokenizerSection

T = TypeVar("T")

# fmt: off
RECIPE_KEYS = (
    "merge_method", "base_model", "models", "slices", "parameters", "dare", "mixup", "dialect", "seed",
    "dtype", "out_dtype", "on_mismatch", "tokenizer_source", "tokenizer", "chat_template", "name", "modules", "study",
)
# fmt: on
MODEL_KEYS = ("model", "parameters")
SLICE_KEYS = ("sources", "base_model", "parameters", "residual_weight")
SLICE_SOURCE_KEYS = ("model", "layer_range", "parameters")
DARE_KEYS = ("drop_rate", "rescale", "strategy", "of")
MIXUP_KEYS = ("alpha", "ratio", "scope", "seed", "filter")

DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
OnMismatch = Literal["error", "base"]
Strategy = Literal["random", "magnitude"]
Masked = Literal["delta", "weight"]
NOBODY = ModelRef("")
NO_NODES: Sequence[Node] = ()

# Keys of mergekit that this version refuses: rule and cure.
NOT_YET = {
    "modules": ("`modules` (several sub-networks) are not supported yet", "write `models` or `slices`"),
}
# Keys of mergekit that say nothing a merge here needs.
WITHOUT_EFFECT = {"name": "a name for people", "residual_weight": "mergekit itself does not read it"}


class _Section:
    """The known entries of one mapping; a key that holds nothing counts as left out."""

    def __init__(self, node: Node, known: tuple[str, ...], report: Report) -> None:
        self.node = node
        self.report = report
        nothing: Mapping[str, Node] = {}
        self.entries = report.read(node, lambda it: values.table(it, known, report, _elsewhere(known)), nothing)
        for key, entry in self.entries.items():
            if key in WITHOUT_EFFECT:
                report.note(entry, f"no effect: {WITHOUT_EFFECT[key]}")

    def has(self, key: str) -> bool:
        return key in self.entries and not values.is_null(self.entries[key])

    def get(self, key: str, reader: Callable[[Node], T], default: T) -> T:
        return self.report.read(self.entries[key], reader, default) if self.has(key) else default

    def must(self, key: str, reader: Callable[[Node], T], stand_in: T, cure: str) -> T:
        """As `get`, of a key that may not be left out."""
        if not self.has(key) and isinstance(self.node, Table):
            self.report.wrong(self.entries.get(key, self.node), f"{key} is missing", cure, "")
        return self.get(key, reader, stand_in)

    def refuse(self, key: str, rule: str, cure: str) -> None:
        if self.has(key):
            self.report.wrong(self.entries[key], rule, cure)


def _elsewhere(known: tuple[str, ...]) -> dict[str, str]:
    """Keys that people write one level too high -> the section they belong to, where that can stand here."""
    found = dict.fromkeys(sorted(known_here()), "parameters") | ELSEWHERE
    return {key: section for key, section in found.items() if section in known and key not in known}


def read_recipe(root: Table, report: Report) -> Recipe:
    """The recipe a tree of nodes describes. Raises one RecipeError with all that is wrong."""
    top = _Section(root, RECIPE_KEYS, report)
    for key, (rule, cure) in NOT_YET.items():
        top.refuse(key, rule, cure)
    asked = _asked(top)
    base = top.get("base_model", lambda node: values.model_ref(node, report), None)
    tokens_of, tokenizer = _tokenizer(top)
    recipe = Recipe(
        method=asked.name,
        dialect=asked.dialect,
        slices=_slices(top, asked, base),
        base=base,
        parameters=completed(_parameters(top, "recipe", asked), asked.declared()),
        dare=_optional(top, "dare", _dare),
        mixup=_optional(top, "mixup", _mixup),
        dtype=_dtype(top),
        seed=top.get("seed", values.seed, 0),
        on_mismatch=top.get("on_mismatch", _one_of(get_args(OnMismatch)), "error"),
        chat_template=top.get("chat_template", _chat_template, None),
        tokenizer_source=tokens_of,
        tokenizer=tokenizer,
        places=places_of(root),
        study=_optional(top, "study", _study),
    )
    recipe = _with_unlisted_base(recipe, asked)
    for problem in check(recipe, asked.method):
        report.add(problem)
    report.raise_if_any()
    return replace(recipe, notes=tuple(report.notes))


def _one_of(choices: tuple[T, ...]) -> Callable[[Node], T]:
    """A reader of one of the words of a Literal."""
    words = {str(choice): choice for choice in choices}
    return lambda node: words[values.choice(node, tuple(words))]


def _asked(top: _Section) -> Asked:
    """Method and dialect, the two that decide how the rest is read."""
    name = top.must("merge_method", _method_name, "", f"add one of: {', '.join(method_names())}")
    given: Dialect | None = top.get("dialect", _one_of(get_args(Dialect)), None)
    mixup = "mixup" in top.entries
    papers_own = mixup or "dare" in top.entries or ("mergekit", name) not in METHODS
    dialect: Dialect = given or ("paper" if papers_own and ("paper", name) in METHODS else "mergekit")
    if name and (dialect, name) not in METHODS:
        others = ", ".join(method for known, method in METHODS if known == dialect)
        cure = f"remove this line; dialect {dialect} has: {others}"
        top.report.wrong(top.entries["dialect"], f"method {name} has no form in dialect {dialect}", cure)
    return Asked(name, dialect, METHODS.get((dialect, name)), mixup)


def _method_name(node: Node) -> str:
    name = values.text(node)
    if name in method_names():
        return name
    if name in MERGEKIT_METHODS:
        cure = STACKING if name == "passthrough" else f"this version has: {', '.join(method_names())}"
        raise RefusedError(node, f"method {name} is known to mergekit but not in this version", cure)
    raise RefusedError(node, f"unknown merge method {name!r}", nearest(name, method_names()))


def _parameters(section: _Section, level: Level, asked: Asked) -> dict[str, Given]:
    report = section.report
    nothing: dict[str, Given] = {}
    return section.get("parameters", lambda node: read_parameters(node, level, asked, report), nothing)


def _slices(top: _Section, asked: Asked, base: ModelRef | None) -> tuple[Slice, ...]:
    report = top.report
    if top.has("models") and top.has("slices"):
        top.refuse("slices", "`models` and `slices` exclude each other", "keep one of the two")
    if not any(top.has(key) for key in ("models", "slices", "modules")):
        cure = "add `models:` with a line `- model: ...` each"
        report.wrong(top.node, "a recipe needs `models` (or `slices`)", cure, "")
    if not top.has("slices"):
        return (Slice(_each(top, "models", lambda node: _source(node, MODEL_KEYS, asked, base, report))),)
    return _each(top, "slices", lambda node: _slice(node, asked, base, report))


def _each(section: _Section, key: str, reader: Callable[[Node], T]) -> tuple[T, ...]:
    """One value per item of a list."""
    return tuple(reader(node) for node in section.get(key, values.items, NO_NODES))


def _slice(node: Node, asked: Asked, base: ModelRef | None, report: Report) -> Slice:
    section = _Section(node, SLICE_KEYS, report)
    own = section.get("base_model", lambda it: values.model_ref(it, report), None)
    section.must("sources", values.items, NO_NODES, "add `sources:` with a line `- model: ...` each")
    sources = _each(section, "sources", lambda it: _source(it, SLICE_SOURCE_KEYS, asked, own or base, report))
    return Slice(sources, _parameters(section, "slice", asked), own)


def _source(node: Node, keys: tuple[str, ...], asked: Asked, base: ModelRef | None, report: Report) -> Source:
    section = _Section(node, keys, report)
    cure = "add `model: path or hub id`"
    model = section.must("model", lambda it: values.model_ref(it, report), NOBODY, cure)
    layers = None
    if "layer_range" in keys:
        cure = "add `layer_range: [first, end]`; without slices, use `models`"
        layers = section.must("layer_range", values.layer_range, None, cure)
    if asked.method is not None and asked.method.space == "delta" and model == base:
        section.get("parameters", lambda it: unread(it, "this is the base", report), None)
        return Source(model, layers)
    return Source(model, layers, _parameters(section, "source", asked))


def _optional(top: _Section, key: str, reader: Callable[[Node, Report], T]) -> T | None:
    """A section that switches something on; an empty one is refused, since it could mean either."""
    if key not in top.entries:
        return None
    if not top.has(key):
        cure = f"write `{key}: {{}}` for its defaults, or remove it"
        top.report.wrong(top.entries[key], f"{key} is empty", cure, "")
        return None
    return reader(top.entries[key], top.report)


def _dare(node: Node, report: Report) -> Dare:
    if not isinstance(node, Table):
        return Dare(drop_rate=report.read(node, lambda it: values.number(it, 0, 1), Dare().drop_rate))
    section = _Section(node, DARE_KEYS, report)
    return Dare(
        drop_rate=section.get("drop_rate", lambda it: values.number(it, 0, 1), 0.2),
        rescale=section.get("rescale", values.flag, True),
        strategy=section.get("strategy", _one_of(get_args(Strategy)), "random"),
        of=section.get("of", _one_of(get_args(Masked)), "delta"),
    )


def _mixup(node: Node, report: Report) -> Mixup:
    section = _Section(node, MIXUP_KEYS, report)
    if section.has("alpha") and section.has("ratio"):
        cure = "keep ratio to fix it, alpha to draw it"
        section.refuse("alpha", "alpha and ratio exclude each other", cure)
    return Mixup(
        alpha=section.get("alpha", _alpha, (0.5,)),
        ratio=section.get("ratio", lambda it: None if isinstance(it, Table) else values.ratio(it), None),
        groups=section.get("ratio", lambda it: _ratios(it, report), {}),
        scope=section.get("scope", _one_of(get_args(Scope)), "model"),
        seed=section.get("seed", values.seed, None),
        filters=section.get("filter", values.names, ()),
    )


def _ratios(node: Node, report: Report) -> Mapping[str, tuple[float, ...]]:
    """A ratio for each group, where it is a mapping. Which groups there are is known to the plan."""
    if not isinstance(node, Table):
        return {}
    if not node.entries:
        raise RefusedError(node, "ratio is empty", "write a ratio for each group, or remove it")
    nothing: tuple[float, ...] = ()
    read = {name: report.read(entry, values.ratio, nothing) for name, entry in node.entries.items()}
    return {name: ratio for name, ratio in read.items() if ratio}


def _alpha(node: Node) -> tuple[float, ...]:
    """The concentration of the ratio law: one number, or one per source, those all above 0. Too small ones, with which
    nothing can be computed, are refused."""
    alpha = values.numbers(node, 0, MAX_ALPHA)
    if isinstance(node, Listing) and 0 in alpha:
        cure = "write `alpha: 0` to take the first source alone"
        raise RefusedError(node, "an alpha per source must be above 0", cure)
    if any(0 < one < MIN_ALPHA for one in alpha):
        raise RefusedError(node, f"an alpha above 0 is at least {MIN_ALPHA:g}", f"write {MIN_ALPHA:g}, or 0")
    return alpha


def _chat_template(node: Node) -> str:
    """A template is told from a word for one by its braces, as in mergekit."""
    template = values.text(node)
    if "{" in template or template in (MOST_USED, CHATML):
        return template
    rule = f"chat_template is the text of a Jinja template, `{MOST_USED}` or `{CHATML}`"
    cure = "write the template itself, or leave chat_template out and take a model's with tokenizer_source"
    raise RefusedError(node, rule, cure)


def _dtype(top: _Section) -> str | None:
    """mergekit computes in `dtype` and writes `out_dtype`; arithmetic here is float32, so both mean that."""
    computed = top.get("dtype", _dtype_name, None)
    written = top.get("out_dtype", _dtype_name, None)
    if computed and written and computed != written:
        top.report.note(top.entries["dtype"], "no effect beside out_dtype: arithmetic is always float32")
    return written or computed


def _dtype_name(node: Node) -> str:
    name = values.text(node).removeprefix("torch.")
    if name not in DTYPES:
        raise RefusedError(node, f"unknown dtype {name!r}", nearest(name, DTYPES))
    return DTYPES[name]


def _study(node: Node, report: Report) -> StudySection:
    from mixmerge.recipe.study import read_study  # few recipes have the section

    return read_study(node, report)


def _tokenizer(top: _Section) -> tuple[str | None, TokenizerSection | None]:
    """Whose tokens are kept, and what is said of single ones: `tokenizer_source` says the first alone."""
    if top.has("tokenizer_source") and "tokenizer" in top.entries:
        rule = "`tokenizer` and `tokenizer_source` exclude each other"
        top.refuse("tokenizer_source", rule, "write it as `source` inside `tokenizer`")
    if "tokenizer" not in top.entries:
        return top.get("tokenizer_source", lambda node: values.tokens_source(node, top.report), None), None
    from mixmerge.recipe.tokenizer import read_tokenizer  # as above

    found = _optional(top, "tokenizer", read_tokenizer)
    return (UNION, None) if found is None else found


def _with_unlisted_base(recipe: Recipe, asked: Asked) -> Recipe:
    """mergekit's rule: a base not listed among whole models is one more source of methods on weights."""
    takes_part = asked.method is not None and asked.method.space == "weight" and asked.method.base != "donor"
    part = recipe.slices[0] if recipe.slices else Slice(())
    listed = [source.model for source in part.sources]
    if not takes_part or recipe.base is None or recipe.base in listed or "slices" in recipe.places:
        return recipe
    return replace(recipe, slices=(replace(part, sources=(*part.sources, Source(recipe.base))),))
