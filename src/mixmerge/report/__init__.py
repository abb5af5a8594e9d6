"""The report of a study: report.html, report.md and report.json from one plain summary.

The summary is the JSON data that `schema` defines. This room turns it into pages; it knows nothing of merging,
sampling or scoring, and imports neither torch nor Optuna.
"""

from __future__ import annotations

from mixmerge.report.check import ReportError, validate
from mixmerge.report.files import build
from mixmerge.report.markdown import markdown
from mixmerge.report.page import html
from mixmerge.report.schema import VERSION

__all__ = ["VERSION", "ReportError", "build", "html", "markdown", "validate"]
