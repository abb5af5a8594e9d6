"""Output streams as shells make them: pipes that nobody reads, closed ones, full disks, terminals that lack signs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mixmerge.cli import terminal

PROGRAM = f"{sys.executable} -m mixmerge"


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh; its exit code, and what reached stdout and stderr."""
    environment = os.environ | variables
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("words", ["--help", "methods", "methods --markdown", "reproduce"])
def test_a_reader_that_goes_away_is_no_failure_to_tell(words: str) -> None:
    """A pipe whose reading end is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "mixmerge", *words.split()]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("line", "code"),
    [("methods >&-", 0), ("methods tise 2>&-", 2), ("methods >&- 2>&-", 0), ("methods tise >&- 2>&-", 2)],
)
def test_closed_streams(line: str, code: int) -> None:
    done = shell(f"{PROGRAM} {line}")
    assert done.returncode == code
    assert "Traceback" not in done.stdout + done.stderr
    assert "no method" not in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk() -> None:
    done = shell(f"{PROGRAM} methods > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "failed: [Errno 28] No space left on device (--debug shows where)\n"


def test_a_terminal_that_lacks_signs() -> None:
    done = shell(f"{PROGRAM} reproduce", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "with M\\xb3, published" in done.stdout


def test_width(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terminal.width() == terminal.WIDTH  # no terminal
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    for columns, width in (("300", terminal.WIDTH), ("80", 79), ("10", 40)):
        monkeypatch.setenv("COLUMNS", columns)
        assert terminal.width() == width


def test_a_pipe_that_breaks_elsewhere_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A BrokenPipeError may come from a connection as well: then stdout is still read."""
    from mixmerge import cli
    from mixmerge.cli import methods_text

    def broken() -> str:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(methods_text, "listing", broken)
    assert cli.run(["methods"]) == 1
    assert "failed: [Errno 32] Broken pipe" in capsys.readouterr().err
