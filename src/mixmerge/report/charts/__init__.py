"""The drawings of a report. Each is a function of a study and a width in CSS pixels, and returns SVG.

Two widths are drawn for every page and the page shows the one that fits: text keeps its size on a phone.
"""

from __future__ import annotations

from mixmerge.report.charts.forest import forest_chart
from mixmerge.report.charts.luck import luck_chart
from mixmerge.report.charts.parallel import parallel_chart
from mixmerge.report.charts.ratio import ratio_chart
from mixmerge.report.charts.small import density_spark, interval_cell
from mixmerge.report.charts.ternary import ternary_chart
from mixmerge.report.charts.tradeoff import tradeoff_charts

__all__ = [
    "density_spark",
    "forest_chart",
    "interval_cell",
    "luck_chart",
    "parallel_chart",
    "ratio_chart",
    "ternary_chart",
    "tradeoff_charts",
]
