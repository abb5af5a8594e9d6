"""The three files of a report, written so that a reader never meets half of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixmerge.fileio import atomic_write
from mixmerge.report.check import validate
from mixmerge.report.markdown import markdown
from mixmerge.report.page import html


def build(summary: Mapping[str, Any], folder: Path) -> None:
    """Write report.json, report.md and report.html into an existing folder, each whole or not at all.

    All three are made before the first is written. Raises ReportError where the summary breaks the schema,
    MissingExtraError without Jinja (nothing is written then), OSError as the system does.
    """
    validate(summary)
    texts = {
        "report.json": json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": markdown(summary),
        "report.html": html(summary),
    }
    for name, text in texts.items():
        atomic_write(folder / name, text.encode("utf-8", "backslashreplace"))
