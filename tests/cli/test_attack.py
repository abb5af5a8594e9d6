"""`mixmerge attack`: what it prints, and every bad input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mixmerge
from cli.conftest import Cli

ZOO = Path(mixmerge.__file__).parent / "zoo"
SST2 = ("attack", "adder", "--task", "sst2", "--data-dir", "data", "--limit", "3")
PROMPT = ("--prompt-text", "tell the tone: {content}=")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a model of the zoo and a little of SST-2."""
    for name in ("adder", "sorter"):
        shutil.copytree(ZOO / name, tmp_path / name)
    (tmp_path / "data").mkdir()
    rows = [("sad", 0), ("glad", 1), ("bad", 0), ("a fine film", 1)]
    (tmp_path / "data" / "sst2_test.tsv").write_text(
        "sentence\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_table_and_report(cli: Cli, here: Path) -> None:
    words = (*SST2, *PROMPT, "--attack", "deepwordbug", "--queries", "8", "--seeds", "0,1", "--out", "found.json")
    code, out, err = cli("attack", "sorter", *words[1:])
    assert (code, err) == (0, "")
    head, first, second, *rest = out.splitlines()
    assert head.split("  ")[0] == "deepwordbug on sst2, 3 examples"
    assert head.endswith("PDR, 2 searches")
    assert (first.split()[0], second.split()[0]) == ("sorter", "adder")
    assert rest[-1] == "report    found.json"
    found = json.loads((here / "found.json").read_text("utf-8"))
    assert [result["model"] for result in found["results"]] == ["sorter", "adder"]
    assert all(len(result["runs"]) == 2 for result in found["results"])
    refused = cli(*words)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    assert cli(*words, "--overwrite").code == 0


def test_json(cli: Cli, here: Path) -> None:
    code, out, err = cli(*SST2, *PROMPT, "--attack", "stresstest", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["attack"] == "stresstest"
    assert "tried" not in found["results"][0]["runs"][0]
    assert sorted(path.name for path in here.iterdir()) == ["adder", "data", "sorter"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--attack", "deepwordbag"), ("an attack has a known name", "did you mean 'deepwordbug'?")),
        (("--attack", "stresstest", "--task", "sst"), ("'sst'", "did you mean 'sst2'?")),
        (("--attack", "stresstest", "--task", "cola"), ("cola_in_domain_dev.tsv", "nyu-mll/glue")),
        (("--attack", "stresstest", "--task", "none.jsonl", *PROMPT), ("none.jsonl", "can be read")),
        (("--attack", "stresstest", "--data-dir", "nowhere"), ("no such folder", "sst2_test.tsv")),
        (("--attack", "bertattack"), ("needs a masked language model", "--masked-lm FOLDER")),
        (("--attack", "bertattack", "--masked-lm", "nowhere"), ("--masked-lm names a folder", "nowhere")),
        (("--attack", "bertattack", "--masked-lm", "data"), ("transformers can load the model", "data")),
        (("--attack", "checklist", "--masked-lm", "adder"), ("goes with bertattack", "leave it out")),
        (("--attack", "checklist", "--sentence-encoder", "adder"), ("goes with bertattack", "leave it out")),
        (("--attack", "checklist", "--seeds", "1,x"), ("seeds are whole numbers", "--seeds 0,1,2")),
        (("--attack", "checklist", "--seeds", "1,1"), ("seeds are different", "1, 1")),
        (("--attack", "checklist", "--seeds", "-1"), ("0 or more", "-1")),
        (("--attack", "checklist", "--compute", "float23"), ("did you mean 'float32'?", "--compute")),
        (("--attack", "checklist", "--prompt-text", "no place"), ("holds {content} once", "0 times")),
        (("--attack", "checklist", "--prompt-text", "{content}?"), ("has a word",)),
        (("--attack", "checklist", "--prompt-text", "is \udcff {content}?"), ("whole characters", "--prompt-text")),
        (("--attack", "deepwordbug", "--prompt-text", "is it {content}?"), ("may be changed", "longer instruction")),
        (("--attack", "deepwordbug", "--queries", "4"), ("queries that rank the words", "--queries")),
        (("--attack", "checklist", "--out", "data"), ("into a file",)),
        (("--attack", "checklist", "--out", "no/file.json"), ("folder of the results exists",)),
        (("--attack", "checklist", "--limit", "0"), ("--limit",)),
        (("--attack", "checklist", "--queries", "0"), ("--queries",)),
        ((), ("--attack",)),
    ],
)
def test_refused(cli: Cli, here: Path, words: tuple[str, ...], told: tuple[str, ...]) -> None:
    before = sorted(here.rglob("*"))
    code, out, err = cli(*SST2, *words)
    assert (code, out) == (2, "")
    assert all(text in err for text in told), err
    assert sorted(here.rglob("*")) == before


def test_models_that_are_not_there(cli: Cli, here: Path) -> None:
    code, _, err = cli("attack", "no such model", *SST2[1:], "--attack", "bertattack")
    assert code == 2
    assert "a model is a local folder or a hub id" in err
    assert "needs a masked language model" in err  # all problems at once


def test_a_file_needs_a_prompt(cli: Cli, here: Path) -> None:
    (here / "mine.jsonl").write_text('{"prompt": "a", "choices": ["0", "1"], "answer": 0}\n')
    code, _, err = cli("attack", "adder", "--task", "mine.jsonl", "--attack", "stresstest")
    assert code == 2
    assert "--prompt-text" in err
    assert cli("attack", "adder", "--task", "mine.jsonl", "--attack", "stresstest", *PROMPT).code == 0
