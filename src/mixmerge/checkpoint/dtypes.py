"""The element types a safetensors file may hold: one literal table.

It knows names, sizes and the numpy dtype of each; it knows nothing of files, and does no arithmetic.
Types that do not fill whole bytes (F4, F6) are left out: a file that has them is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import ml_dtypes
import numpy as np

from mixmerge.errors import nearest

Kind = Literal["float", "int", "bool", "opaque"]


@dataclass(frozen=True, slots=True)
class DType:
    """One element type.

    name: as safetensors writes it ("BF16"). itemsize: bytes an element. kind: "float" can be merged, "int"
    and "bool" can be compared and copied, "opaque" can only be copied byte for byte (scales, complex numbers,
    float formats no kernel reads). code: the small number compiled kernels switch on; floats 0 to 5, the rest
    from 10. torch_name: as PyTorch and config.json write it ("bfloat16"). numpy: the dtype of an array over
    the bytes.
    """

    name: str
    itemsize: int
    kind: Kind
    code: int
    torch_name: str
    numpy: np.dtype[Any]


_ROWS: Final[tuple[DType, ...]] = (
    DType("F32", 4, "float", 0, "float32", np.dtype(np.float32)),
    DType("F16", 2, "float", 1, "float16", np.dtype(np.float16)),
    DType("BF16", 2, "float", 2, "bfloat16", np.dtype(ml_dtypes.bfloat16)),
    DType("F8_E4M3", 1, "float", 3, "float8_e4m3fn", np.dtype(ml_dtypes.float8_e4m3fn)),
    DType("F8_E5M2", 1, "float", 4, "float8_e5m2", np.dtype(ml_dtypes.float8_e5m2)),
    DType("F64", 8, "float", 5, "float64", np.dtype(np.float64)),
    DType("BOOL", 1, "bool", 10, "bool", np.dtype(np.bool_)),
    DType("U8", 1, "int", 11, "uint8", np.dtype(np.uint8)),
    DType("I8", 1, "int", 12, "int8", np.dtype(np.int8)),
    DType("U16", 2, "int", 13, "uint16", np.dtype(np.uint16)),
    DType("I16", 2, "int", 14, "int16", np.dtype(np.int16)),
    DType("U32", 4, "int", 15, "uint32", np.dtype(np.uint32)),
    DType("I32", 4, "int", 16, "int32", np.dtype(np.int32)),
    DType("U64", 8, "int", 17, "uint64", np.dtype(np.uint64)),
    DType("I64", 8, "int", 18, "int64", np.dtype(np.int64)),
    DType("F8_E8M0", 1, "opaque", 20, "float8_e8m0fnu", np.dtype(ml_dtypes.float8_e8m0fnu)),
    DType("F8_E4M3FNUZ", 1, "opaque", 21, "float8_e4m3fnuz", np.dtype(ml_dtypes.float8_e4m3fnuz)),
    DType("F8_E5M2FNUZ", 1, "opaque", 22, "float8_e5m2fnuz", np.dtype(ml_dtypes.float8_e5m2fnuz)),
    DType("C64", 8, "opaque", 23, "complex64", np.dtype(np.complex64)),
)

DTYPES: Final[Mapping[str, DType]] = MappingProxyType({row.name: row for row in _ROWS})
"""Every element type, by its safetensors name."""

_BY_TORCH_NAME: Final[Mapping[str, DType]] = MappingProxyType({row.torch_name: row for row in _ROWS})


def from_torch_name(name: str) -> DType:
    """The element type PyTorch calls `name`; a leading "torch." is allowed.

    Raises ValueError with the nearest known name.

    >>> from_torch_name("bfloat16").name
    'BF16'
    """
    found = _BY_TORCH_NAME.get(name.removeprefix("torch."))
    if found is None:
        raise ValueError(f"unknown dtype {name!r}; {nearest(name, _BY_TORCH_NAME)}")
    return found
