"""A scan of a tokenizer file says yes only where parsing it finds every token within the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixmerge.tokens import read_vocabulary, scan, surely_within

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "LARGE", 0)


def tokenizer(
    folder: Path, ids: dict[str, int], added: dict[str, int], indent: int | None = None, **model: Any
) -> Path:
    listed = [{"id": number, "content": token} for token, number in added.items()]
    content = {"added_tokens": listed, "model": {"type": "BPE", "vocab": ids, "merges": [["a", "b"]], **model}}
    (folder / "tokenizer.json").write_text(json.dumps(content, indent=indent, ensure_ascii=False), "utf-8")
    return folder


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.dictionaries(WORDS, st.integers(0, 3000), min_size=1, max_size=8),
    added=st.dictionaries(WORDS, st.integers(0, 3000), max_size=3),
    rows=st.integers(1, 3001),
    indent=st.sampled_from([None, 2]),
    piece=st.sampled_from([64, 2**20]),
)
def test_yes_means_that_every_token_has_a_row(
    ids: dict[str, int], added: dict[str, int], rows: int, indent: int | None, piece: int, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_PIECE", piece)
        said = surely_within(tokenizer(tmp_path, ids, added, indent), rows)
    found = read_vocabulary(tmp_path)
    assert found is not None
    assert not said or max(found.ids.values()) < rows


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("rows", [7, 10, 99, 100, 4096, 49152, 128_256, 262_144])
def test_the_last_row_is_the_last_that_is_within(rows: int, indent: int | None, tmp_path: Path) -> None:
    ids = {f"t{number}": number for number in range(max(0, rows - 5), rows)}
    assert surely_within(tokenizer(tmp_path, ids, {"[PAD]": rows - 1}, indent), rows)
    assert not surely_within(tmp_path, rows - 1)
    assert not surely_within(tokenizer(tmp_path, ids, {"[PAD]": rows}, indent), rows)
    assert not surely_within(tokenizer(tmp_path, {**ids, "t": rows * 10}, {}, indent), rows)


def test_ids_that_are_not_written_are_for_parsing(tmp_path: Path) -> None:
    content = {"model": {"type": "Unigram", "vocab": [["a", 0.0], ["b", -1.0]]}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert not surely_within(tmp_path, 100)


@pytest.mark.parametrize("text", ["", "[]", '{"model": {"vocab": {"a": 0,\n', '{"model": {}}'])
def test_what_is_surely_broken_is_for_parsing(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text)
    assert not surely_within(tmp_path, 100)


@pytest.mark.parametrize("beside", [{"b": 100}, {"b": "x"}])
def test_tokens_of_files_beside_count(beside: Any, tmp_path: Path) -> None:
    assert surely_within(tokenizer(tmp_path, {"a": 0}, {}), 100)
    (tmp_path / "added_tokens.json").write_text(json.dumps(beside))
    assert not surely_within(tmp_path, 100)


def test_small_files_and_other_forms_are_for_parsing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vocab.json").write_text('{"a": 0}')
    assert not surely_within(tmp_path, 100)
    tokenizer(tmp_path, {"a": 0}, {})
    monkeypatch.setattr(scan, "LARGE", 2**20)
    assert not surely_within(tmp_path, 100)
