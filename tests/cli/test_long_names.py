"""A name longer than any file's is refused in words wherever a name is asked for, before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest

import mixmerge
from cli.conftest import Cli

ZOO = Path(mixmerge.__file__).parent / "zoo"
ADDER, ITEMS = str(ZOO / "adder"), str(ZOO / "tasks/add.test.jsonl")
RECIPE = f"merge_method: linear\nmodels: [{{model: {ADDER}}}, {{model: {ZOO / 'sorter'}}}]\nmixup: {{alpha: 0.5}}\n"
LONG = "x" * 300
EXPLORE = ("explore", "recipe.yaml", "study", "--tasks", "items.jsonl")
ATTACK = ("attack", ADDER, "--task", "items.jsonl", "--attack")


@pytest.mark.parametrize(
    "words",
    [
        ("export", LONG, "out"),
        ("eval", ADDER, "--tasks", LONG),
        ("eval", ADDER, "--tasks", f"{LONG}.jsonl"),
        ("eval", LONG, ADDER, "--tasks", "items.jsonl"),
        ("eval", ADDER, "--tasks", "items.jsonl", "--out", LONG),
        ("eval", ADDER, "--tasks", "items.jsonl", "--out", f"{LONG}/result.json"),
        ("eval", ADDER, "--tasks", "m3_gsm8k", "--data-dir", LONG),
        ("explore", "recipe.yaml", LONG, "--tasks", "items.jsonl"),
        ("explore", "recipe.yaml", "items.jsonl/study", "--tasks", "items.jsonl"),
        ("explore", "recipe.yaml", "study", "--tasks", f"{LONG}.jsonl"),
        (*EXPLORE, "--test-tasks", LONG),
        (*EXPLORE, "--ood", f"{LONG}.jsonl"),
        (*EXPLORE, "--attack", "stresstest", "--attack-task", LONG),
        (*EXPLORE, "--attack", "stresstest", "--attack-task", "sst2", "--attack-data", LONG),
        ("attack", ADDER, "--task", LONG, "--attack", "stresstest"),
        (*ATTACK, "bertattack", "--masked-lm", LONG),
        (*ATTACK, "stresstest", "--out", LONG),
        ("demo", "--out", LONG),
        ("reproduce", "headline", "--out", LONG),
        ("reproduce", "headline", "--out", "run", "--models", LONG),
        ("reproduce", "headline", "--out", "run", "--models", f"lm={LONG}"),
        ("reproduce", "headline", "--out", "run", "--data-dir", LONG),
        ("reproduce", "headline", "--print-recipes", LONG),
    ],
    ids=lambda words: " ".join(words).replace(LONG, "LONG").replace(str(ZOO), "zoo"),
)
def test_it_is_refused(words: tuple[str, ...], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "items.jsonl").write_text("".join(Path(ITEMS).read_text().splitlines(keepends=True)[:8]))
    code, _, err = cli(*words)
    assert code == 2, err
    assert "refused: " in err
    assert "Errno" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["items.jsonl", "recipe.yaml"]
