"""Checkpoints: safetensors files read by range and written at known offsets, in bounded memory.

This package knows folders, headers, element types and bytes. It knows nothing of recipes or of merging. `hub`
is not imported from here, so that nothing of huggingface_hub loads unless a model is not on this disk; what adapters
need is imported on first use.
"""

from typing import TYPE_CHECKING

from mixmerge.checkpoint.dtypes import DTYPES, DType, from_torch_name
from mixmerge.checkpoint.header import TensorSpan, TensorSpec
from mixmerge.checkpoint.index import INDEX
from mixmerge.checkpoint.place import RECORD, check_parent, check_target, moved_aside, partial_folder, publish
from mixmerge.checkpoint.quantised import quantisation
from mixmerge.checkpoint.reader import CONFIG, Checkpoint, Origin, open_checkpoint
from mixmerge.checkpoint.rows import OWN_MEAN, OWNERS_MEAN, SEEN_MEAN, TRANSIENT, ZEROS, RowView
from mixmerge.checkpoint.strict_json import MalformedJsonError, parse_json
from mixmerge.checkpoint.writer import CheckpointWriter, ShardLayout, lay_out
from mixmerge.startup import on_first_use

if TYPE_CHECKING:
    from mixmerge.checkpoint.lora import Adaptation, Adapter, LowRank
    from mixmerge.checkpoint.lora_reader import open_adapter, with_adapter
else:
    __getattr__ = on_first_use(__name__, {
        "Adaptation": "mixmerge.checkpoint.lora",
        "Adapter": "mixmerge.checkpoint.lora",
        "LowRank": "mixmerge.checkpoint.lora",
        "open_adapter": "mixmerge.checkpoint.lora_reader",
        "with_adapter": "mixmerge.checkpoint.lora_reader",
    })  # fmt: skip

__all__ = [
    "CONFIG",
    "DTYPES",
    "INDEX",
    "OWNERS_MEAN",
    "OWN_MEAN",
    "RECORD",
    "SEEN_MEAN",
    "TRANSIENT",
    "ZEROS",
    "Adaptation",
    "Adapter",
    "Checkpoint",
    "CheckpointWriter",
    "DType",
    "LowRank",
    "MalformedJsonError",
    "Origin",
    "RowView",
    "ShardLayout",
    "TensorSpan",
    "TensorSpec",
    "check_parent",
    "check_target",
    "from_torch_name",
    "lay_out",
    "moved_aside",
    "open_adapter",
    "open_checkpoint",
    "parse_json",
    "partial_folder",
    "publish",
    "quantisation",
    "with_adapter",
]
