"""The package's version: its metadata are built with it, and merges and studies record it. Knows nothing else."""

from __future__ import annotations

__version__ = "0.1.0"
