"""What every folder of tests shares."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("MIXMERGE_NUMPY", None)

settings.register_profile("mixmerge", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("mixmerge")
