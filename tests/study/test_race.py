"""Racing inside a study: fewer items are answered, the rest is as without, and stopping changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from mixmerge.evaluation import LiveBackend
from mixmerge.report import validate
from mixmerge.study import Study, TrialDone, explore

NORM = "model.norm.weight"


@pytest.fixture
def judged(tiny, monkeypatch) -> None:
    """Scores by the ratio in place of the model's answers: from a fifth right, all of b, to four fifths, all of a."""
    a, b = (float(load_file(folder / "model.safetensors")[NORM][0]) for folder in (tiny.a, tiny.b))
    level = np.random.Generator(np.random.Philox(9)).random(4096)

    def score(self: LiveBackend, task: Any, indices: Any) -> np.ndarray:
        now = float(self._live.tensors()[NORM].data[0])
        share = 0.2 + 0.6 * (now - b) / (a - b)
        return (level[np.asarray(indices)] < share).astype(np.float64)

    monkeypatch.setattr(LiveBackend, "score", score)


@pytest.fixture(scope="module")
def many(tiny, tmp_path_factory) -> Any:
    import json

    path = tmp_path_factory.mktemp("tasks") / "many.jsonl"
    lines = [{"prompt": f"{number}:", "choices": ["a", "b"], "answer": number % 2} for number in range(400)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def race(tiny: Any, many: Any, folder: Any, **settings: Any) -> Study:
    return explore(tiny.recipe, [many], folder=folder, draws=12, race=True, threads=1, **settings)


def test_a_race_saves_items_and_keeps_the_best(tiny, many, judged, tmp_path) -> None:
    slow = explore(tiny.recipe, [many], folder=tmp_path / "slow", draws=12, threads=1)
    fast = race(tiny, many, tmp_path / "fast")
    assert fast.best["value"] == slow.best["value"]
    costs = fast.summary["costs"]
    total = 12 * fast.summary["tasks"]["many"]["validation_n"]
    assert costs["items"] + costs["items_saved"] == total
    assert costs["items_saved"] > 0.3 * total
    assert "pruned" in {trial["state"] for trial in fast.summary["trials"]}
    assert fast.summary["spread"]["objective"]["n"] == 12
    validate(fast.summary)


def test_a_stopped_race_goes_on(tiny, many, judged, tmp_path) -> None:
    class Stopped(BaseException):
        pass

    ended = 0

    def listen(event: object) -> None:
        nonlocal ended
        ended += isinstance(event, TrialDone)
        if ended == 3:
            raise Stopped

    whole = race(tiny, many, tmp_path / "whole")
    with pytest.raises(Stopped):
        race(tiny, many, tmp_path / "parts", listeners=[listen])
    parts = race(tiny, many, tmp_path / "parts")
    keys = ("number", "ratio a", "value", "state")
    assert [[row[key] for key in keys] for row in parts.trials] == [[row[key] for key in keys] for row in whole.trials]
