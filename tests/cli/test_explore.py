"""mixmerge explore, export and demo: each is one call of the library; what comes back is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.conftest import Cli
from mixmerge import study
from mixmerge.cli import live_table

SUMMARY: dict[str, Any] = {
    "test": {
        "winner": {"add": {"mean": 0.9, "low": 0.85, "high": 0.95, "n": 100}},
        "expert-a": {"add": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 100}, "sort": {"mean": 1, "low": 1, "high": 1}},
    },
    "spread": {"add": {"mean": 0.6, "sd": 0.1, "n": 8}},
    "optimism": {"add": {"validation": 0.92, "test": 0.9, "difference": 0.02}},
    "verdict": {"sentence": "The winner is better than the equal ratio.", "strength": "better"},
    "trials": [{"number": 3, "ratio": [0.25, 0.75]}],
    "winner": 3,
    "law": {"sources": ["expert-a", "expert-b"]},
    "command": "mixmerge export elsewhere OUT --trial 3",
}


def called_with(monkeypatch: pytest.MonkeyPatch, name: str, answer: Any) -> dict[str, Any]:
    """Replace a function of the library; returns what it is called with, once it is."""
    seen: dict[str, Any] = {}

    def fake(*words: Any, **options: Any) -> Any:
        seen.update(options, words=words)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(study, name, fake)
    return seen


def test_explore(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = called_with(monkeypatch, "explore", SimpleNamespace(summary=SUMMARY))
    code, out, err = cli(
        "explore", "recipe.yaml", "study", "--tasks", "a.jsonl", "b.jsonl", "--draws", "8", "--weight", "a=2",
        "--vary", "density=0.2,0.8", "--vary", "method=ties,linear", "--race", "--memory", "2GiB",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert seen["words"] == ("recipe.yaml", ["a.jsonl", "b.jsonl"])
    assert seen["folder"] == "study"
    assert seen["weights"] == {"a": 2.0}
    assert seen["vary"] == {"density": [0.2, 0.8], "method": ["ties", "linear"]}
    assert seen["race"] is True
    assert seen["memory"] == 2**31
    assert (seen["draws"], seen["sampler"], len(seen["listeners"])) == (8, None, 2)
    assert "winner         90.0 [85.0, 95.0]" in out
    assert "100.0 [100.0, 100.0]" in out
    assert "60.0 ± 10.0 (mean ± sd of 8 draws on validation)" in out
    assert "optimism  add: +2.0" in out
    assert "verdict   The winner is better than the equal ratio." in out
    assert "winner    draw 3: 0.25 expert-a, 0.75 expert-b" in out
    assert "again     mixmerge export study OUT --trial 3" in out
    assert out.endswith("report    study/report.html\n")


def test_what_is_not_said_is_left_to_the_recipe(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = called_with(monkeypatch, "explore", SimpleNamespace(summary=SUMMARY))
    assert cli("explore", "recipe.yaml", "study").code == 0
    said = {name for name, value in seen.items() if value is not None}
    assert said == {"words", "folder", "memory", "listeners"}
    assert seen["words"] == ("recipe.yaml", None)
    words = ("--no-race", "--backend", "openai", "--serve", "vllm serve {model}", "--url", "http://x/v1", "--ray",
             "auto", "--ray-gpus", "0.5", "--allow-task-code", "--serve-timeout", "30",
             "--batch-size", "4")  # fmt: skip
    assert cli("explore", "recipe.yaml", "study", *words).code == 0
    assert (seen["race"], seen["backend"], seen["serve"]) == (False, "openai", "vllm serve {model}")
    assert (seen["ray"], seen["ray_gpus"], seen["ray_cpus"], seen["serve_timeout"]) == ("auto", 0.5, None, 30.0)
    assert (seen["allow_task_code"], seen["batch_size"], seen["url"]) == (True, 4, "http://x/v1")
    words = (
        "--tasks",
        "m3_gsm8k",
        "--prompt",
        "vicuna",
        "--data-dir",
        "data",
        "--limit",
        "8",
        "--allow-code-execution",
    )
    assert cli("explore", "recipe.yaml", "study", *words).code == 0
    assert (seen["prompt"], seen["data_dir"], seen["limit"]) == ("vicuna", "data", 8)
    assert seen["allow_code_execution"] is True


def test_explore_with_robustness(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked, and the tables of what came out; a model that is never right has no drop rate."""
    score = {"mean": 0.75, "low": 0.7, "high": 0.8, "n": 40}
    rate = {"mean": 0.125, "low": 0.05, "high": 0.2, "n": 40}
    found = {"clean": score, "attacked": score, "pdr": rate}
    more = {
        "ood": {"test": {"winner": {"flip": score}}},
        "attacks": [
            {"attack": "checklist", "task": "sst2", "merges": {"winner": found, "base": found | {"pdr": None}}}
        ],
    }
    seen = called_with(monkeypatch, "explore", SimpleNamespace(summary=SUMMARY | more))
    words = ("--ood", "c.jsonl", "--ood", "d.jsonl", "--attack", "deepwordbug", "--attack", "checklist",
             "--attack-task", "sst2", "--attack-data", "data", "--attack-limit", "40", "--attack-queries", "60",
             "--attack-seeds", "3,4", "--attack-prompt", "{content}?", "--masked-lm", "bert",
             "--weight", "pdr=0.5")  # fmt: skip
    code, out, err = cli("explore", "recipe.yaml", "study", "--tasks", "a.jsonl", "b.jsonl", *words)
    assert (code, err) == (0, "")
    assert seen["words"] == ("recipe.yaml", ["a.jsonl", "b.jsonl"])
    assert (seen["ood"], seen["attacks"]) == (["c.jsonl", "d.jsonl"], ["deepwordbug", "checklist"])
    assert (seen["attack_tasks"], seen["attack_data"], seen["masked_lm"]) == (["sst2"], "data", "bert")
    assert (seen["attack_limit"], seen["attack_queries"], seen["attack_seeds"]) == (40, 60, [3, 4])
    assert (seen["attack_prompt"], seen["weights"]) == ("{content}?", {"pdr": 0.5})
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "out of distribution flip" in rows
    assert "checklist on sst2 clean attacked PDR" in rows
    assert "winner 75.0 [70.0, 80.0] 75.0 [70.0, 80.0] 12.5 [5.0, 20.0]" in rows
    assert "base 75.0 [70.0, 80.0] 75.0 [70.0, 80.0]" in rows


