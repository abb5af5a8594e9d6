"""Names of models and tasks are strangers' words: terminals, pages and cards show them and obey none of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mixmerge import cli
from mixmerge.study import export

TURNED = "\u202e"
TASK, MODEL = f"<script>|{TURNED}\x1b[2J`*x*", f"<b>|{TURNED}\x1b[2J`*m*"


@pytest.fixture
def strange(tiny, tmp_path: Path) -> Path:
    """A folder with a recipe and a task file of such names."""
    shutil.copytree(tiny.a, tmp_path / MODEL)
    shutil.copy(tiny.tasks[0], tmp_path / f"{TASK}.jsonl")
    name = (MODEL.replace("\x1b", "\\e")).replace('"', '\\"')
    models = f'[{{model: "{tmp_path}/{name}"}}, {{model: {tiny.b}}}]'
    (tmp_path / "r.yaml").write_text(f"merge_method: linear\nmodels: {models}\nmixup: {{alpha: 0.5}}\n")
    return tmp_path


def test_strange_names_stay_text(strange, monkeypatch, capsys) -> None:
    monkeypatch.chdir(strange)
    words = ["explore", "r.yaml", "s", "--tasks", f"{TASK}.jsonl", "--draws", "2", "--threads", "1", "-q"]
    assert cli.run(words) == 0
    out, err = capsys.readouterr()
    page = (strange / "s" / "report.html").read_text()
    lines = (strange / "s" / "report.md").read_text().partition("```")[0]  # behind it the recipe, as it is
    export("s", "out")
    _, _, card = (strange / "out" / "README.md").read_text().partition("## How it was chosen")
    assert card
    for text in (out + err, page, lines, card):
        assert TURNED not in text
        assert "\x1b" not in text
        assert "\\u202e" in text
    for text in (page, lines.replace("\\<", ""), card.replace("\\<", "")):
        assert "<b>|" not in text
        assert "<script>|" not in text
    table = [line.replace("\\|", "") for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {4}  # a model, a task and the mean; a model, a file and its digest
