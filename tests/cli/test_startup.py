"""The quick start of commands leaves nothing behind: garbage is collected, and the environment is the person's."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Cli
from mixmerge import api
from mixmerge.startup import quick_loading

THREADS = "OPENBLAS_NUM_THREADS"


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (THREADS, "GOTO_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def _load_what_is_not_there() -> None:
    with quick_loading():
        with quick_loading():
            assert not gc.isenabled()
        assert not gc.isenabled()
        assert os.environ[THREADS] == "1"
        raise ImportError


@pytest.mark.parametrize("collecting", [True, False])
def test_all_is_as_before_when_modules_are_loaded_or_fail_to(collecting: bool, monkeypatch) -> None:
    before = dict(os.environ)
    (gc.enable if collecting else gc.disable)()
    try:
        with pytest.raises(ImportError):
            _load_what_is_not_there()
        assert gc.isenabled() is collecting
        assert dict(os.environ) == before
    finally:
        gc.enable()


@pytest.mark.parametrize("name", [THREADS, "GOTO_NUM_THREADS", "OMP_NUM_THREADS"])
def test_what_the_person_set_holds(name: str, monkeypatch) -> None:
    monkeypatch.setenv(name, "3")
    before = dict(os.environ)
    with quick_loading():
        assert dict(os.environ) == before
    assert dict(os.environ) == before


@pytest.mark.parametrize(("words", "work"), [
    (["merge", "recipe.yaml", "out"], "merge"), (["plan", "recipe.yaml"], "plan"), (["verify", "out"], "verify"),
])  # fmt: skip
@pytest.mark.usefixtures("place")
def test_garbage_is_collected_while_a_command_works(words: list[str], work: str, cli: Cli, monkeypatch) -> None:
    seen = []

    def stopped(*_: Any, **__: Any) -> None:
        seen.append((gc.isenabled(), THREADS in os.environ))
        raise KeyboardInterrupt

    monkeypatch.setattr(api, work, stopped)
    assert cli(*words).code == 130
    assert seen == [(True, False)]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not tell of threads")
def test_no_thread_is_started_for_linear_algebra() -> None:
    code = (
        "import os; from mixmerge.startup import quick_loading\n"
        "with quick_loading(): import numpy\n"
        "print(len(os.listdir('/proc/self/task')))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "1\n"


def test_what_was_printed_and_the_exit_code_survive_a_quick_end(place: Path) -> None:
    words = [sys.executable, "-m", "mixmerge", "plan", "recipe.yaml", "--json"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("}\n")
    done = subprocess.run([*words, "--out", "base"], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "refused: 1 problem" in done.stderr


UNUSED = ("checkpoint.lora", "checkpoint.lora_reader", "recipe.study", "recipe.tokenizer", "tokens.check")


def test_what_a_plain_merge_does_not_use_is_not_loaded(place: Path) -> None:
    code = (
        "import sys; from mixmerge.cli import run; code = run(sys.argv[1:])\n"
        f"print([name for name in {UNUSED!r} if f'mixmerge.{{name}}' in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    words = [sys.executable, "-c", code, "merge", "recipe.yaml", "out", "-q"]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
