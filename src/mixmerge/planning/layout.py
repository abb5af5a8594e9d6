"""Which input tensors make which output tensor, from names and shapes alone. Every input tensor is accounted for.

Output names come from the inputs' headers. Layers are renumbered where the recipe has slices with layer ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mixmerge.checkpoint import Checkpoint, TensorSpan
from mixmerge.errors import Problem
from mixmerge.planning import names
from mixmerge.planning.types import Input
from mixmerge.planning.vocabulary import Views, VocabularyPlan, row_views, unaligned
from mixmerge.recipe.types import Slice, Source


@dataclass(frozen=True, slots=True)
class Member:
    """A source of a slice: which model, which of its layers ([first, end) or None), and its recipe entry."""

    model: int
    layers: tuple[int, int] | None
    source: Source


@dataclass(frozen=True, slots=True)
class SlicePlan:
    """A slice with its models found. base: position of the base model and its layers, None where none is seen.

    place: where the recipe states it.
    """

    place: str
    declared: Slice
    members: tuple[Member, ...]
    base: tuple[int, tuple[int, int] | None] | None


@dataclass(frozen=True, slots=True)
class Assembly:
    """One output tensor before parameters: where it comes from, and where in its slice it stands.

    position: in [0, 1], the gradient coordinate. layer: its number in the output, None outside the layers. copied: its
    only input is taken as it is (the models disagree, and the base decides).
    """

    name: str
    slice: SlicePlan
    inputs: tuple[Input, ...]
    base: Input | None
    position: float
    layer: int | None
    copied: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """assemblies: in output order. tie: whether the output's head is its embedding. problems, notes: for the plan."""

    assemblies: tuple[Assembly, ...]
    tie: bool
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    def origins(self, donor: int) -> tuple[int, ...]:
        """For each layer of the output the one it was in the donor; in its first model where the donor gives none."""
        found: dict[int, int] = {}
        for item in self.assemblies:
            if item.layer is not None:
                parts = [*item.inputs, item.base] if item.base else list(item.inputs)
                part = next((part for part in parts if part.model == donor), parts[0])
                found.setdefault(item.layer, names.layer_of(part.span.name) or 0)
        return tuple(found[layer] for layer in sorted(found))


Tables = Sequence[Mapping[str, TensorSpan]]


def assemble(
    models: Sequence[Checkpoint],
    slices: Sequence[SlicePlan],
    donor: int,
    on_mismatch: str,
    vocabulary: VocabularyPlan | None = None,
) -> Layout:
    """Match the tensors of all models. donor: the model whose order of tensors is kept."""
    tables, tie, notes = _with_heads(models)
    views = {} if vocabulary is None else row_views(vocabulary, models, tables)
    builder = _Builder(models, tables, views, donor, on_mismatch, notes)
    if vocabulary is not None:
        builder.problems += unaligned(vocabulary, models, tables)
    builder.problems += _out_of_reach(models, tables, views)
    whole = slices[0].members[0].layers is None
    found = builder.whole(slices[0]) if whole else builder.layered(slices)
    return Layout(tuple(found), tie, tuple(builder.problems), tuple(builder.notes))


def _with_heads(models: Sequence[Checkpoint]) -> tuple[Tables, bool, list[str]]:
    """Tensor tables in which tied heads are settled once: stored for all models, or for none."""
    stored = next((span for m in models if not names.tied(m) and (span := names.head(m.tensors))), None)
    tables: list[Mapping[str, TensorSpan]] = []
    notes: list[str] = []
    for model in models:
        table = dict(model.tensors)
        own, embedding = names.head(table), names.embedding(table)
        if stored is None and own is not None and embedding is not None:
            del table[own.name]
            notes.append(f"{own.name} of {model.label} is left out: its config ties it to {embedding.name}")
        elif stored is not None and names.tied(model) and embedding is not None:
            table[stored.name] = embedding
            notes.append(f"{stored.name} of {model.label} is its {embedding.name}: the head is tied there")
        tables.append(table)
    return tables, stored is None and any(names.tied(model) for model in models), notes


def _out_of_reach(models: Sequence[Checkpoint], tables: Tables, views: Views) -> Iterator[Problem]:
    """Changes of adapters that would be lost: of a head that is tied, of rows that are put in step."""
    aligned = {name for _, name in views}
    for model, table in zip(models, tables, strict=True):
        adaptation = model.adaptation
        for name in adaptation.changes if adaptation is not None else ():
            if name not in table or name in aligned:
                rule = "where vocabularies differ, an adapter leaves embeddings and heads alone"
                if name not in table:
                    rule = "where the head is tied, an adapter changes the embedding alone"
                cure = "merge the adapter into its model with peft first, and give that folder"
                yield Problem(rule, f"it changes {name}", f"model {model.label}", cure)


