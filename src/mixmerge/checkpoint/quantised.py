"""Whether the elements of a checkpoint are weights, or packed values and scales of a quantisation.

Told from config.json and the names and dtypes of tensors. It knows how formats name their parts, and dequantises none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from mixmerge.checkpoint.header import TensorSpan
from mixmerge.checkpoint.problems import shorten
from mixmerge.checkpoint.reader import CONFIG, Checkpoint

_STATED: Final = ("quantization_config", "compression_config")
_PACKED: Final = re.compile(  # GPTQ, AWQ, MLX, bitsandbytes, compressed-tensors, DeepSeek; never a weight's name
    r".*\.(qweight|qzeros|g_idx|scales|SCB|absmax|nested_absmax|quant_map|quant_state\..*|weight_packed"
    r"|weight_scale.*|weight_zero_point)|.*_scale_inv"
)
_SCALE: Final = re.compile(r"(?P<of>.*)[._](scale|scales|zero_point)")


def quantisation(checkpoint: Checkpoint) -> str | None:
    """Why the elements of this checkpoint are not weights, or None if they are.

    A checkpoint is quantised if config.json says so, or a tensor has a companion of scales. A parameter that
    is merely called scale (CLIP's logit_scale) is none.
    """
    for key in _STATED:
        stated = (checkpoint.config or {}).get(key)
        if stated:
            method = stated.get("quant_method", "not stated") if isinstance(stated, dict) else stated
            return f"{CONFIG} has a {key} (quant_method: {shorten(method)})"
    companions = [span.name for span in checkpoint.tensors.values() if _is_companion(span, checkpoint.tensors)]
    if companions:
        more = f" and {len(companions) - 1} more" if len(companions) > 1 else ""
        return f"tensor {companions[0]!r}{more}: scales or packed values of a quantisation"
    return None


def _is_companion(span: TensorSpan, tensors: Mapping[str, TensorSpan]) -> bool:
    if _PACKED.fullmatch(span.name) or span.dtype.name == "F8_E8M0":
        return True
    scale = _SCALE.fullmatch(span.name)
    if scale is None:
        return False
    of = scale["of"]
    weight = tensors.get(f"{of}.weight")
    return of in tensors or f"{of}_blocks" in tensors or (weight is not None and weight.dtype.itemsize == 1)
