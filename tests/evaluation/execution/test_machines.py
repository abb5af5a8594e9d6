"""Which walls stand where the kernel refuses some means, and that hostile programs fail there too, or are not run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.execution.conftest import running
from mixmerge.evaluation.execution import walls
from mixmerge.evaluation.execution.confinement import NEEDED, Confinement

POORER = Path(__file__).with_name("poorer_machine.py")
ENDS = {
    "right": ["passed"],
    "writes": ["failed"],
    "deletes": ["failed"],
    "connects": ["failed"],
    "kills": ["failed"],
    "bomb": ["timeout", "crashed"],
    "deep": ["passed", "timeout"],
    "fills": ["failed"],
    "daemon": ["passed"],
}


def told(place: Path, *calls: str) -> dict[str, Any]:
    """What a process says that may not make these system calls, having run the hostile programs."""
    environment = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, "-W", "error", str(POORER), *calls]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    assert running(place) == []
    assert list(place.iterdir()) == []
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("programs")
def test_all_means_together() -> None:
    found = walls()
    assert found.missing == ()
    assert set(found.as_json()) == {*NEEDED, "reading"}
    assert found is walls()


@pytest.mark.parametrize("calls", [["unshare"], ["landlock_create_ruleset"]], ids=["no namespaces", "no Landlock"])
def test_walls_stand_without(calls: list[str], programs: Path) -> None:
    found = told(programs, *calls)
    if "refused" in found:  # a machine that has the other means neither
        pytest.skip(found["refused"])
    assert all(found["walls"][name] for name in NEEDED)
    assert [name for name, reasons in ENDS.items() if found["outcomes"][name] not in reasons] == []
    assert found["whole"]


def test_nothing_is_run_without_any(programs: Path) -> None:
    found = told(programs, "unshare", "landlock_create_ruleset")
    assert found["walls"]["files"] == []
    assert "no wall against writing and deleting files" in found["refused"]
    assert "fix:   use Linux 5.13 or later" in found["refused"]
    assert found["whole"]


def test_a_wall_is_named_with_what_holds_it_up() -> None:
    found = Confinement({**dict.fromkeys(NEEDED, ("Landlock",)), "network": ()})
    assert found.missing == ("network",)
    assert "files (Landlock); network (NO WALL)" in str(found)