class _Builder:
    """Collects assemblies, problems and notes while it walks over names."""

    def __init__(
        self,
        models: Sequence[Checkpoint],
        tables: Tables,
        views: Views,
        donor: int,
        on_mismatch: str,
        notes: list[str],
    ) -> None:
        self.tables = tables
        self.labels = [model.label for model in models]
        self.adaptations = [model.adaptation for model in models]
        self.depths = [names.depth(model.config) for model in models]
        self.views = views
        self.donor = donor
        self.copy_mismatches = on_mismatch == "base"
        self.notes = notes
        self.problems: list[Problem] = []
        self._stacks: dict[int, Mapping[tuple[str, int], Sequence[str]]] = {}

    def whole(self, piece: SlicePlan) -> list[Assembly]:
        """Whole models: names are their own."""
        sizes = names.stack_sizes(self.tables[self.donor])
        found = []
        for name in self._union(piece):
            layer, stack = names.layer_of(name), names.stack_of(name)
            depth = sizes.get(stack, 1) if stack is not None else 1
            position = layer / (depth - 1) if layer is not None and depth > 1 else float(layer is not None)
            wanted = [(member.model, name) for member in piece.members]
            base = None if piece.base is None else (piece.base[0], name)
            found.append(self._make(name, piece, wanted, base, position, layer))
        return [item for item in found if item is not None]

    def layered(self, slices: Sequence[SlicePlan]) -> list[Assembly]:
        """Slices of layers, stacked in order; what is outside the layers comes from the first or last slice."""
        first, last = slices[0], slices[-1]
        stack = self._main_stack(first)
        if stack is None or not self._told_apart(slices, stack):
            return []
        found = []
        for name in self._union(first):
            if names.stack_of(name) != stack and names.is_embedding(name):
                found.append(self._outside(name, first))
        start = 0
        for piece in slices:
            found += self._layers(piece, stack, start)
            start += _length(piece)
        for name in self._union(last):
            if names.stack_of(name) != stack and not names.is_embedding(name):
                found.append(self._outside(name, last))
        return [item for item in found if item is not None]

    def _main_stack(self, piece: SlicePlan) -> str | None:
        """The stack that layer ranges count in: the only one, else that of the depth config.json states."""
        model = piece.members[0].model
        sizes = names.stack_sizes(self.tables[model])
        if len(sizes) < 2:
            return next(iter(sizes), "")
        stated = self.depths[model]
        fitting = [stack for stack, size in sizes.items() if size == stated]
        if len(fitting) == 1:
            return fitting[0]
        rule = "layer ranges count in one stack of layers, the one as deep as config.json says"
        counted = [f"{size} {stack}N" for stack, size in sizes.items()]
        more = f" and {len(counted) - 5} more" if len(counted) > 5 else ""
        found = f"{', '.join(counted[:5])}{more}; {stated if stated is not None else 'no number'} stated"
        place, cure = f"model {self.labels[model]}", "merge whole models, with `models`"
        if not fitting:
            cure = f"state num_hidden_layers in its config.json, or {cure}"
        self.problems.append(Problem(rule, found, place, cure))
        return None

    def _told_apart(self, slices: Sequence[SlicePlan], stack: str) -> bool:
        """Layers that are numbered anew have plain numbers: two names never become one."""
        seen = [member.model for piece in slices for member in piece.members]
        seen += [piece.base[0] for piece in slices if piece.base is not None]
        good = True
        for model in dict.fromkeys(seen):
            odd = [name for name in self.tables[model] if names.stack_of(name) == stack and names.padded(name)]
            if odd:
                rule = "where slices number layers anew, their numbers have no leading zeros"
                found = odd[0] + (f" and {len(odd) - 1} more" if len(odd) > 1 else "")
                cure = "rename these tensors, or merge whole models, with `models`"
                self.problems.append(Problem(rule, found, f"model {self.labels[model]}", cure))
                good = False
        return good

    def _outside(self, name: str, piece: SlicePlan) -> Assembly | None:
        wanted = [(member.model, name) for member in piece.members]
        base = None if piece.base is None else (piece.base[0], name)
        return self._make(name, piece, wanted, base, 0.0, None)

    def _layers(self, piece: SlicePlan, stack: str, start: int) -> Iterable[Assembly | None]:
        length = _length(piece)
        if not self._in_range(piece, stack):
            return
        for step in range(length):
            for name in self._layer_names(piece, stack, step):
                wanted = [(m.model, names.with_layer(name, _at(m.layers, step))) for m in piece.members]
                base = None
                if piece.base is not None:
                    base = (piece.base[0], names.with_layer(name, _at(piece.base[1], step)))
                position = step / (length - 1) if length > 1 else 1.0
                yield self._make(names.with_layer(name, start + step), piece, wanted, base, position, start + step)

    def _in_range(self, piece: SlicePlan, stack: str) -> bool:
        good = True
        asked = [(member.model, member.layers) for member in piece.members]
        for model, layers in dict.fromkeys([*asked, piece.base] if piece.base is not None else asked):
            depth = names.stack_sizes(self.tables[model]).get(stack, 0)
            if layers is not None and layers[1] > depth:
                rule = "a layer range lies inside its model"
                found = f"layers {list(layers)} of {depth}"
                cure = f"end it at {depth} or before" if layers[0] < depth else f"its layers are 0 to {depth - 1}"
                if (model, layers) == piece.base and (model, layers) not in asked:
                    cure += "; a base listed among the sources takes its own layer_range"
                place = f"{piece.place}, model {self.labels[model]}"
                self.problems.append(Problem(rule, found, place, cure))
                good = False
        return good

    def _layer_names(self, piece: SlicePlan, stack: str, step: int) -> list[str]:
        """Names of one layer, with the first member's number in them."""
        found: dict[str, None] = {}
        first = _at(piece.members[0].layers, step)
        for member in piece.members:
            for name in self._stacked(member.model).get((stack, _at(member.layers, step)), ()):
                found[names.with_layer(name, first)] = None
        return list(found)

    def _stacked(self, model: int) -> Mapping[tuple[str, int], Sequence[str]]:
        """Names of a model's tensors by stack and layer, sorted out once: there may be tens of thousands."""
        if model not in self._stacks:
            self._stacks[model] = names.by_layer(self.tables[model])
        return self._stacks[model]

    def _union(self, piece: SlicePlan) -> list[str]:
        """All names of the slice's models, in the donor's order, then the others'."""
        models = [member.model for member in piece.members] + ([piece.base[0]] if piece.base else [])
        ordered = [self.donor] * (self.donor in models) + models
        return list(dict.fromkeys(name for model in ordered for name in self.tables[model]))

    def _make(
        self,
        name: str,
        piece: SlicePlan,
        wanted: Sequence[tuple[int, str]],
        base: tuple[int, str] | None,
        position: float,
        layer: int | None,
    ) -> Assembly | None:
        asked = [*wanted, base] if base is not None else list(wanted)
        lacking = [self.labels[m] for m, wanted_name in asked if wanted_name not in self.tables[m]]
        inputs = [self._input(m, n) for m, n in wanted if n in self.tables[m]]
        own = self._input(*base) if base and base[1] in self.tables[base[0]] else None
        present = [*inputs, own] if own else inputs
        if not lacking and _agree(present):
            return Assembly(name, piece, tuple(inputs), own, position, layer)
        return self._mismatch(name, piece, lacking, present, own, position, layer)

    def _input(self, model: int, name: str) -> Input:
        span, own = self.tables[model][name], self.adaptations[model]
        change = None if own is None else own.changes.get(span.name)  # a tied head has its embedding's
        replaces = None if own is None else own.replaced.get(span.name)
        return Input(model, span, self.views.get((model, name)), change, replaces)

    def _mismatch(
        self,
        name: str,
        piece: SlicePlan,
        lacking: Sequence[str],
        present: Sequence[Input],
        own: Input | None,
        position: float,
        layer: int | None,
    ) -> Assembly | None:
        found = f"missing in {', '.join(dict.fromkeys(lacking))}" if lacking else self._shapes(present)
        if own is not None and self.copy_mismatches:
            self.notes.append(f"{name} is copied from the base: {found}")
            return Assembly(name, piece, (own,), None, position, layer, copied=True)
        rule = "every model has the same tensors, of the same shapes"
        self.problems.append(Problem(rule, found, f"tensor {name}", self._cure(name, present, own)))
        return None

    def _shapes(self, present: Sequence[Input]) -> str:
        return ", ".join(f"{self.labels[item.model]} {item.span.dtype.name} {list(item.shape)}" for item in present)

    def _cure(self, name: str, present: Sequence[Input], own: Input | None) -> str:
        rows = {item.shape[0] for item in present if item.shape}
        if names.over_vocabulary(name) and len(rows) > 1:
            return "put the models' tokenizer files beside their weights, to align rows by token; or resize embeddings"
        if own is not None:
            return "`on_mismatch: base` copies such tensors from the base"
        return "merge models of one family and size"


def _agree(present: Sequence[Input]) -> bool:
    shapes = {item.shape for item in present}
    kinds = {item.span.dtype.kind for item in present}
    return len(shapes) == 1 and len(kinds) == 1 and (kinds == {"float"} or len({i.span.dtype for i in present}) == 1)


def _at(layers: tuple[int, int] | None, step: int) -> int:
    assert layers is not None, "a slice of layers has a range at every source"
    return layers[0] + step


def _length(piece: SlicePlan) -> int:
    layers = piece.members[0].layers
    assert layers is not None, "a slice of layers has a range at every source"
    return layers[1] - layers[0]
