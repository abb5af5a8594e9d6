"""adapter_config.json of a PEFT adapter: what its low-rank factors stand for, or why this version does not apply it.

A LoRA of rank r and alpha changes a weight by scale * (B @ A), scale = alpha / r, or alpha / sqrt(r) where it is
rank-stabilised (arXiv 2106.09685, 2312.03732). It knows the text of one file; nothing of tensors.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mixmerge.checkpoint.problems import ProblemList, shorten
from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.errors import CheckpointError, Problem

MAX_BYTES: Final = 4_000_000
MAX_RANK: Final = 16_384
MERGE_FIRST: Final = "merge it into its base with peft (merge_and_unload), and give that folder as the model"

_REPAIR: Final = "save the adapter again with peft, or repair the file"
_LARGEST: Final = 3e38  # float32

# Keys that change what the factors mean: the rule they break where they hold anything but null, false or nothing.
_CHANGES: Final = {
    "use_dora": "an adapter is a plain LoRA: DoRA also rescales whole rows",
    "lora_bias": "an adapter is a plain LoRA: one with `lora_bias` changes biases too",
    "use_qalora": "an adapter is a plain LoRA: QA-LoRA pools its input",
    "use_bdlora": "an adapter is a plain LoRA: BD-LoRA has block-diagonal factors",
    "alora_invocation_tokens": "an adapter acts on every token: an activated LoRA cannot be merged",
    "arrow_config": "an adapter acts on every token alike: Arrow chooses between adapters",
    "kasa_config": "an adapter is a plain LoRA: KaSA also truncates the base",
    "monteclora_config": "an adapter is a plain LoRA: MonteCLoRA draws its factors",
    "layer_replication": "an adapter has the layers of its base: `layer_replication` stacks them anew",
    "target_parameters": "an adapter targets modules: `target_parameters` are not read",
    "trainable_token_indices": "an adapter is a plain LoRA: trained rows of single tokens are not read",
    "megatron_config": "an adapter is a plain LoRA: Megatron's parallel layers are not read",
}
_READ: Final = (
    "peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "fan_in_fan_out", "bias",
    "init_lora_weights", "base_model_name_or_path",
)  # fmt: skip
# What training or loading alone looks at.
_HARMLESS: Final = (
    "auto_mapping", "corda_config", "ensure_weight_tying", "eva_config", "exclude_modules", "inference_mode",
    "layers_pattern", "layers_to_transform", "loftq_config", "lora_dropout", "lora_ga_config", "megatron_core",
    "modules_to_save", "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type",
    "velora_config",
)  # fmt: skip
_ALTERED_BASE: Final = ("pissa", "corda", "olora", "loftq", "lora_ga")
_NAME: Final = re.compile(r"\^?(?:[A-Za-z0-9_-]|\\?\.)+\$?")


@dataclass(frozen=True, slots=True)
class Patterns:
    """rank_pattern or alpha_pattern. ends: name -> (place in the file, value), for modules whose name is or ends with
    it; whole: the same for full names only. The first in the file wins, as in peft."""

    ends: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    whole: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    def of(self, module: str, default: float) -> float:
        """The value of a module, such as model.layers.0.self_attn.q_proj."""
        parts = module.split(".")
        names = [".".join(parts[start:]) for start in range(len(parts))]
        found = [self.ends[name] for name in names if name in self.ends]
        found += [self.whole[module]] if module in self.whole else []
        return min(found)[1] if found else default


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """rank, alpha: of modules that no pattern names. stabilised: whether scale is alpha / sqrt(r). transposed: whether
    the weights it changes are stored transposed (`fan_in_fan_out`). base: the model it says it was trained on."""

    rank: int
    alpha: float
    ranks: Patterns
    alphas: Patterns
    stabilised: bool
    transposed: bool
    base: str | None
    sha256: str

    def rank_of(self, module: str) -> int:
        """Rank of a module's factors, at least 1."""
        return int(self.ranks.of(module, self.rank))

    def alpha_of(self, module: str) -> float:
        """Alpha of a module."""
        return self.alphas.of(module, self.alpha)

    def scale_of(self, module: str) -> float:
        """What B @ A of a module is multiplied with."""
        rank = self.rank_of(module)
        return self.alpha_of(module) / (math.sqrt(rank) if self.stabilised else rank)


