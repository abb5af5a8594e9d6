"""mixmerge reproduce: lists, plans, refuses; one call of the library otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Cli
from mixmerge.evaluation.judging.server import ServerJudge
from mixmerge.reproduce import door
from mixmerge.reproduce.events import Doing, Measured
from mixmerge.reproduce.summary import CellRows, Gain, Row, Summary


def row(**changes: Any) -> Row:
    given: dict[str, Any] = {
        "measure": "m3_gsm8k", "words": "GSM8K accuracy", "lower": False, "arm": "with M³", "published": 18.6,
        "score": 20.0, "low": 10.0, "high": 30.0, "n": 8, "held_out": None, "n_held_out": 0, "difference": 1.4,
        "why": "", "notes": (),
    }  # fmt: skip
    return Row(**(given | changes))


GAIN = Gain("GSM8K accuracy", False, 5.0, -1.0, 11.0, 4.0)
DONE = Summary(
    table="headline", words="", source="the paper", mark="published, not measured by us", models={}, settings={},
    notes=("One ratio was drawn",), folder="kept",
    cells=(
        CellRows("lm-math-ties", "LM & Math, TIES", "", (row(),), (GAIN,)),
        CellRows("lm-code-ties", "LM & Code, TIES", "", (row(score=None, why="needs a judge"),)),
    ),
)  # fmt: skip


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the library is called with."""
    seen: dict[str, Any] = {}

    def fake(*words: Any, **named: Any) -> Summary:
        seen.update(named, words=words)
        named["listeners"][0](Doing("LM & Math, TIES, with M³", "merging"))
        named["listeners"][0](Measured("LM & Math, TIES, with M³", "GSM8K accuracy", 20.0))
        if "raises" in seen:
            raise seen["raises"]
        return DONE

    monkeypatch.setattr(door, "reproduce", fake)
    return seen


def test_words(cli: Cli, called: dict[str, Any]) -> None:
    code, out, err = cli(
        "reproduce", "headline", "lm-math-ties", "--models", "all", "--models", "lm=other", "--out", "kept",
        "--data-dir", "data", "--tasks", "m3_gsm8k", "--draws", "3", "--seed", "5", "--limit", "8", "--device", "cuda",
        "--compute", "bfloat16", "--batch-size", "4", "--allow-code-execution", "--workers", "2", "--memory", "2GiB",
        "--threads", "3", "--keep-models", "--judge-url", "http://localhost:1/v1", "--judge-model", "m", "--yes",
    )  # fmt: skip
    assert code == 0, err
    assert called.pop("words") == ("headline", ["lm-math-ties"])
    assert isinstance(called.pop("judge"), ServerJudge)
    assert len(called.pop("listeners")) == 1
    assert called == {
        "out": "kept", "models": ["all", "lm=other"], "data_dir": "data", "tasks": ["m3_gsm8k"], "draws": 3, "seed": 5,
        "limit": 8, "device": "cuda", "compute": "bfloat16", "batch_size": 4, "allow_code_execution": True,
        "workers": 2, "memory": 2**31, "threads": 3, "keep_models": True,
    }  # fmt: skip
    assert err.splitlines() == [
        "LM & Math, TIES, with M³: merging",
        "LM & Math, TIES, with M³: GSM8K accuracy 20.0",
    ]
    assert out.splitlines() == [
        "LM & Math, TIES",
        "  measure           merge  published  measured here  95 % interval  items  difference",
        "  GSM8K accuracy  with M³       18.6           20.0   [10.0, 30.0]      8        +1.4",
        "  GSM8K accuracy, with M³ less without: +5.0 [-1.0, +11.0] here, +4.0 published",
        "",
        "the paper's numbers are published, not measured by us",
        "note      One ratio was drawn",
        "not run   lm-code-ties",
        "report    kept/report.html",
    ]


def test_quiet_and_stopped(cli: Cli, called: dict[str, Any]) -> None:
    assert cli("reproduce", "headline", "--out", "kept", "--quiet").err == ""
    called["raises"] = KeyboardInterrupt()
    code, out, err = cli("reproduce", "headline", "--out", "kept", "-q")
    assert (code, out) == (130, "")
    assert "the same command goes on" in err


