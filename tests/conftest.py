"""What every folder of tests shares."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from mixmerge.fileio import processors

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # models this small are slower on several cores, and several tests share them
os.environ.pop("MIXMERGE_NUMPY", None)

settings.register_profile("mixmerge", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("mixmerge")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: every processor this run may use, to eight. xdist alone counts cores, also foreign ones."""
    return min(processors(), 8)
