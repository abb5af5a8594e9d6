"""A recipe in mergekit's YAML beside its meaning, and the forms most of these recipes have."""

from dataclasses import dataclass

from peers.meaning import Expectation

HALF_BF16 = 2**15 + 4.0
"""Half a unit in the last place of bfloat16, in float32 units, and float32's own error."""


@dataclass(frozen=True, slots=True)
class Case:
    """A recipe and its meaning.

    `settle`: needs the order among equal magnitudes or the random masks fixed (harness). `refused`: pairs of
    (start of mergekit's version, part of its message) where it gives no result. `differs`: why our meaning is
    not mergekit's, where that is on purpose. `ulps`: allowed error in float32 units in the last place of the
    tensor's largest value. `dtype`: what the output is stored as.
    """

    recipe: str
    expect: Expectation
    settle: bool = False
    refused: tuple[tuple[str, str], ...] = ()
    differs: str = ""
    ulps: float = 4.0
    dtype: str = "F32"


TWO = """
models:
  - {model: $a, parameters: {weight: %s, density: %s}}
  - {model: $b, parameters: {weight: %s, density: %s}}
base_model: $base
"""
QUANTISED = TWO.replace("$a", "$qa").replace("$b", "$qb").replace("$base", "$qbase")
THREE_Q = """
models:
  - {model: $qa, parameters: {weight: 0.5, density: 0.6}}
  - {model: $qb, parameters: {weight: 0.25, density: 0.4}}
  - {model: $qc, parameters: {weight: 1.0, density: 0.75}}
base_model: $qbase
"""


def two(method: str, rest: str = "", wa: str = "0.4", da: str = "1.0", wb: str = "0.9", db: str = "1.0") -> str:
    return f"merge_method: {method}" + TWO % (wa, da, wb, db) + rest


def quantised(method: str, rest: str = "", wa: str = "0.5", da: str = "0.5", wb: str = "0.75", db: str = "0.3") -> str:
    return f"merge_method: {method}" + QUANTISED % (wa, da, wb, db) + rest


def pair(method: str, a: str, b: str, rest: str = "") -> str:
    return f"merge_method: {method}\nmodels:\n  - {{model: {a}}}\n  - {{model: {b}}}\n{rest}"
