"""Opens a LoRA adapter as PEFT saves it, and matches it with a checkpoint. Reads headers and the configuration only.

Every tensor of the adapter must find its place: factors in pairs that fit a tensor of the checkpoint, and whole tensors
of the shape of the one they replace. Pickled adapters are not opened: reading one runs whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from mixmerge.checkpoint.dtypes import DType
from mixmerge.checkpoint.folder import Folder, LocalFolder
from mixmerge.checkpoint.header import TensorSpan
from mixmerge.checkpoint.index import ADAPTER, ADAPTER_CONFIG
from mixmerge.checkpoint.lora import Adaptation, Adapter, LowRank
from mixmerge.checkpoint.lora_config import MAX_BYTES, MERGE_FIRST, LoraConfig, read_lora_config
from mixmerge.checkpoint.problems import ProblemList
from mixmerge.checkpoint.reader import Checkpoint, Origin, read_header
from mixmerge.errors import CheckpointError, ModelNotFoundError, Problem

_PICKLE: Final = "adapter_model.bin"
_PREFIX: Final = "base_model.model."
_FACTOR: Final = re.compile(r"(?P<module>.+)\.lora_(?P<kind>A|B|embedding_A|embedding_B)(\.default)?(\.weight)?")
_WRAPPED: Final = re.compile(r"\.(base_layer|modules_to_save(\.default)?)(?=\.)")
_TYPES: Final = ("F32", "F16", "BF16")
_OTHER: Final = "give the checkpoint it was trained on; the adapter's base_model_name_or_path names it"


def open_adapter(folder: Path, label: str, *, origin: Origin | None = None) -> Adapter:
    """Open the adapter in a folder on this disk. label: how errors name it.

    Raises ModelNotFoundError if there is no such folder, CheckpointError with everything wrong in it.
    """
    place = f"adapter {label!r}, path {folder}"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing there"
        raise ModelNotFoundError(Problem("an adapter is a folder", found, place, "check the path"))
    try:
        return load_adapter(LocalFolder(folder), label, origin=origin)
    except OSError as error:
        rule, cure = "the files of an adapter can be read", "check permissions and the disk"
        raise CheckpointError(Problem(rule, str(error), place, cure)) from error


def load_adapter(folder: Folder, label: str, *, origin: Origin | None = None, is_local: bool = True) -> Adapter:
    """Read configuration and header of an adapter, wherever its files are. Raises CheckpointError with all wrong."""
    where = f"adapter {label!r}"
    sizes = folder.sizes()
    problems: list[Problem] = []
    config: LoraConfig | None = None
    tensors: tuple[TensorSpan, ...] = ()
    try:
        config = _read_config(folder, sizes, where)
    except CheckpointError as error:
        problems += error.problems
    try:
        tensors = _read_tensors(folder, sizes, where)
    except CheckpointError as error:
        problems += error.problems
    if problems or config is None:
        raise CheckpointError(problems)
    files = (folder.root / ADAPTER, folder.root / ADAPTER_CONFIG)
    named = MappingProxyType({span.name: span for span in tensors})
    return Adapter(label, folder.root, files, config, named, origin, is_local)


def _read_config(folder: Folder, sizes: Mapping[str, int], where: str) -> LoraConfig:
    place = f"{where}, file {folder.place(ADAPTER_CONFIG)}"
    if ADAPTER_CONFIG not in sizes:
        rule, cure = f"an adapter has an {ADAPTER_CONFIG}", "give the folder that peft's save_pretrained wrote"
        raise CheckpointError(Problem(rule, "no such file", f"{where}, folder {folder.root}", cure))
    if sizes[ADAPTER_CONFIG] > MAX_BYTES:
        rule = f"{ADAPTER_CONFIG} is at most {MAX_BYTES:,} bytes long"
        raise CheckpointError(Problem(rule, f"{sizes[ADAPTER_CONFIG]:,} bytes", place, "repair or replace it"))
    try:
        text = folder.read(ADAPTER_CONFIG, 0, sizes[ADAPTER_CONFIG])
    except EOFError as error:
        problem = Problem(f"{ADAPTER_CONFIG} can be read", str(error), place, "save the adapter again")
        raise CheckpointError(problem) from error
    return read_lora_config(text, place)


def _read_tensors(folder: Folder, sizes: Mapping[str, int], where: str) -> tuple[TensorSpan, ...]:
    if ADAPTER in sizes:
        return read_header(folder, ADAPTER, sizes[ADAPTER], f"{where}, file {folder.place(ADAPTER)}")
    rule = f"the weights of an adapter are in {ADAPTER}"
    if _PICKLE in sizes:
        found = f"{_PICKLE}, a pickle, which can run any code when it is read"
        cure = "load it with peft where you trust it, and save_pretrained with safe_serialization=True"
    else:
        found, cure = "no such file", "give the folder that peft's save_pretrained wrote"
    raise CheckpointError(Problem(rule, found, f"{where}, folder {folder.root}", cure))


def with_adapter(base: Checkpoint, adapter: Adapter, label: str) -> Checkpoint:
    """The checkpoint as the adapter changes it, under a label of its own. Raises CheckpointError with all that does
    not fit."""
    problems = ProblemList(f"model {label!r}, file {adapter.files[0]}")
    parts = _sorted_out(adapter, problems)
    parts = _named_as_in(parts, base)
    changes = dict(_changes(parts, base, adapter.config, problems))
    replaced = dict(_replaced(parts, base, problems))
    problems.raise_if_any()
    adaptation = Adaptation(
        adapter,
        MappingProxyType(changes),
        MappingProxyType({name: base.tensors[name].dtype for name in replaced}),
        tuple(_notes(base, adapter)),
    )
    return base.adapted(label, {**base.tensors, **replaced}, adaptation)


@dataclass(frozen=True, slots=True)
class _Parts:
    """factors: module -> kind (A, B, embedding_A, embedding_B) -> span. whole: tensor name -> span."""

    factors: Mapping[str, Mapping[str, TensorSpan]]
    whole: Mapping[str, TensorSpan] = field(default_factory=dict)

    def without_first(self) -> _Parts:
        """With the first part of every name left out; transformers puts one before a bare model's names."""
        factors = {name.partition(".")[2]: kinds for name, kinds in self.factors.items()}
        return _Parts(factors, {name.partition(".")[2]: span for name, span in self.whole.items()})

    def targets(self) -> list[str]:
        """Every tensor of the checkpoint that is meant."""
        return [*(f"{module}.weight" for module in self.factors), *self.whole]


