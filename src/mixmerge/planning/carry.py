"""The small files beside the weights: configuration, tokenizer, generation settings, chat template.

They come from one model, the donor; config.json is brought into agreement with the tensors that will be written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mixmerge import fileio
from mixmerge.checkpoint import CONFIG, Checkpoint, DType, MalformedJsonError, TensorSpec, parse_json
from mixmerge.errors import Problem
from mixmerge.planning import chat, names
from mixmerge.planning.layout import Layout
from mixmerge.planning.vocabulary import VocabularyPlan
from mixmerge.recipe.types import Recipe

if TYPE_CHECKING:
    from mixmerge.tokens import Special

GENERATION: Final = "generation_config.json"
MAX_GENERATION: Final = 16_000_000  # bytes

CARRIED: Final = (
    GENERATION,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""Files copied as they are where the donor has them. No code: a model that needs its own Python is not made to run."""

PER_LAYER: Final = frozenset({"layer_types", "mlp_layer_types", "no_rope_layers", "layers_block_type"})
"""Keys of config.json that hold one value a layer."""

TOKENIZER: Final = frozenset(
    name for name in CARRIED if name not in (GENERATION, "preprocessor_config.json", "processor_config.json")
)


@dataclass(frozen=True, slots=True)
class SmallFiles:
    """carried: name in the output -> file to copy. files: name -> content of those written anew. notes: of both."""

    carried: Mapping[str, Path]
    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Of all of them, as they will be in the output."""
        copied = sum(path.stat().st_size for path in self.carried.values())
        return copied + sum(len(content) for content in self.files.values())


def small_files(
    recipe: Recipe,
    models: Sequence[Checkpoint],
    donor: int,
    tokenizer: int,
    specs: Sequence[TensorSpec],
    layout: Layout,
    dtype: DType,
    vocabulary: VocabularyPlan | None,
) -> SmallFiles:
    """All small files of the output. tokenizer: the model whose tokenizer is taken, where vocabularies agree."""
    layered = recipe.slices[0].sources[0].layers is not None
    origins = layout.origins(donor) if layered else None
    config = merged_config(models[donor], specs, layout, dtype, origins)
    made: dict[str, Any] = {} if config is None else {CONFIG: config}
    files: dict[str, bytes] = {}
    if vocabulary is not None:
        tokenizer = vocabulary.home
        generation = _generation(models[donor])
        if generation is not None:
            changed = renumber(generation, donor, vocabulary, models[tokenizer].config)
            if state_roles(generation, generation, vocabulary.special) or changed:
                made[GENERATION] = generation
        if config is not None:
            renumber(config, donor, vocabulary, models[tokenizer].config)
            state_roles(config, _text_section(config), vocabulary.special)
        files |= vocabulary.files
    files |= {name: (json.dumps(content, indent=2) + "\n").encode() for name, content in made.items()}
    template, notes = chat.chat_template(recipe.chat_template, models)
    if template is not None:
        files[chat.FILE] = template.encode()
    carried = carried_files(models[donor], models[tokenizer], template)
    return SmallFiles({name: path for name, path in carried.items() if name not in files}, files, notes)


def unreadable(models: Sequence[Checkpoint]) -> Iterator[Problem]:
    """Small files that are there but cannot be opened: of any model, since vocabularies of all are compared."""
    for model in models:
        for path in (model.folder / name for name in CARRIED):
            if path.is_file():
                try:
                    os.close(fileio.open_read(path))
                except OSError as error:
                    rule, cure = "the files of a model can be read", "check permissions and the disk"
                    yield Problem(rule, str(error), f"model {model.label}, file {path}", cure)


def _generation(donor: Checkpoint) -> dict[str, Any] | None:
    file = donor.folder / GENERATION
    if not file.is_file() or file.stat().st_size > MAX_GENERATION:
        return None
    try:
        content = parse_json(file.read_bytes(), lenient=True)
    except MalformedJsonError:
        return None
    return content if isinstance(content, dict) else None


def renumber(config: dict[str, Any], donor: int, vocabulary: VocabularyPlan, home: Mapping[str, Any] | None) -> bool:
    """Give token ids in the donor's configuration (`eos_token_id` and so on) the output's; whether any changed.

    Tokens the output does not have are left out of lists; where none is left, what the configuration of the home says
    holds: a model that knew no end would never stop.
    """
    changed = False
    for section in (config, *_sections(config)):
        for key, value in section.items():
            if not key.endswith("_token_id"):
                continue
            listed = value if isinstance(value, list) else [value]
            if listed and all(type(number) is int for number in listed):
                found = [new for new in (vocabulary.id_of(donor, number) for number in listed) if new is not None]
                changed |= found != listed
                new = found if isinstance(value, list) else next(iter(found), None)
                section[key] = new if found else _stated(home, key, vocabulary)
    return changed


def _stated(home: Mapping[str, Any] | None, key: str, vocabulary: VocabularyPlan) -> Any:
    """Token ids that the home states, which keep their rows; None where it states none."""
    value = names.setting(home, key)
    ids = value if isinstance(value, list) else [value]
    kept = all(type(number) is int and vocabulary.id_of(vocabulary.home, number) == number for number in ids)
    return value if kept else None


def state_roles(config: dict[str, Any], text: dict[str, Any], special: Sequence[Special]) -> bool:
    """Enter the ids of special tokens (`pad_token_id` and so on), wherever one is stated; whether any changed.

    A list of ids, as of tokens that each end a text, keeps the others behind the one that is set.
    """
    changed = False
    for one in special:
        key = f"{one.role}_token_id"
        sections = [section for section in (config, text) if key in section] or [text]
        for section in {id(section): section for section in sections}.values():
            stated = section.get(key)
            new = [one.id, *(number for number in stated if number != one.id)] if isinstance(stated, list) else one.id
            changed |= stated != new
            section[key] = new
    return changed


def carried_files(donor: Checkpoint, tokenizer: Checkpoint, chat_template: str | None) -> Mapping[str, Path]:
    """Name in the output -> file to copy. tokenizer: the model whose tokenizer files are taken."""
    found: dict[str, Path] = {}
    for name in CARRIED:
        folder = (tokenizer if name in TOKENIZER else donor).folder
        if (folder / name).is_file() and not (chat_template is not None and name.startswith("chat_template")):
            found[name] = folder / name
    return found


def merged_config(
    donor: Checkpoint, specs: Sequence[TensorSpec], layout: Layout, dtype: DType, layers: Sequence[int] | None
) -> dict[str, Any] | None:
    """config.json of the output, None where the donor has none.

    layers: where slices stack layers anew, for each layer of the output the one it was in its models.
    """
    if donor.config is None:
        return None
    config: dict[str, Any] = json.loads(json.dumps(dict(donor.config)))
    text = _text_section(config)
    _state_dtype(config, specs, dtype)
    _state_rows(config, text, specs, donor)
    if layers is not None:
        text["num_hidden_layers"] = len(layers)
        for key in PER_LAYER & text.keys():
            stated = text[key]
            if isinstance(stated, list) and all(layer < len(stated) for layer in layers):
                text[key] = [stated[layer] for layer in layers]
    if not layout.tie and names.setting(donor.config, "tie_word_embeddings") is not False and _has_head(specs):
        config["tie_word_embeddings"] = False
        if text is not config and "tie_word_embeddings" in text:
            text["tie_word_embeddings"] = False
    return config


def _text_section(config: dict[str, Any]) -> dict[str, Any]:
    """Where the language model is described: in a section of its own where there are several models, else at the top.

    A section that leaves all to the defaults of its class is known by its name.
    """
    inner = config.get("text_config")
    alone = any(key in config for key in ("num_hidden_layers", "hidden_size"))
    return inner if isinstance(inner, dict) and (not alone or "num_hidden_layers" in inner) else config


def _state_dtype(config: dict[str, Any], specs: Sequence[TensorSpec], dtype: DType) -> None:
    """The dtype written, at the top and, where all tensors have the one, wherever a section states its own."""
    for key in {"torch_dtype", "dtype"} & config.keys() or {"torch_dtype"}:
        config[key] = dtype.torch_name
    if {spec.dtype for spec in specs if spec.dtype.kind == "float"} != {dtype}:
        return
    for section in _sections(config):
        for key in ("torch_dtype", "dtype"):
            if isinstance(section.get(key), str):
                section[key] = dtype.torch_name


def _state_rows(config: dict[str, Any], text: dict[str, Any], specs: Sequence[TensorSpec], donor: Checkpoint) -> None:
    """vocab_size is the rows of the embedding, wherever that size is stated, and where its default no longer holds."""
    rows = next((spec.shape[0] for spec in specs if names.is_embedding(spec.name) and spec.shape), None)
    if rows is None:
        return
    stated = [section for section in (config, text) if "vocab_size" in section]
    own = names.embedding(donor.tensors)
    if not stated and own is not None and own.shape[:1] != (rows,):
        stated = [text]
    for section in stated:
        section["vocab_size"] = rows


def _sections(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The configurations inside a configuration, at any depth."""
    waiting = [config]
    while waiting:
        inner = [value for value in waiting.pop().values() if isinstance(value, dict)]
        yield from inner
        waiting += inner


def _has_head(specs: Sequence[TensorSpec]) -> bool:
    return any(names.is_head(spec.name) for spec in specs)