def read_lora_config(text: bytes, place: str) -> LoraConfig:
    """The configuration a file states. place: how errors name it. Raises CheckpointError with everything wrong."""
    content = _content(text, place)
    if content.get("peft_type") != "LORA":
        rule = "an adapter is a LoRA (peft_type LORA)"
        raise CheckpointError(Problem(rule, shorten(content.get("peft_type")), place, MERGE_FIRST))
    problems = ProblemList(place)
    for key, value in content.items():
        _check_effect(key, value, problems)
    base = content.get("base_model_name_or_path")
    config = LoraConfig(
        int(_number(content, "r", problems, whole=True)),
        _number(content, "lora_alpha", problems),
        _patterns(content, "rank_pattern", problems, whole=True),
        _patterns(content, "alpha_pattern", problems),
        _flag(content, "use_rslora", problems),
        _flag(content, "fan_in_fan_out", problems),
        base if isinstance(base, str) and base else None,
        hashlib.sha256(text).hexdigest(),
    )
    problems.raise_if_any()
    return config


def _content(text: bytes, place: str) -> dict[str, Any]:
    rule = "adapter_config.json is a JSON object in UTF-8"
    try:
        content = parse_json(text)
    except MalformedJsonError as error:
        raise CheckpointError(Problem(rule, str(error), place, _REPAIR)) from error
    if not isinstance(content, dict):
        raise CheckpointError(Problem(rule, shorten(content), place, _REPAIR))
    return content


def _check_effect(key: str, value: object, problems: ProblemList) -> None:
    """Refuse what would make the change another one than scale * (B @ A)."""
    said = f"{key}: {shorten(value)}"
    if key in _CHANGES:
        if value:
            problems.add(_CHANGES[key], said, cure=MERGE_FIRST)
    elif key == "init_lora_weights":
        if isinstance(value, str) and value.lower().startswith(_ALTERED_BASE):
            cure = "convert it with peft (save_pretrained with path_initial_model_for_weight_conversion)"
            problems.add("an adapter belongs to an unaltered base", f"{said}, which alters it", cure=cure)
    elif key == "bias":
        if value not in ("none", "all", "lora_only"):
            problems.add("bias is none, all or lora_only", said, cure=_REPAIR)
    elif key not in (*_READ, *_HARMLESS) and (value is True or (value and isinstance(value, dict | list))):
        cure = f"set it to null if it changes nothing; else {MERGE_FIRST}"
        problems.add("an adapter has no setting whose meaning is unknown here", said, cure=cure)


def _number(content: Mapping[str, Any], key: str, problems: ProblemList, *, whole: bool = False) -> float:
    if _fits(content.get(key), whole):
        return float(content[key])
    problems.add(_rule(key, whole), shorten(content.get(key)), cure=_REPAIR)
    return 1.0


def _fits(value: object, whole: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 1 <= value <= MAX_RANK and value == int(value) if whole else abs(value) <= _LARGEST


def _rule(key: str, whole: bool) -> str:
    return f"{key} is a whole number from 1 to {MAX_RANK:,}" if whole else f"{key} is a finite number"


def _flag(content: Mapping[str, Any], key: str, problems: ProblemList) -> bool:
    value = content.get(key)
    if value is not None and not isinstance(value, bool):
        problems.add(f"{key} is true or false", shorten(value), cure=_REPAIR)
    return value is True


def _patterns(content: Mapping[str, Any], key: str, problems: ProblemList, *, whole: bool = False) -> Patterns:
    given = content.get(key) or {}
    if not isinstance(given, dict):
        problems.add(f"{key} maps names of modules to numbers", shorten(given), cure=_REPAIR)
        return Patterns()
    ends: dict[str, tuple[int, float]] = {}
    full: dict[str, tuple[int, float]] = {}
    for place, (pattern, value) in enumerate(given.items()):
        if not _NAME.fullmatch(pattern):
            cure = "write the names of the modules in full, one a line"
            problems.add(f"{key} has plain names; other regular expressions are not read", shorten(pattern), cure=cure)
        elif not _fits(value, whole):
            problems.add(_rule(f"{key} of {shorten(pattern)}", whole), shorten(value), cure=_REPAIR)
        else:
            name = pattern.replace("\\.", ".").rstrip("$")
            table = full if name.startswith("^") else ends
            table.setdefault(name.removeprefix("^"), (place, float(value)))
    return Patterns(ends, full)
