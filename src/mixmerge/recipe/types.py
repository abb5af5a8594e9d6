"""A recipe as frozen values: what the person asked for, checked and complete, before any file is looked at.

Knows nothing of YAML text or of checkpoints. `mixmerge.recipe.parse` makes these values. Those of sections that few
recipes have stand beside their readers, in `study` and `tokenizer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args

from mixmerge.methods import Dialect, Number
from mixmerge.mixup import Scope

if TYPE_CHECKING:
    from mixmerge.recipe.study import StudySection
    from mixmerge.recipe.tokenizer import TokenizerSection

UNION = "union"
"""tokenizer_source: the tokens of the base, else the first source, and those that other models add."""

MOST_USED, CHATML = "auto", "chatml"
"""chat_template: the one most models of the recipe have; that of ChatML. Any other text is a template itself."""

Role = Literal["pad", "bos", "eos"]
"""What a special token is for: `pad_token` and so on."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)

Sampler = Literal["sobol", "random", "tpe", "gp", "cmaes"]
Objective = Literal["mean", "pareto"]
Compute = Literal["bfloat16", "float16", "float32"]
Prompt = Literal["alpaca", "vicuna", "chat_template", "raw"]
Span = tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gradient:
    """Anchor values, linear between them over the layers of an output slice (at least one)."""

    anchors: tuple[float, ...]


Setting = Number | Gradient


@dataclass(frozen=True, slots=True)
class Filtered:
    """The first case whose filter is a substring of the tensor's name wins; a None filter matches any."""

    cases: tuple[tuple[str | None, Setting], ...]


Given = Number | Gradient | Filtered
Parameters = Mapping[str, Given]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model as the recipe names it: a local folder or a hub id, with a revision where one is given.

    adapter: a LoRA adapter that changes it, named the same way and without one of its own.
    """

    path: str
    revision: str | None = None
    adapter: ModelRef | None = None

    def __str__(self) -> str:
        own = self.path if self.revision is None else f"{self.path}@{self.revision}"
        return own if self.adapter is None else f"{own}+{self.adapter}"


@dataclass(frozen=True, slots=True)
class Source:
    """One source model of a slice. layers: [first, end) of its own layers, None for the whole model."""

    model: ModelRef
    layers: tuple[int, int] | None = None
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of output layers made from the same sources. A recipe with `models` has one, of whole models.

    base: this slice's own base model where it differs from the recipe's.
    """

    sources: tuple[Source, ...]
    parameters: Parameters = field(default_factory=dict)
    base: ModelRef | None = None


@dataclass(frozen=True, slots=True)
class Dare:
    """Drop elements before merging (arXiv 2311.03099).

    drop_rate in [0, 1]; kept elements are divided by 1 - drop_rate if rescale. strategy: random, or magnitude
    (the smallest of each tensor). of: the task vectors, or the weights themselves.
    """

    drop_rate: float = 0.2
    rescale: bool = True
    strategy: Literal["random", "magnitude"] = "random"
    of: Literal["delta", "weight"] = "delta"


@dataclass(frozen=True, slots=True)
class Mixup:
    """The ratio law (M3, arXiv 2502.15434), or a fixed ratio instead of it.

    alpha: one number >= 0 for a symmetric Beta or Dirichlet, or one above 0 per source. ratio: one number per
    source in source order, summing to 1 (within 1e-6), or None to draw. groups: a fixed ratio for each group of the
    scope instead (a layer, a block, a tensor, as plans name them); empty where one holds for all. filters: only tensors
    whose name contains one of these are mixed, the rest is merged at equal ratio; empty means all.
    """

    alpha: tuple[float, ...] = (0.5,)
    ratio: tuple[float, ...] | None = None
    scope: Scope = "model"
    seed: int | None = None
    filters: tuple[str, ...] = ()
    groups: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the merged weights, apart from the bytes of the models.

    parameters: under the names the method declares, defaults written out. seed: of every random choice (DARE masks, the
    ratio where `mixup` has no seed of its own). dtype: of the output tensors (safetensors name, as BF16), None for each
    tensor's own in the base, else in the first source. on_mismatch: `error`, or `base`: a tensor whose shapes disagree
    is copied from the base. chat_template: its text, or a word for one. tokenizer: None where its source says all.
    places: key path -> `file:line`, for messages of later steps. notes: things accepted without effect. study: what
    `explore` is to do with it. These three are no part of what a recipe means.
    """

    method: str
    dialect: Dialect
    slices: tuple[Slice, ...]
    base: ModelRef | None = None
    parameters: Parameters = field(default_factory=dict)
    dare: Dare | None = None
    mixup: Mixup | None = None
    dtype: str | None = None
    seed: int = 0
    on_mismatch: Literal["error", "base"] = "error"
    chat_template: str | None = None
    tokenizer_source: str | None = None
    tokenizer: TokenizerSection | None = None
    places: Mapping[str, str] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    study: StudySection | None = field(default=None, compare=False)

    def place(self, key: str) -> str:
        """`file:line (key)` of a key path, of the nearest parent that has one, else the key path alone."""
        path = key
        while path and path not in self.places:
            path = path.rpartition(".")[0] if "." in path else ""
        return f"{self.places[path]} ({key})" if path else key
