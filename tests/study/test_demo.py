"""The demonstration on one pair of the zoo: the numbers are there, and the winner on disk is what was scored."""

from __future__ import annotations

import json
import sys

import pytest

from mixmerge.errors import OutputError
from mixmerge.report import validate
from mixmerge.study import demo
from support.models import digest_tree


def test_the_demonstration(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["mixmerge.study.demonstration"], "EXPERTS", {"adder": "add", "sorter": "sort"})
    found = demo(tmp_path / "demo", draws=3)
    (pair,) = found.pairs
    assert pair.name == "adder + sorter"
    assert pair.loaded == pytest.approx(pair.scores["winner"].mean, abs=0)
    assert set(pair.scores) == {"winner", "equal", "plain", "base", "adder", "sorter"}
    assert all(score.low <= score.mean <= score.high for score in pair.scores.values())
    assert (pair.winner / "model.safetensors").is_file()
    assert [(cell.dare, cell.m3, cell.single is None) for cell in found.two_by_two] == [
        (False, False, True), (False, True, False), (True, False, True), (True, True, False),
    ]  # fmt: skip
    assert {cell.drawn for cell in found.two_by_two} == {0, 3}
    page = json.loads((found.report.parent / "report.json").read_text())
    validate(page)
    assert [study["name"] for study in page["studies"]] == ["adder + sorter", "adder + sorter, after DARE"]
    assert page["grids"][0]["columns"] == ["without M³", "with M³"]
    assert demo(tmp_path / "demo", draws=3).pairs[0].scores == pair.scores


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("inside", ["model.safetensors", "notes.txt", "adder-sorter", "adder-sorter/notes.txt",
                                    "sorter-flipper-dare/notes.txt"])  # fmt: skip
def test_folders_of_others_are_refused_before_anything_is_written(tmp_path, inside: str, overwrite: bool) -> None:
    place = tmp_path / "mine"
    (place / inside).parent.mkdir(parents=True)
    (place / inside).write_text("mine")
    before = digest_tree(tmp_path)
    with pytest.raises(OutputError, match="begins in an empty folder") as caught:
        demo(place, draws=1, overwrite=overwrite)
    assert caught.value.exit_code == 2
    assert digest_tree(tmp_path) == before


def test_a_file_is_no_place_for_it(tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="found: a file"):
        demo(tmp_path / "file", draws=1)
