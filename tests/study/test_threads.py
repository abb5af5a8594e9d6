"""How many threads score: what the person said, one for a tiny model, else what torch is set to."""

from __future__ import annotations

import pytest

from mixmerge.study import explore
from mixmerge.study.threads import TINY, on_threads, scoring_threads


@pytest.mark.parametrize(
    ("asked", "parameters", "threads"),
    [(None, 0, 1), (None, TINY - 1, 1), (None, TINY, None), (3, 0, 3), (3, TINY, 3)],
)
def test_rule(asked: int | None, parameters: int, threads: int | None) -> None:
    assert scoring_threads(asked, parameters) == threads


def test_torch_is_set_as_before_afterwards() -> None:
    import torch

    before = torch.get_num_threads()
    with on_threads(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
    with on_threads(None):
        assert torch.get_num_threads() == before


@pytest.mark.parametrize(("threads", "seen"), [(None, 1), (2, 2)])
def test_a_study_scores_on_them(tiny, tmp_path, threads: int | None, seen: int) -> None:
    import torch

    counts: set[int] = set()

    def score(model: object, tokenizer: object) -> float:
        counts.add(torch.get_num_threads())
        return 0.5

    with on_threads(3):
        explore(tiny.recipe, folder=tmp_path / "s", score=score, draws=2, threads=threads)
    assert counts == {seen}
