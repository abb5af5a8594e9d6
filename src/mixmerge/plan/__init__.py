"""Planning: recipe and headers in, a complete plan of reads, arithmetic and writes out. Reads no weights."""

from mixmerge.plan.budget import sample_size
from mixmerge.plan.build import DEFAULT_SHARD, build_plan, check_output, model_refs, with_ratios
from mixmerge.plan.types import Budget, Cost, Input, Plan, Step

__all__ = [
    "DEFAULT_SHARD",
    "Budget",
    "Cost",
    "Input",
    "Plan",
    "Step",
    "build_plan",
    "check_output",
    "model_refs",
    "sample_size",
    "with_ratios",
]
