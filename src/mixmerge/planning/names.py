"""What tensor names tell: the layer a tensor belongs to, embeddings, heads. No table of architectures.

A layer's number is the first part of a dotted name that is all digits, as in `model.layers.3.mlp.up_proj.weight`.
Embeddings and heads lie outside the layers, whatever a part of a layer is called.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from mixmerge.checkpoint import Checkpoint, TensorSpan

_LAYER: Final = re.compile(r"^(.*?\.|)([0-9]{1,9})(\..*)$")
_EMBEDDINGS: Final = frozenset({"embed_tokens", "wte", "tok_embeddings", "word_embeddings", "embed_in", "embeddings"})
_HEADS: Final = frozenset({"lm_head", "embed_out", "output"})


def layer_of(name: str) -> int | None:
    """The layer number in a tensor's name, None outside the layers."""
    match = _LAYER.match(name)
    return None if match is None else int(match[2])


def stack_of(name: str) -> str | None:
    """The part before the layer number: tensors with the same one belong to one stack of layers."""
    match = _LAYER.match(name)
    return None if match is None else match[1]


def with_layer(name: str, layer: int) -> str:
    """The name with another layer number."""
    return _LAYER.sub(lambda match: f"{match[1]}{layer}{match[3]}", name)


def padded(name: str) -> bool:
    """Whether the layer number has leading zeros, so that another name has the same number."""
    match = _LAYER.match(name)
    return match is not None and match[2] != str(int(match[2]))


def stack_sizes(names: Iterable[str]) -> Mapping[str, int]:
    """Number of layers of each stack."""
    sizes: dict[str, int] = {}
    for name in names:
        match = _LAYER.match(name)
        if match is not None:
            sizes[match[1]] = max(sizes.get(match[1], 0), int(match[2]) + 1)
    return sizes


def by_layer(names: Iterable[str]) -> Mapping[tuple[str, int], Sequence[str]]:
    """(stack, layer) -> the names in it, in the order given."""
    found: dict[tuple[str, int], list[str]] = {}
    for name in names:
        match = _LAYER.match(name)
        if match is not None:
            found.setdefault((match[1], int(match[2])), []).append(name)
    return found


def over_vocabulary(name: str) -> bool:
    """Whether the rows of this tensor stand for tokens: embeddings, heads and their biases."""
    return is_embedding(name) or is_head(name) or _outside(name, _HEADS, "bias")


def is_embedding(name: str) -> bool:
    """Whether this is the table of token embeddings."""
    return _outside(name, _EMBEDDINGS, "weight")


def is_head(name: str) -> bool:
    """Whether this is the output head over the vocabulary."""
    return _outside(name, _HEADS, "weight")


def _outside(name: str, modules: Collection[str], kind: str) -> bool:
    """Whether a tensor is `kind` of one of these modules, outside the layers."""
    path, _, last = name.rpartition(".")
    return last == kind and path.rpartition(".")[2] in modules and layer_of(name) is None


def embedding(tensors: Mapping[str, TensorSpan]) -> TensorSpan | None:
    """The token embedding of a model, None where no name is known for one."""
    return next((span for name, span in tensors.items() if is_embedding(name)), None)


def head(tensors: Mapping[str, TensorSpan]) -> TensorSpan | None:
    """The stored output head, None where there is none."""
    return next((span for name, span in tensors.items() if is_head(name)), None)


def setting(config: Mapping[str, Any] | None, key: str) -> Any:
    """A value of config.json, also where multimodal models keep it: under `text_config`."""
    config = config or {}
    inner = config.get("text_config")
    return config.get(key, inner.get(key) if isinstance(inner, Mapping) else None)


def depth(config: Mapping[str, Any] | None) -> int | None:
    """The number of layers that config.json states, None where it states none."""
    stated = (setting(config, key) for key in ("num_hidden_layers", "n_layer", "num_layers"))
    return next((number for number in stated if type(number) is int), None)


def tied(model: Checkpoint) -> bool:
    """Whether the head is the embedding: config.json says so, or no head is stored beside an embedding."""
    if head(model.tensors) is None:
        return embedding(model.tensors) is not None
    return setting(model.config, "tie_word_embeddings") is True
