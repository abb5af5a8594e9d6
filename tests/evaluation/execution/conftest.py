"""A folder of its own for every test's programs, and a look afterwards at what they left behind."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixmerge.evaluation.execution import walls

behind_walls = pytest.mark.skipif(
    os.name != "posix" or bool(walls().missing), reason="this machine has no walls to run programs behind"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "programs" in getattr(item, "fixturenames", ()):
            item.add_marker(behind_walls)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where folders of programs are made. Afterwards none is left, and no process that was started for one."""
    place = tmp_path / "programs"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []
    deadline = time.monotonic() + 60  # a busy machine ends processes late
    while (left := running(place)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left == []


def running(place: Path) -> list[str]:
    """Command lines, with their number, of processes that name the folder."""
    found = []
    for number in filter(str.isdecimal, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            line = Path(f"/proc/{number}/cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(place) in line:
            found.append(f"{number} {line!r}")
    return found
