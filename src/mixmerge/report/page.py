"""report.html: one file that asks nothing of any network, from templates that escape whatever they are given.

Styles and script are written into the page; a content security policy allows that script alone and no requests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from mixmerge.errors import extra_missing, legible
from mixmerge.report.check import studies_of, validate
from mixmerge.report.grids import grid_view
from mixmerge.report.panels import panels_of
from mixmerge.report.svg import Svg
from mixmerge.report.views import study_views
from mixmerge.report.wording import GLOSSARY

if TYPE_CHECKING:
    from jinja2 import Environment


def html(summary: Mapping[str, Any]) -> str:
    """The page of a report. Raises ReportError where it breaks the schema, MissingExtraError without Jinja."""
    validate(summary)
    studies = study_views(studies_of(summary))
    script = _own("script.js")
    many = "studies" in summary
    grids = list(summary.get("grids", [])) if many else []
    page: str = (
        _environment()
        .get_template("report.html.j2")
        .render(
            summary=summary,
            many=many,
            title=summary["title"] if many else summary["name"],
            studies=studies,
            grids=[grid_view(grid) for grid in grids],
            study_grids={view.key: [grid_view(grid) for grid in view.study.get("grids", [])] for view in studies},
            panels={view.key: panels_of(view.study) for view in studies},
            environment=summary["environment"],
            glossary=GLOSSARY,
            style=_own("style.css"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )
    return legible(page)  # a name that turns the direction of writing would turn what stands behind it


def _environment() -> Environment:
    try:
        from jinja2 import BaseLoader, Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise extra_missing("study", "jinja2", "the HTML report") from error
    loader: BaseLoader = FunctionLoader(lambda name: str(_own(name)))
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _own(name: str) -> Svg:
    """A file of ours that needs no escaping."""
    return Svg(files("mixmerge.report").joinpath("templates", name).read_text(encoding="utf-8"))
