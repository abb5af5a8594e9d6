"""Names of files and folders with a letter wrong, and words in the wrong order: the way out is the right command."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.conftest import Cli


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        ("plan recipe.yml", "did you mean 'recipe.yaml'?"),
        ("merge recpe.yaml out", "did you mean 'recipe.yaml'?"),
        ("merge nothing-alike.yaml out", "check the path"),
        ("merge out recipe.yaml", "say recipe.yaml out"),
        ("plan base recipe.yaml", "say recipe.yaml base"),
        ("explore study recipe.yaml --tasks a", "say recipe.yaml study"),
        ("merge recpe.yaml recipe.yaml", "did you mean 'recipe.yaml'?"),
        ("plan --method linear ./expert-A expert-b --ratio 0.5", "did you mean 'expert-a'?"),
        ("verify bas", "did you mean 'base'?"),
        ("export expert_a out", "did you mean 'expert-a'?"),
        ("export base out", "give the folder that `mixmerge explore` wrote"),
        ("explore recipe.yaml study --suite m3", "a suite is named as a task: --tasks m3"),
        ("verify base", "only models merged by Mixmerge carry a record"),
        ("explore recipe.yaml study --tasks sum.jsonl", "did you mean 'sums.jsonl'?"),
        ("explore recipe.yaml study --tasks sums.jsonl --vary density=0.8,0.2", "give two numbers from 0 to 1"),
    ],
)
def test_the_way_out(words: str, cure: str, cli: Cli, place: Path) -> None:
    (place / "sums.jsonl").write_text("".join(f'{{"prompt": "{n}+{n}=", "target": "{2 * n}"}}\n' for n in range(9)))
    before = sorted(place.iterdir())
    code, out, err = cli(*words.split())
    assert (code, out) == (2, "")
    assert f"  fix:   {cure}\n" in err
    assert err.endswith("refused: 1 problem\n")
    assert sorted(place.iterdir()) == before
