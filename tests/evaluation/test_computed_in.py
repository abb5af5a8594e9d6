"""In which dtype models compute where nobody says it: the same in a study, in `eval` and under attack."""

from __future__ import annotations

from pathlib import Path

import pytest

import mixmerge
from mixmerge.evaluation import computed_in


@pytest.mark.parametrize(
    ("device", "said", "dtype"),
    [("cpu", None, "float32"), ("cpu", "bfloat16", "bfloat16"), ("cuda", None, None), ("cuda:1", "float16", "float16")],
)
def test_cpus_compute_in_float32_unless_told_otherwise(device, said, dtype) -> None:
    assert computed_in(device, said) == dtype


def test_eval_computes_a_bfloat16_model_in_float32(zoo: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.jsonl"
    task.write_text('{"prompt": "add 1 2 = ", "target": "3"}\n')
    assert mixmerge.evaluate(zoo / "adder", [task]).compute == "float32"
