"""The judge of the alpaca_eval package, the package itself and a server on 127.0.0.1.

Where the package does not load these tests are skipped: it needs a setuptools that still has pkg_resources.
"""

from __future__ import annotations

import logging
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from evaluation.judging.conftest import Fake, said
from mixmerge.errors import MissingExtraError
from mixmerge.evaluation import BackendError, TaskError
from mixmerge.evaluation.judging import alpaca
from mixmerge.evaluation.judging.alpaca import AlpacaEvalJudge
from mixmerge.evaluation.judging.cost import Prices
from mixmerge.evaluation.judging.judge import Pair


@pytest.fixture
def package() -> None:
    for module in ("alpaca_eval", "pkg_resources"):
        if find_spec(module) is None:
            pytest.skip(f"no {module}")


CONFIG = """\
mini:
  prompt_template: "{folder}/prompt.txt"
  fn_completions: openai_completions
  completions_kwargs:
    model_name: gpt-4
    max_tokens: 5
    temperature: 0
    price_per_token: 0.0
    num_procs: 1
    openai_api_base: "{url}"
    openai_api_keys: ["sk-secret"]
  completion_parser_kwargs:
    outputs_to_match:
      1: '(?i)output \\(a\\)'
      2: '(?i)output \\(b\\)'
  batch_size: 1
"""
PROMPT = "<|im_start|>user\nRequest: {instruction}\n(a) {output_1}\n(b) {output_2}\n<|im_end|>"

PAIRS = [Pair(f"item {number}.", "x" * (1 + number % 7), "y" * 3) for number in range(14)]
LONGER = [0.5 if pair.answer == "xxx" else float(len(pair.answer) > 3) for pair in PAIRS]
PAIRS.append(Pair("item 0.", "same", "same"))
LONGER.append(0.5)


def longest(asked: dict[str, Any]) -> tuple[int, Any]:
    lines = asked["messages"][-1]["content"].split("\n")
    first, second = (len(line) for line in lines[-2:])
    return said(f"Output ({'a' if first > second else 'b'})", prompt_tokens=9, completion_tokens=3, total_tokens=12)


@pytest.fixture
def config(package: None, server: Fake, tmp_path: Path) -> str:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "configs.yaml").write_text(CONFIG.format(folder=folder, url=server.url))
    (folder / "prompt.txt").write_text(PROMPT)
    server.reply = longest
    return str(folder)


def test_scores_are_the_packages_preferences(config: str, server: Fake, tmp_path: Path) -> None:
    verdicts = tmp_path / "verdicts.json"
    judge = AlpacaEvalJudge(config, verdicts=verdicts, agree=lambda cost: True, prices=Prices(1.0, 1.0))
    cost = judge.cost(PAIRS)
    assert (cost.calls, cost.known, cost.completion_tokens) == (14, 0, 14 * 5)
    found = judge.compare(PAIRS)
    # The package has no verdict "tie": answers of equal length went to whoever stood second.
    assert [a for a, b in zip(found.scores, LONGER, strict=True) if b != 0.5] == [b for b in LONGER if b != 0.5]
    assert found.scores[-1] == 0.5
    assert (found.sent, found.known, found.unreadable) == (14, 0, 0)
    assert len(server.asked) == 14
    again = AlpacaEvalJudge(config, verdicts=verdicts)  # nothing is left to agree to
    assert again.compare(PAIRS).scores == found.scores
    assert (again.cost(PAIRS).calls, again.cost(PAIRS).known) == (0, 14)
    assert len(server.asked) == 14
    assert "secret" not in verdicts.read_text()
    assert judge.record()["judge"] == "alpaca_eval"


def test_a_reply_the_package_cannot_read_is_counted(config: str, server: Fake) -> None:
    server.reply = lambda asked: said("no idea", total_tokens=3, prompt_tokens=2, completion_tokens=1)
    found = AlpacaEvalJudge(config, agree=lambda cost: True).compare(PAIRS[:2])
    assert all(math.isnan(score) for score in found.scores)
    assert found.unreadable == 2


def test_nothing_is_sent_without_consent_and_faults_are_told(
    config: str, server: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter2hunter2")
    with pytest.raises(TaskError, match="1 call, about"):
        AlpacaEvalJudge(config).compare(PAIRS[:1])
    assert server.asked == []
    server.reply = lambda asked: (401, {"error": {"message": "wrong key hunter2hunter2", "code": "x"}})
    with pytest.raises(BackendError, match="alpaca_eval package gives verdicts") as caught:
        AlpacaEvalJudge(config, agree=lambda cost: True).compare(PAIRS[:1])
    assert "hunter2" not in str(caught.value)


def test_the_package_stays_quiet_and_leaves_the_root_logger_alone(
    config: str, server: Fake, capfd: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    AlpacaEvalJudge(config, agree=lambda cost: True).compare(PAIRS[:2])
    assert (root.level, root.handlers) == before
    assert capfd.readouterr() == ("", "")


def test_configurations_that_are_not_there_or_not_whole_are_told(package: None, tmp_path: Path) -> None:
    assert AlpacaEvalJudge("chatgpt_fn").cost(PAIRS).completion_tokens == 14 * 50
    with pytest.raises(TaskError, match="did you mean 'chatgpt_fn'"):
        AlpacaEvalJudge("chatgtp_fn")
    (tmp_path / "configs.yaml").write_text("mini: {prompt_template: nowhere.txt}")
    with pytest.raises(TaskError, match="can be used"):
        AlpacaEvalJudge(str(tmp_path))


def test_a_package_that_does_not_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        def load(wanted: str) -> Any:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return load

    monkeypatch.setattr(alpaca, "import_module", absent("alpaca_eval"))
    with pytest.raises(MissingExtraError, match="extra 'judge'"):
        AlpacaEvalJudge("chatgpt_fn")
    monkeypatch.setattr(alpaca, "import_module", absent("pkg_resources"))
    with pytest.raises(TaskError, match="setuptools<81"):
        AlpacaEvalJudge("chatgpt_fn")