def test_a_study_said_in_the_recipe_alone(cli: Cli, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The section's mistakes are told by line; the command line wins over it."""
    text = (place / "recipe.yaml").read_text()
    (place / "study.yaml").write_text(text + "study:\n  tasks: [a.jsonl]\n  drawz: 3\n  sampler: sobl\n  serve: rm\n")
    code, _, err = cli("explore", "study.yaml", "study")
    assert code == 2
    for told in ("study.yaml:13 (study.drawz)", "did you mean 'draws'?", "study.yaml:14 (study.sampler)",
                 "study.yaml:15 (study.serve)", "a recipe starts no program"):  # fmt: skip
        assert told in err
    (place / "study.yaml").write_text(text + "study: {tasks: [none.jsonl], sampler: tpe, race: true}\n")
    code, _, err = cli("explore", "study.yaml", "study")
    assert (code, "racing compares draws" in err) == (2, True)
    code, _, err = cli("explore", "study.yaml", "study", "--no-race")
    assert (code, "none.jsonl" in err) == (2, True)
    code, out, _ = cli("plan", "study.yaml")
    assert code == 0
    assert "study.yaml:11 (study): no effect on a merge: `mixmerge explore` reads it" in " ".join(out.split())
    assert not (place / "study").exists()


@pytest.mark.parametrize("typed", ["deep/er/st", "st/", "a study; rm x", "."])
def test_the_winner_is_made_again_from_the_folder_as_it_was_typed(
    typed: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    called_with(monkeypatch, "explore", SimpleNamespace(summary=SUMMARY))
    out = cli("explore", "recipe.yaml", typed, "--tasks", "a").out
    (again,) = [line for line in out.splitlines() if line.startswith("again ")]
    assert shlex.split(again.removeprefix("again")) == ["mixmerge", "export", typed, "OUT", "--trial", "3"]


def test_explore_without_a_winner(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SUMMARY | {"test": {}, "spread": {}, "optimism": {}, "winner": None, "command": None}
    called_with(monkeypatch, "explore", SimpleNamespace(summary=nothing))
    code, out, _ = cli("explore", "recipe.yaml", "study", "--tasks", "a")
    assert code == 0
    assert out.splitlines()[0].startswith("verdict")
    several = SUMMARY | {"trials": [{"number": 3, "ratio": None}]}
    called_with(monkeypatch, "explore", SimpleNamespace(summary=several))
    assert "winner    draw 3\n" in cli("explore", "recipe.yaml", "study", "--tasks", "a").out


@pytest.mark.parametrize(
    "words",
    [
        ("explore", "recipe.yaml", "study", "more"),
        ("explore", "recipe.yaml", "study", "--tasks", "a", "--weight", "a"),
        ("explore", "recipe.yaml", "study", "--tasks", "a", "--weight", "a=b"),
        ("explore", "recipe.yaml", "study", "--tasks", "a", "--vary", "density"),
        ("explore", "recipe.yaml", "study", "--tasks", "a", "--attack-seeds", "one"),
        ("explore", "recipe.yaml", "study", "--tasks", "a", "--memory", "1"),
        ("export", "nowhere", "out", "--trial", "-1"),
    ],
)
def test_wrong_words(words: tuple[str, ...], cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if "1" in words:
        words = (*words[:-1], "1X")
    monkeypatch.chdir(tmp_path)
    assert cli(*words).code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("--backend", "openai", "--serve", "vllm serve {model} --port {port} --api-key hunter2"), "--serve"),
        (("--backend", "openai", "--serve", "env HF_TOKEN=hunter2 vllm serve {model} --port {port}"), "--serve"),
        (("--backend", "openai", "--serve", "vllm serve --api-key=hunter2"), "--serve"),
        (("--backend", "openai", "--serve", "serve {model}", "--url", "http://me:hunter2@host/v1"), "--url"),
        (("--storage", "postgresql://me:hunter2@host/studies"), "--storage"),
        (("--draws", "none", "--storage", "postgresql://me:hunter2@host/studies"), "--storage"),
        (("--tasks", "https://me:hunter2@host/a.jsonl"), "https:"),
    ],
)
def test_no_secret_is_kept_or_said_again(words: tuple[str, ...], place: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("merge_method: linear\nmodels: [{model: a}, {model: b}]\nmixup: {alpha: 1}\n")
    before = sorted(tmp_path.rglob("*"))
    code, out, err = cli("explore", str(tmp_path / "recipe.yaml"), str(tmp_path / "s"), "--tasks", "a.jsonl", *words)
    assert code == 2
    assert place in err
    assert "hunter2" not in out + err
    assert sorted(tmp_path.rglob("*")) == before


def test_stopped(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, words in (("explore", ("explore", "r", "s", "--tasks", "a")), ("demo", ("demo",))):
        called_with(monkeypatch, name, KeyboardInterrupt())
        code, _, err = cli(*words)
        assert code == 130
        assert "goes on" in err


def test_export(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = called_with(monkeypatch, "export", [Path("out/a"), Path("out/b")])
    monkeypatch.setattr("mixmerge.study.exporting.unproved", lambda folder, trial: None)
    code, out, _ = cli("export", "study", "out", "--trial", "4", "--push-to-hub", "me/model")
    assert (code, out) == (0, "out/a\nout/b\n")
    assert seen["words"] == ("study", "out")
    assert (seen["trial"], seen["push_to_hub"], seen["pareto"], seen["private"]) == (4, "me/model", False, False)
    assert cli("export", "study", "out", "--push-to-hub", "me/model", "--private").code == 0
    assert seen["private"] is True
    code, _, err = cli("export", "study", "out", "--private")
    assert code == 2
    assert "--private goes with --push-to-hub" in err


def test_demo(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    estimate = SimpleNamespace(mean=0.8, low=0.75, high=0.85, n=200)
    pair = SimpleNamespace(
        name="adder + sorter", ratio=(0.4, 0.6), scores={"winner": estimate, "equal": estimate}, spread=(0.5, 0.1),
        optimism=0.01, loaded=0.8, verdict="No difference can be shown.", winner=Path("d/w"), report=Path("d/r.html"),
    )  # fmt: skip
    cells = tuple(
        SimpleNamespace(pair="adder + sorter", dare=dare, m3=m3, single=(0.5, 0.1) if m3 else None, chosen=estimate)
        for dare in (False, True)
        for m3 in (False, True)
    )
    found = SimpleNamespace(
        pairs=(pair,), two_by_two=cells, draws=16, winner=Path("d/w"), report=Path("d/r.html"), seconds=61.2
    )
    seen = called_with(monkeypatch, "demo", found)
    code, out, err = cli("demo", "--out", "d", "--overwrite")
    assert (code, err) == (0, "")
    assert seen["words"] == ("d",)
    assert (seen["draws"], seen["seed"], seen["overwrite"]) == (16, 0, True)
    for text in ("best of 16 draws is ratio 0.4, 0.6", "winner          80.0   [75.0, 85.0]",
                 "loaded again by transformers: 80.0",
                 "No difference can be shown.", "with DARE, with M³", "50.0 ± 10.0",
                 "single draws, on validation  best of 16 draws, on test"):  # fmt: skip
        assert text in out
    assert out.endswith("time      61 s\nwinner    d/w\nreport    d/r.html\n")


def test_live_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(live_table, "is_terminal", lambda: True)
    with live_table.watched(quiet=True) as listeners:
        assert len(listeners) == 1, "for Control-C only"
    with live_table.watched(quiet=False) as (tell, _):
        tell(study.Stage("baselines"))
        tell(study.StudyStarted("s", 4, 0, "sobol", ("a",), ("x", "y"), ("through a temporary checkpoint",)))
        tell(study.Proving("equal", "validation"))
        for number in range(3):
            tell(study.TrialStarted(number, 4))
            tell(done(number))
        tell(study.Proving("winner", "test"))
    _, err = capsys.readouterr()
    assert "note: through a temporary checkpoint" in err
    assert "scoring winner on the test items" in err
    assert "3 of 4 draws, best 0.7500 (draw 1), 2.0 s a draw, 00:01:05 left" in " ".join(err.split())
    assert "0.25, 0.75" in err


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """As in the log of a batch system: what is done, a line a draw, and nothing that a screen would obey."""
    with live_table.watched(quiet=True) as listeners:
        assert len(listeners) == 1, "for Control-C only"
    with live_table.watched(quiet=False) as (tell, _):
        tell(study.Stage("base\x1b[2J"))
        tell(study.StudyStarted("s", 4, 0, "sobol", ("a",), ("x", "y"), ("through a temporary checkpoint",)))
        for number in range(3):
            tell(study.TrialStarted(number, 4))
            tell(done(number))
        tell(study.Proving("winner", "test"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "base\\x1b[2J",
        "note: through a temporary checkpoint",
        "draw 0: ratio 0.25, 0.75; 0.7500; 1 of 4 draws, best 0.7500 (draw 1), 2.0 s a draw",
        "draw 1: ratio 0.25, 0.75; 0.7500; 2 of 4 draws, best 0.7500 (draw 1), 2.0 s a draw, 00:01:05 left",
        "draw 2: ratio 0.25, 0.75; out of memory; 3 of 4 draws, best 0.7500 (draw 1), 2.0 s a draw, 00:01:05 left",
        "scoring winner on the test items",
    ]


def test_more_than_a_day_left() -> None:
    assert [live_table.clock(seconds) for seconds in (0.4, 65.0, 90_061.0)] == ["00:00:00", "00:01:05", "25:01:01"]


def done(number: int) -> study.TrialDone:
    failed = number == 2
    return study.TrialDone(
        number, 4, number + 1, "failed" if failed else "complete", {"model": (0.25, 0.75)}, {"a": 0.75},
        None if failed else 0.75, 0.75, 1, 2.0, 65.0 if number else None, "out of memory" if failed else "",
    )  # fmt: skip


def test_ratio_of_groups() -> None:
    groups = done(0)
    object.__setattr__(groups, "ratios", {"a": (0.5, 0.5), "b": (0.5, 0.5)})
    assert live_table.ratio_text(groups) == "2 groups"
    object.__setattr__(groups, "ratios", {})
    assert live_table.ratio_text(groups) == ""
