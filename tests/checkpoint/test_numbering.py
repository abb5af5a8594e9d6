"""Shards without an index: their numbers tell what is missing, however many they claim to be."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mixmerge.checkpoint import open_checkpoint
from mixmerge.errors import CheckpointError

EMPTY = (2).to_bytes(8, "little") + b"{}"


def refused(folder: Path, *names: str) -> CheckpointError:
    for name in names:
        (folder / name).write_bytes(EMPTY)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder, "a")
    return caught.value


def test_a_few_missing_are_named(tmp_path: Path) -> None:
    error = refused(tmp_path, *(f"m-0000{k}-of-00005.safetensors" for k in (1, 3, 4)))
    assert [problem.value for problem in error.problems] == [f"no 'm-0000{k}-of-00005.safetensors'" for k in (2, 5)]


def test_a_wild_number_is_told_once_and_at_once(tmp_path: Path) -> None:
    begun = time.process_time()
    error = refused(tmp_path, *(f"a{k}-00001-of-99999.safetensors" for k in range(30)))
    assert time.process_time() - begun < 1
    assert error.problems[0].rule == "a model of 99999 files has all of them"
    assert error.problems[0].value == "1 of a0-*-of-99999.safetensors"
    assert len(error.problems) == 21
