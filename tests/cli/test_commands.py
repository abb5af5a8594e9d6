"""The table of commands, what starting up imports, help, version, methods, colours."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.conftest import Cli
from mixmerge.cli import COMMANDS, failures, terminal
from mixmerge.cli.tables import table
from mixmerge.methods import METHODS, method_names

HEAVY = (
    "numpy",
    "numba",
    "scipy",
    "torch",
    "transformers",
    "huggingface_hub",
    "rich.progress",
    "yaml",
    "optuna",
    "typer",
    "pydantic",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str, cli: Cli) -> None:
    module, _, function = COMMANDS[name].target.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    code, out, err = cli(name, "--help")
    assert (code, err) == (0, "")
    assert f"mixmerge {name}" in out


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["merge", "--help"], ["explore", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys, json; from mixmerge.cli import run; run(sys.argv[1:]);"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == []
    assert done.stdout


def test_started_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "mixmerge", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mixmerge ")
    failed = subprocess.run([sys.executable, "-m", "mixmerge", "nothing"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2


def test_help_lists_every_command(cli: Cli) -> None:
    code, out, _ = cli("--help")
    assert code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name}" in out
        assert entry.summary.split()[0] in out
    assert "mixmerge COMMAND --help" in cli()[1] + cli()[2]  # no words at all: the same


def test_methods_are_explained_from_their_declarations(cli: Cli) -> None:
    _, listing, _ = cli("methods")
    for name in method_names():
        assert f"\n{name} " in "\n" + listing
        code, out, _ = cli("methods", name)
        assert code == 0
        for method in (method for (_, known), method in METHODS.items() if known == name):
            assert f"{name}, dialect {method.dialect}" in out
            assert method.formula in out
            assert method.citation in out
            for parameter in method.parameters:
                assert f"  {parameter.name}: " in out


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        with monkeypatch.context() as patch:
            patch.setenv("TERM", "xterm")
            patch.delenv("NO_COLOR", raising=False)
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stderr", _Screen())
            assert (terminal.painted("x", "red") != "x") == coloured
    assert terminal.painted("x", "red") == "x"


def test_stopped_without_a_cure(capsys: pytest.CaptureFixture[str]) -> None:
    assert failures.exit_code(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_table() -> None:
    assert table([["a", "b"], ["long", "1"]], indent=" ") == " a     b\n long  1"


def test_docs_page_of_methods_is_what_the_command_prints(cli: Cli) -> None:
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    assert cli("methods", "--markdown").out == page.read_text("utf-8"), (
        "run: mixmerge methods --markdown > docs/methods.md"
    )
