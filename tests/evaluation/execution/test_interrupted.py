"""Whoever asked is interrupted or killed while programs run: nothing goes on running, whatever the machine has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.execution.conftest import running
from mixmerge.evaluation.execution import walls

ENDLESS = Path(__file__).with_name("endless_programs.py")
AT_ONCE = 16  # processes: two programs of eight, beside those that watch them


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
@pytest.mark.parametrize("calls", [[], ["unshare"]], ids=["all walls", "no namespaces"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_goes_on(
    number: signal.Signals, calls: list[str], programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, str(ENDLESS), *calls]
    environment = {**os.environ, "TMPDIR": str(programs)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as asker:
        try:
            assert asker.stdout is not None
            if asker.stdout.readline() != b"()\n":
                pytest.skip("this machine has no other walls")
            assert _until(lambda: len(running(programs)) > AT_ONCE, 300)
            asker.send_signal(number)
            asker.communicate(timeout=300)  # its programs may take forty minutes
        finally:
            asker.kill()
    assert _until(lambda: running(programs) == [], 60)
    if number == signal.SIGKILL:  # which leaves empty folders, for the next process to remove
        left = list(programs.iterdir())
        assert left
        for folder in left:
            os.utime(folder, (0, 0))
        monkeypatch.setenv("TMPDIR", str(programs))
        monkeypatch.setattr(tempfile, "tempdir", None)
        walls.__wrapped__()
        assert list(programs.iterdir()) == []


def _until(met: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
