"""Words of --device and --compute are told before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import mixmerge
from mixmerge.evaluation import TaskError
from mixmerge.evaluation.devices import device_problems


@pytest.mark.parametrize(
    ("device", "compute", "told"),
    [
        ("cpu", "int8", "compute is one of: bfloat16, float16, float32"),
        ("cpu", "float64", "did you mean"),
        ("cudaa", None, "did you mean 'cuda'?"),
        ("", None, "named as torch names it"),
        ("cuda:x", None, "named as torch names it"),
        ("meta", None, "it holds no numbers"),
        ("cuda:99", None, "torch finds"),
    ],
)
def test_what_is_told(device: str, compute: str | None, told: str) -> None:
    [problem] = device_problems(device, compute)
    assert told in str(problem)


def test_what_is_fine() -> None:
    for device, compute in (("cpu", None), ("cpu", "float16"), ("cpu:0", "bfloat16")):
        assert list(device_problems(device, compute)) == []


def test_the_devices_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch, "cuda", SimpleNamespace(is_available=lambda: True, device_count=lambda: 2))
    for device in ("cuda", "cuda:0", "cuda:1"):
        assert list(device_problems(device, None)) == []
    [problem] = device_problems("cuda:2", None)
    assert "finds 2, from cuda:0 on" in problem.value


def test_a_device_of_other_machines_is_not_looked_for() -> None:
    assert list(device_problems("cuda:99", None, here=False)) == []
    assert len(list(device_problems("cudaa", "int8", here=False))) == 2


def test_before_a_model_is_looked_for(tmp_path: Path) -> None:
    """Neither the model nor the data is there; the words are told all the same, and those too."""
    with pytest.raises(TaskError) as caught:
        mixmerge.evaluate(tmp_path / "none", ["m3_gsm8k"], device="cudaa", data_dir=tmp_path)
    assert [problem.place.partition(" ")[0] for problem in caught.value.problems] == [
        "--device",
        "model",
        str(tmp_path),
    ]
    with pytest.raises(TaskError) as caught:
        mixmerge.attack([tmp_path / "none"], "sst2", "stresstest", device="cudaa", compute="int8", data_dir=tmp_path)
    assert {"--device", "--compute"} <= {problem.place for problem in caught.value.problems}
