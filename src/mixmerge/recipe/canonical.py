"""Recipe -> the one text that means it, and the hash of that text.

`parse_recipe(canonical(recipe)) == recipe`. Keys come in a fixed order, defaults are written out, and models
whose name could be read in two ways are written as mappings, so the text means the same on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import yaml

from mixmerge.recipe.schema import DTYPES
from mixmerge.recipe.sources import is_whole, model_refs
from mixmerge.recipe.types import (
    ROLES,
    Dare,
    Filtered,
    Given,
    Gradient,
    Mixup,
    ModelRef,
    Parameters,
    Recipe,
    Slice,
    Source,
)

if TYPE_CHECKING:
    from mixmerge.recipe.tokenizer import TokenizerSection, TokenSetting

Data = dict[str, object]


def canonical(recipe: Recipe) -> str:
    """The recipe as YAML text that parses back to an equal recipe."""
    text = yaml.safe_dump(as_data(recipe), sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=None)
    return str(text)


def recipe_hash(recipe: Recipe) -> str:
    """sha256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(recipe).encode()).hexdigest()


def as_data(recipe: Recipe) -> Data:
    """The recipe as mappings, lists and scalars under the keys of its YAML form."""
    whole = is_whole(recipe)
    models = [_source(source) for source in recipe.slices[0].sources] if whole else None
    return _given(
        merge_method=recipe.method,
        dialect=recipe.dialect,
        base_model=_model(recipe.base),
        models=models,
        slices=None if whole else [_slice(part) for part in recipe.slices],
        parameters=_parameters(recipe.parameters),
        dare=_dare(recipe.dare),
        mixup=_mixup(recipe.mixup),
        dtype=next((name for name, code in DTYPES.items() if code == recipe.dtype), None),
        seed=recipe.seed,
        on_mismatch=recipe.on_mismatch,
        tokenizer_source=_tokenizer_source(recipe) if recipe.tokenizer is None else None,
        tokenizer=None if recipe.tokenizer is None else _tokenizer(recipe, recipe.tokenizer),
        chat_template=recipe.chat_template,
    )


def _given(**entries: object) -> Data:
    """The entries that hold something."""
    return {key: value for key, value in entries.items() if value is not None and value != {}}


def _model(model: ModelRef | None) -> object:
    if model is None:
        return None
    if model.adapter is not None:
        return {"model": _path(model), "lora": _path(model.adapter)}
    if model.revision is None and not {"@", "+"} & set(model.path):
        return model.path
    return {"model": _path(model)}


def _path(model: ModelRef) -> Data:
    return _given(path=model.path, revision=model.revision)


def _slice(part: Slice) -> Data:
    sources = [_source(source) for source in part.sources]
    return _given(base_model=_model(part.base), sources=sources, parameters=_parameters(part.parameters))


def _source(source: Source) -> Data:
    layers = None if source.layers is None else list(source.layers)
    return _given(model=_model(source.model), layer_range=layers, parameters=_parameters(source.parameters))


def _parameters(parameters: Parameters) -> Data:
    return {name: _value(parameters[name]) for name in sorted(parameters)}


def _value(given: Given) -> object:
    if isinstance(given, Filtered):
        return [_given(filter=name, value=_value(setting)) for name, setting in given.cases]
    return list(given.anchors) if isinstance(given, Gradient) else given


def _dare(dare: Dare | None) -> Mapping[str, object] | None:
    if dare is None:
        return None
    return _given(drop_rate=dare.drop_rate, rescale=dare.rescale, strategy=dare.strategy, of=dare.of)


def _mixup(mixup: Mixup | None) -> Mapping[str, object] | None:
    """alpha is left out beside a fixed ratio, which makes it meaningless."""
    if mixup is None:
        return None
    by_group = {group: list(ratio) for group, ratio in mixup.groups.items()}
    fixed = by_group or (None if mixup.ratio is None else list(mixup.ratio))
    alpha = None if fixed else (mixup.alpha[0] if len(mixup.alpha) == 1 else list(mixup.alpha))
    return _given(alpha=alpha, ratio=fixed, scope=mixup.scope, seed=mixup.seed, filter=list(mixup.filters) or None)


def _tokenizer_source(recipe: Recipe) -> object:
    named = [ref for ref in model_refs(recipe) if str(ref) == recipe.tokenizer_source]
    return _model(named[0]) if named and recipe.tokenizer_source != "base" else recipe.tokenizer_source


def _tokenizer(recipe: Recipe, section: TokenizerSection) -> Data:
    tokens = {one.token: _given(source=_row(one), force=one.force or None) for one in section.tokens}
    special = {f"{role}_token": section.special[role] for role in ROLES if role in section.special}
    source = _tokenizer_source(recipe)
    return _given(source=source, tokens=tokens, pad_to_multiple_of=section.pad_to_multiple_of, **special)


def _row(one: TokenSetting) -> object:
    if one.source is None:
        return None
    if one.source == "zero":
        return {"kind": "zero"}
    model, token, number = _model(one.source.model), one.source.token, one.source.number
    if token is None and number is None:
        return model
    return _given(kind="model_token", model=model, token=token, token_id=number)