def _sorted_out(adapter: Adapter, problems: ProblemList) -> _Parts:
    factors: dict[str, dict[str, TensorSpan]] = {}
    whole: dict[str, TensorSpan] = {}
    for name, span in adapter.tensors.items():
        bare = name.removeprefix(_PREFIX)
        factor = _FACTOR.fullmatch(bare)
        if factor is not None:
            _once(factors.setdefault(factor["module"], {}), factor["kind"], span, problems)
        elif bare == name or ".lora_" in bare or ".token_adapter." in bare:
            rule = f"every tensor of a LoRA is a factor, or a whole tensor, below {_PREFIX}"
            problems.add(rule, "another name", tensor=name, cure=MERGE_FIRST)
        else:
            _once(whole, _WRAPPED.sub("", bare), span, problems)
    if not adapter.tensors:
        problems.add("an adapter has tensors", "none", cure="save the adapter again with peft")
    return _Parts(factors, whole)


def _once(table: dict[str, TensorSpan], key: str, span: TensorSpan, problems: ProblemList) -> None:
    other = table.setdefault(key, span)
    if other is not span:
        problems.add("a change is stated once", f"also as {other.name}", tensor=span.name, cure=MERGE_FIRST)


def _named_as_in(parts: _Parts, base: Checkpoint) -> _Parts:
    """As named, unless only without their first part all names are those of the checkpoint."""
    shorter = parts.without_first()
    if all(name in base.tensors for name in parts.targets()):
        return parts
    return shorter if all(name in base.tensors for name in shorter.targets()) else parts


