"""The table of element types against the packages it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mixmerge.checkpoint.dtypes import DTYPES, DType, from_torch_name


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_sizes_and_names_agree_with_numpy_and_torch(dtype: DType) -> None:
    theirs = getattr(torch, dtype.torch_name)
    assert theirs.itemsize == dtype.itemsize == dtype.numpy.itemsize
    assert str(dtype.numpy) == dtype.torch_name
    assert from_torch_name(dtype.torch_name) is from_torch_name(f"torch.{dtype.torch_name}") is dtype


def test_codes_are_distinct_and_floats_come_first() -> None:
    codes = {dtype.name: dtype.code for dtype in DTYPES.values()}
    assert len(set(codes.values())) == len(codes)
    floats = {dtype.name: dtype.code for dtype in DTYPES.values() if dtype.kind == "float"}
    assert floats == {"F32": 0, "F16": 1, "BF16": 2, "F8_E4M3": 3, "F8_E5M2": 4, "F64": 5}
    assert all(dtype.code >= 10 for dtype in DTYPES.values() if dtype.kind != "float")


@pytest.mark.parametrize("name", ["F8_E4M3", "F8_E5M2"])
def test_float8_values_are_those_of_torch(name: str) -> None:
    bits = np.arange(256, dtype=np.uint8)
    ours = bits.view(DTYPES[name].numpy).astype(np.float32)
    theirs = torch.from_numpy(bits).view(getattr(torch, DTYPES[name].torch_name)).float()
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'bfloat16'"):
        from_torch_name("bflaot16")
