"""Planning: recipe and headers in, a complete plan of reads, arithmetic and writes out. Reads no weights."""

from mixmerge.planning.budget import WRITERS, arena_shape
from mixmerge.planning.build import DEFAULT_SHARD, build_plan, with_ratios
from mixmerge.planning.output import check_output
from mixmerge.planning.types import Budget, Cost, Input, Plan, Step, changes
from mixmerge.planning.vocabulary import ModelTokens, VocabularyPlan

__all__ = [
    "DEFAULT_SHARD",
    "WRITERS",
    "Budget",
    "Cost",
    "Input",
    "ModelTokens",
    "Plan",
    "Step",
    "VocabularyPlan",
    "arena_shape",
    "build_plan",
    "changes",
    "check_output",
    "with_ratios",
]