def _changes(
    parts: _Parts, base: Checkpoint, config: LoraConfig, problems: ProblemList
) -> Iterator[tuple[str, LowRank]]:
    for module, kinds in parts.factors.items():
        plain = kinds.keys() <= {"A", "B"}
        a, b = (kinds.get(kind) for kind in (("A", "B") if plain else ("embedding_A", "embedding_B")))
        if a is None or b is None or len(kinds) != 2:
            found = " and ".join(sorted(span.name for span in kinds.values()))
            problems.add("factors come in pairs, A and B", f"only {found}", cure="save the adapter again with peft")
            continue
        scale, alpha = config.scale_of(module), config.alpha_of(module)
        change = LowRank(a, b, scale, alpha, config.transposed or not plain)
        target = base.tensors.get(f"{module}.weight")
        if target is None:
            rule = "an adapter changes tensors of its base"
            problems.add(rule, f"no {module}.weight there", tensor=a.name, cure=_OTHER)
        elif _factors_fit(change, config.rank_of(module), problems) and _change_fits(change, target, problems):
            yield target.name, change


def _factors_fit(change: LowRank, rank: int, problems: ProblemList) -> bool:
    a, b = change.a, change.b
    good = True
    for span, at in ((a, 0), (b, 1)):
        if span.dtype.name not in _TYPES:
            cure = "convert the adapter to float32, float16 or bfloat16"
            problems.add(f"a factor is one of {', '.join(_TYPES)}", span.dtype.name, tensor=span.name, cure=cure)
            good = False
        if len(span.shape) != 2 or span.shape[at] != rank or 0 in span.shape:
            side = "rows" if at == 0 else "columns"
            rule = f"factor {'AB'[at]} is a matrix with as many {side} as the rank, {rank}"
            cure = "repair adapter_config.json, or save the adapter again; factors of convolutions are not read"
            problems.add(rule, f"shape {list(span.shape)}", tensor=span.name, cure=cure)
            good = False
    return good


def _change_fits(change: LowRank, target: TensorSpan, problems: ProblemList) -> bool:
    shape = (change.b.shape[0], change.a.shape[1])
    wanted = shape[::-1] if change.transposed else shape
    if target.shape == wanted and target.dtype.kind == "float":
        return True
    turned = " (it is stored transposed)" if change.transposed else ""
    found = f"a change of shape {list(wanted)}{turned} for {target.dtype.name} {list(target.shape)}"
    problems.add("a change has the shape of its tensor of floats", found, tensor=change.a.name, cure=_OTHER)
    return False


def _replaced(parts: _Parts, base: Checkpoint, problems: ProblemList) -> Iterator[tuple[str, TensorSpan]]:
    """Whole tensors, under the names and in the place of those of the checkpoint."""
    for name, span in parts.whole.items():
        target = base.tensors.get(name)
        if target is None:
            problems.add("an adapter replaces tensors of its base", f"no {name} there", tensor=span.name, cure=_OTHER)
        elif target.shape != span.shape or not _alike(target.dtype, span.dtype):
            found = f"{span.dtype.name} {list(span.shape)} for {target.dtype.name} {list(target.shape)}"
            rule = "a whole tensor of an adapter has the shape of the one it replaces"
            problems.add(rule, found, tensor=span.name, cure=MERGE_FIRST)
        else:
            yield name, replace(span, name=name)


def _alike(one: DType, other: DType) -> bool:
    return one == other or one.kind == other.kind == "float"


def _notes(base: Checkpoint, adapter: Adapter) -> Iterator[str]:
    stated = adapter.config.base
    if stated is not None and _last(stated) not in (_last(base.label.partition("@")[0]), base.folder.name):
        yield f"adapter {adapter.label} says it was trained on {stated}; it is applied to {base.label}"


def _last(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]
