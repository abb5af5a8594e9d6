"""A plan as frozen values: every tensor that will be read, computed and written, and what that costs.

Made from a recipe and the headers of its models; no weight has been read. The engine only obeys it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mixmerge.checkpoint import DTYPES, Checkpoint, DType, RowView, ShardLayout, TensorSpan, TensorSpec
from mixmerge.methods import Coefficients, Method, Number, Values
from mixmerge.mixup import Ratio, RatioLaw
from mixmerge.planning.vocabulary import VocabularyPlan
from mixmerge.recipe.types import Recipe

if TYPE_CHECKING:
    from mixmerge.checkpoint import LowRank


@dataclass(frozen=True, slots=True)
class Input:
    """A tensor of one model. model: position in `Plan.models`. rows: how it is seen where vocabularies are aligned.

    change: what an adapter adds to it. replaces: where it is an adapter's own, the dtype of the tensor it stands for.
    """

    model: int
    span: TensorSpan
    rows: RowView | None = None
    change: LowRank | None = None
    replaces: DType | None = None

    @property
    def dtype(self) -> DType:
        """As it is seen: float32 where an adapter changes it."""
        return self.span.dtype if self.change is None else DTYPES["F32"]

    @property
    def default(self) -> DType:
        """What it is written in unless something else is asked for: that of the model without its adapter."""
        return self.span.dtype if self.replaces is None else self.replaces

    @property
    def shape(self) -> tuple[int, ...]:
        """As it is seen."""
        return self.span.shape if self.rows is None else self.rows.shape

    @property
    def nbytes(self) -> int:
        """As it is seen, without what an adapter adds."""
        return self.span.nbytes if self.rows is None else self.rows.nbytes


@dataclass(frozen=True, slots=True)
class Step:
    """One output tensor.

    inputs: one a source, in the recipe's order. base: None where the method sees none. method: None copies the only
    input, or, for integers and bools, the inputs that must be equal. sources, shared: resolved parameters. group: key
    of `Plan.ratios`, None where no ratio applies. layer: its number in the output, None outside the layers.
    """

    spec: TensorSpec
    inputs: tuple[Input, ...]
    base: Input | None = None
    method: Method | None = None
    sources: tuple[Mapping[str, Number], ...] = ()
    shared: Mapping[str, Number] = field(default_factory=dict)
    group: str | None = None
    layer: int | None = None

    @property
    def all_inputs(self) -> tuple[Input, ...]:
        """The sources' tensors, then the base's."""
        return self.inputs if self.base is None else (*self.inputs, self.base)

    @property
    def read_bytes(self) -> int:
        """Bytes one pass reads for it, as its inputs are seen; without what adapters add."""
        return sum(item.nbytes for item in self.all_inputs)

    def coefficients(self, ratios: Mapping[str, Ratio]) -> Coefficients:
        """The method's numbers for this tensor under the given ratios."""
        assert self.method is not None, "a copied tensor has no coefficients"
        ratio = None if self.group is None else ratios[self.group]
        return self.method.lower(Values(self.sources, self.shared, ratio))


def viewed(steps: Iterable[Step]) -> tuple[Input, ...]:
    """Every stored tensor that is seen with other rows, once."""
    seen = [item for step in steps for item in step.all_inputs if item.rows is not None]
    return tuple({(item.model, item.span.name): item for item in seen}.values())


def changes(steps: Iterable[Step]) -> tuple[LowRank, ...]:
    """What adapters add, once for each time a pass reads it."""
    return tuple(item.change for step in steps for item in step.all_inputs if item.change is not None)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the work needs, in bytes unless said otherwise.

    baseline: interpreter, libraries, compiled code. buffers: blocks and tables of all threads. projected: their sum
    with the plan itself, an upper bound of peak RSS. block: elements processed at once. bins: of a histogram table.
    sample: magnitudes of each source looked at to guess a threshold of the whole model.
    """

    threads: int
    block: int
    bins: int
    sample: int
    baseline: int
    buffers: int
    tables: int
    projected: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes moved: read over all passes, written once; disk: what must be free where the output goes."""

    read: int
    written: int
    passes: int
    disk: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything decided before a weight is read.

    models: opened checkpoints, sources first; base: position of the base, None where there is none; donor: position
    of the model whose config and tokenizer are carried over. ratios: drawn or fixed, by group; law: what drew them.
    carried: small files copied from the donor, by name in the output; files: those written anew. notes: for the person.
    vocabulary: how rows are aligned, None where all models have the same.
    """

    recipe: Recipe
    method: Method
    models: tuple[Checkpoint, ...]
    base: int | None
    donor: int
    steps: tuple[Step, ...]
    layouts: tuple[ShardLayout, ...]
    dtype: DType
    ratios: Mapping[str, Ratio]
    law: RatioLaw | None
    budget: Budget
    cost: Cost
    carried: Mapping[str, Path]
    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()
    allow_nonfinite: bool = False
    vocabulary: VocabularyPlan | None = None

    @property
    def viewed(self) -> tuple[Input, ...]:
        """Every stored tensor that is seen with other rows, once."""
        return viewed(self.steps)

    @property
    def source_places(self) -> tuple[tuple[int, ...], ...]:
        """The models at each place of ratios and weights, by number: one, or several where slices take others there."""
        places: dict[int, dict[int, None]] = {}
        for step in self.steps:
            for place, item in enumerate(step.inputs if step.method is not None else ()):
                places.setdefault(place, {})[item.model] = None
        return tuple(map(tuple, places.values()))

    @property
    def source_labels(self) -> tuple[str, ...]:
        """The sources as the recipe names them, in the order of ratios and weights; several at a place as `a or b`."""
        return tuple(" or ".join(self.models[model].label for model in place) for place in self.source_places)

    def close(self) -> None:
        """Close the files of all models."""
        for model in self.models:
            model.close()