def test_list(cli: Cli) -> None:
    code, out, _ = cli("reproduce")
    assert code == 0
    assert "published, not measured by us" in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "lm-code-ties-dare alpaca_eval 43.1 -> 45.6, humaneval 0.0 -> 26.8, mbpp 0.0 -> 33.2" in lines
    assert lines.count("lm-code-ties livebench_typos 12.0 -> 18.0") == 1
    assert lines.count("math-code-ties-dare gsm8k, math, humaneval, mbpp") == 1


def test_dry_run(cli: Cli, place: Path) -> None:
    """The models of other tests stand in for the paper's: their headers are all that is read."""
    words = ("--models", "base=./base", "--models", "lm=./expert-a", "--models", "math=./expert-b")
    code, out, err = cli("reproduce", "grid", "lm-math-ties", "--out", "kept", "--dry-run", *words)
    assert (code, err) == (0, "")
    assert "model     math: ./expert-b" in out
    assert "LM & Math, TIES, with M³ (lm-math-ties)" in out
    assert "kB read in 2 passes" in out
    assert "  score   GSM8K accuracy\n" in out
    assert "  not     AlpacaEval win rate: needs a judge: --judge-url and --judge-model" in out
    assert "free space, one merge at a time" in out
    assert not (place / "kept").exists()


def test_dry_run_tells_everything_that_is_wrong(cli: Cli, place: Path) -> None:
    (place / "data").mkdir()
    code, out, err = cli(
        "reproduce", "grid", "lm-math-ties", "--out", "base", "--dry-run", "--models", ".", "--data-dir", "data"
    )
    assert code == 2
    assert "GSM8K accuracy" in out
    assert err.splitlines()[-1] == "refused: 5 problems"
    for words in ("the model 'lm'", "the model 'math'", "data of m3_gsm8k", "data of m3_math", "other files"):
        assert words in err
    assert not (place / "base" / "reproduce.json").exists()


def test_dry_run_of_merges_that_are_refused(cli: Cli, place: Path) -> None:
    """Their models are here: it is the memory they may take that is too little."""
    words = ("--models", "base=./base", "--models", "lm=./expert-a", "--models", "math=./expert-b", "--memory", "1MB")
    code, out, err = cli("reproduce", "grid", "lm-math-ties", "--out", "kept", "--dry-run", "--device", "cudaa", *words)
    assert code == 2
    assert out.count("  merge   refused: why is told below") == 2
    assert "disk      not known: a merge is refused" in out
    assert "before the models are here" not in out
    assert "the work fits the memory budget" in err
    assert "did you mean 'cuda'?" in err
    assert err.splitlines()[-1] == "refused: 2 problems"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("headlines", "--out", "kept"), "did you mean 'headline'?"),
        (("headlines", "--print-recipes", "kept"), "did you mean 'headline'?"),
        (("headline", "lm-math-tie", "--out", "kept"), "did you mean 'lm-math-ties'?"),
        (("headline",), "say --out DIR"),
        (("headlines",), "refused: 2 problems"),
        (("headline", "--out", "kept", "--models", "nowhere"), "no such folder"),
        (("headline", "--out", "kept", "--memory", "much"), "a size is a number of bytes"),
        (("headline", "--out", "kept", "--judge-url", "http://localhost:1/v1"), "say both"),
    ],
)
def test_refusals(cli: Cli, place: Path, words: tuple[str, ...], told: str) -> None:
    before = sorted(place.iterdir())
    code, out, err = cli("reproduce", *words)
    assert (code, out) == (2, "")
    assert told in err
    assert sorted(place.iterdir()) == before


def test_print_recipes(cli: Cli, place: Path) -> None:
    code, out, _ = cli("reproduce", "headline", "--print-recipes", "recipes", "--seed", "4")
    assert code == 0
    assert out.splitlines()[:2] == ["recipes/lm-math-ties-without-m3.yaml", "recipes/lm-math-ties-with-m3.yaml"]
    assert len(list((place / "recipes").iterdir())) == 10
    code, _, err = cli("reproduce", "headline", "--print-recipes", "recipes")
    assert code == 2
    assert "recipes do not replace a file" in err
