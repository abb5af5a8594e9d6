"""Models as people name them: folders, revisions, and models with a LoRA adapter, in `eval` and `attack`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import mixmerge
from mixmerge import api
from mixmerge.errors import MixmergeError
from mixmerge.evaluation import TaskError
from mixmerge.evaluation.named_model import find_model
from mixmerge.evaluation.results import Note
from support import models
from support.adapters import UP, Q, factors, write_adapter

ITEMS = [{"prompt": f"{n}+{n}=", "choices": [str(2 * n), str(2 * n + 1), str(n)], "answer": 0} for n in range(10, 40)]


@pytest.fixture
def adapted(zoo: Path, tmp_path: Path) -> str:
    """A model whose adapter is strong enough to spoil it."""
    tensors = factors(models.read_model(zoo / "adder"), Q, UP, size=0.5)
    return f"{zoo / 'adder'}+{write_adapter(tmp_path / 'tuned', tensors)}"


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def items(tmp_path: Path) -> Path:
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    return file


def test_an_adapter_is_scored_as_the_model_it_makes(
    zoo: Path, adapted: str, items: Path, scratch: Path, tmp_path: Path
) -> None:
    events: list[Any] = []
    done = mixmerge.evaluate(adapted, [items], listeners=[events.append], compute="float32")
    api.merge(
        f"merge_method: linear\nmodels:\n  - {{model: '{adapted}', parameters: {{weight: 1}}}}\n", tmp_path / "whole"
    )
    whole = mixmerge.evaluate(tmp_path / "whole", [items], compute="float32")
    plain = mixmerge.evaluate(zoo / "adder", [items], compute="float32")
    scores = [[sample.score for sample in found.tasks[0].samples] for found in (done, whole, plain)]
    assert scores[0] == scores[1] != scores[2]
    assert (done.model, done.commit) == (adapted, None)
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert note.startswith(f"{adapted} is put together in {scratch}")
    assert list(scratch.glob("mixmerge*")) == []


def test_an_adapter_is_attacked_too(adapted: str, items: Path, scratch: Path) -> None:
    items.write_text("".join(json.dumps({**item, "choices": [" 20", " 30"]}) + "\n" for item in ITEMS[:4]))
    found = mixmerge.attack(
        [adapted], items, "stresstest", prompt_text="What is {content} Say it:", limit=4, compute="float32"
    )
    assert found.results[0].model == adapted
    assert list(scratch.glob("mixmerge*")) == []


def test_nothing_is_put_together_for_tasks_that_cannot_be_scored(
    adapted: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "merge", lambda *given, **named: pytest.fail("it was merged"))
    with pytest.raises(TaskError, match=r"no gsm8k_test\.jsonl"):
        mixmerge.evaluate(adapted, ["m3_gsm8k"], data_dir=scratch)


def test_a_merge_that_fails_leaves_nothing(adapted: str, items: Path, scratch: Path) -> None:
    file = Path(adapted.rpartition("+")[2]) / "adapter_model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-4] + b"\xff\xff\xff\x7f")  # a NaN
    with pytest.raises(MixmergeError, match="NaN"):
        mixmerge.evaluate(adapted, [items])
    assert list(scratch.glob("mixmerge*")) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("{zoo}/adder+{zoo}/sorter", "adapter"),
        ("{zoo}/adder+{zoo}/nothing", "nothing"),
        ("a+b+c", r"one \+ between them(?s:.)*model 'a\+b\+c'"),
        ("{zoo}/adder@main", "path or a hub id|no revisions"),
        ("", "model ''"),
    ],
)
def test_what_names_no_model_is_refused(name: str, told: str, zoo: Path) -> None:
    with pytest.raises(MixmergeError, match=told) as caught:
        find_model(name.format(zoo=zoo))
    assert caught.value.exit_code == 2


def test_revisions_of_the_hub_are_asked_for(monkeypatch: pytest.MonkeyPatch, zoo: Path) -> None:
    from mixmerge.checkpoint import hub, open_checkpoint

    asked: list[Any] = []

    def resolve(model: str, revision: str | None = None, *, label: str | None = None) -> Any:
        asked.append((model, revision))
        return open_checkpoint(zoo / "adder", label or model, origin=SimpleNamespace(commit="c" * 40))  # type: ignore[arg-type]

    monkeypatch.setattr(hub, "resolve", resolve)
    assert find_model("owner/name@v1").commit == "c" * 40
    assert asked == [("owner/name", "v1")]
