"""Temporary folders: in use as long as their process lives, swept once it died, and nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mixmerge.temporary import SETTLED, held, sweep

pytestmark = pytest.mark.skipif(os.name != "posix", reason="folders are locked on POSIX systems")

PREFIX = "mixmerge-test-"
MAKER = f"""
import pathlib, sys
from mixmerge.temporary import held
with held("{PREFIX}") as folder:
    for name in sys.argv[1:]:
        (pathlib.Path(folder) / name).mkdir()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and of those it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def age(folder: Path | str) -> None:
    stamp = os.stat(folder).st_mtime - 2 * SETTLED
    os.utime(folder, (stamp, stamp))


def of_the_dead(*names: str) -> Path:
    """A folder whose process was killed while it was in use; until then nobody could sweep it."""
    with subprocess.Popen(
        [sys.executable, "-c", MAKER, *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        age(folder)
        assert sweep(folder.name, re.compile(".*")) == []
        process.kill()
    return folder


def test_what_the_dead_left_is_removed(place: Path) -> None:
    folder = of_the_dead()
    assert folder.parent == Path(os.path.realpath(place))
    assert sweep(PREFIX) == [str(place / folder.name)]
    assert list(place.iterdir()) == []


def test_contents_are_removed_where_all_of_them_are_known(place: Path) -> None:
    known, strange = of_the_dead("process-7"), of_the_dead("process-8", "thesis")
    (known / "process-7" / "model").write_text("weights")
    age(known)
    age(strange)
    assert sweep(PREFIX) == []
    assert sweep(PREFIX, re.compile(r"process-\d+")) == [str(place / known.name)]
    assert sorted(path.name for path in strange.iterdir()) == ["process-8", "thesis"]


def test_a_folder_in_use_is_left_and_gone_with_its_context(place: Path) -> None:
    with held(PREFIX) as folder:
        age(folder)
        assert sweep(PREFIX) == []
        os.rmdir(folder)
    assert list(place.iterdir()) == []


def test_young_folders_links_and_other_names_are_left(place: Path) -> None:
    """A young one may be about to be locked."""
    young, other, target = place / f"{PREFIX}young", place / "mixmerge-other", place / "target"
    for folder in (young, other, target):
        folder.mkdir()
    (place / f"{PREFIX}link").symlink_to(target)
    (place / f"{PREFIX}file").write_text("")
    for path in (other, target, place / f"{PREFIX}file"):
        age(path)
    assert sweep(PREFIX) == []
    age(young)
    assert sweep(PREFIX) == [str(young)]
    assert len(list(place.iterdir())) == 4
