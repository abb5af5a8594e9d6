"""Recipes in mergekit's YAML beside what the oracles say they mean (docs: the formula, section B).

Each case is a recipe text with $names for folders and a function from the source models to the expected one.
Whoever runs recipes can be held against them: mergekit itself (test_mergekit.py), or the product.
"""

from dataclasses import dataclass

from peers.meaning import Expectation, by_layer, delta, gradient, has, layer, linear, slerp

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


_TWO = """
models:
  - {model: $a, parameters: {weight: %s, density: %s}}
  - {model: $b, parameters: {weight: %s, density: %s}}
base_model: $base
"""
_QUANTISED = _TWO.replace("$a", "$qa").replace("$b", "$qb").replace("$base", "$qbase")
_THREE_Q = """
models:
  - {model: $qa, parameters: {weight: 0.5, density: 0.6}}
  - {model: $qb, parameters: {weight: 0.25, density: 0.4}}
  - {model: $qc, parameters: {weight: 1.0, density: 0.75}}
base_model: $qbase
"""


def _two(method: str, rest: str = "", wa: str = "0.4", da: str = "1.0", wb: str = "0.9", db: str = "1.0") -> str:
    return f"merge_method: {method}" + _TWO % (wa, da, wb, db) + rest


def _quantised(method: str, rest: str = "", wa: str = "0.5", da: str = "0.5", wb: str = "0.75", db: str = "0.3") -> str:
    return f"merge_method: {method}" + _QUANTISED % (wa, da, wb, db) + rest


def _pair(method: str, a: str, b: str, rest: str = "") -> str:
    return f"merge_method: {method}\nmodels:\n  - {{model: {a}}}\n  - {{model: {b}}}\n{rest}"


CASES: dict[str, Case] = {
    # linear
    "linear": Case(
        "merge_method: linear\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.7}}\n  - {model: $b, parameters: {weight: 0.5}}\n",
        linear("a b", [0.7, 0.5]),
    ),
    "linear, normalize false": Case(
        "merge_method: linear\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.7}}\n  - {model: $b, parameters: {weight: -0.5}}\n"
        "parameters: {normalize: false}\n",
        linear("a b", [0.7, -0.5], False),
    ),
    "linear, gradients": Case(
        "merge_method: linear\nmodels:\n"
        "  - {model: $a, parameters: {weight: [0.2, 0.8]}}\n"
        "  - {model: $b, parameters: {weight: [1, 0.1, 0.5, 0.3]}}\n",
        linear("a b", [gradient(0.2, 0.8), gradient(1, 0.1, 0.5, 0.3)]),
    ),
    "linear, filters; the first match wins": Case(
        "merge_method: linear\nmodels:\n"
        "  - model: $a\n    parameters:\n      weight:\n"
        "        - {filter: mlp.up, value: 0.9}\n        - {filter: mlp, value: 0.6}\n"
        "        - {filter: self_attn, value: [0.1, 0.5]}\n        - {value: 0.3}\n"
        "        - {filter: norm, value: 7}\n"
        "  - {model: $b, parameters: {weight: 0.4}}\n",
        linear("a b", [has({"mlp.up": 0.9, "mlp": 0.6, "self_attn": gradient(0.1, 0.5), "other": 0.3}), 0.4]),
    ),
    "linear, filter '*'": Case(
        "merge_method: linear\nmodels:\n"
        "  - model: $a\n    parameters:\n      weight:\n"
        "        - {filter: mlp, value: 0.9}\n        - {filter: '*', value: 0.3}\n"
        "  - {model: $b, parameters: {weight: 0.4}}\n",
        linear("a b", [has({"mlp": 0.9, "other": 0.3}), 0.4]),
    ),
    "linear, no filter matches: the outer value": Case(
        "merge_method: linear\nmodels:\n"
        "  - {model: $a, parameters: {weight: [{filter: mlp, value: 0.9}]}}\n  - {model: $b}\n"
        "parameters: {weight: [{filter: norm, value: 0.8}, {value: 0.25}]}\n",
        linear("a b", [has({"mlp": 0.9, "norm": 0.8, "other": 0.25}), has({"norm": 0.8, "other": 0.25})]),
    ),
    "linear, an unlisted base is a source": Case(
        "merge_method: linear\nbase_model: $base\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.7}}\n  - {model: $b, parameters: {weight: 0.5}}\n"
        "parameters: {weight: 0.3}\n",
        linear("a b base", [0.7, 0.5, 0.3]),
    ),
    "linear, an unlisted base needs its weight": Case(
        "merge_method: linear\nbase_model: $base\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.7}}\n  - {model: $b, parameters: {weight: 0.5}}\n",
        linear("a b", [0.7, 0.5]),
        refused=(("0.1.4", "TypeError"), ("", "weight")),
    ),
    "linear, listed base": Case(
        "merge_method: linear\nbase_model: $a\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.7}}\n  - {model: $b, parameters: {weight: 0.5}}\n",
        linear("a b", [0.7, 0.5]),
    ),
    "linear, weights that sum to 0": Case(
        "merge_method: linear\nmodels:\n"
        "  - {model: $a, parameters: {weight: 1}}\n  - {model: $b, parameters: {weight: -1}}\n",
        linear("a b", [1, -1]),
        differs="mergekit divides by 0 and writes inf and nan; a sum of 0 counts as 1 here",
    ),
    "linear, normalize by filter of the output name": Case(
        "merge_method: linear\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.7}}\n  - {model: $b, parameters: {weight: 0.5}}\n"
        "parameters: {normalize: [{filter: mlp, value: false}, {value: true}]}\n",
        lambda m: {
            n: v if "mlp" in n else linear("a b", [0.7, 0.5])(m)[n]
            for n, v in linear("a b", [0.7, 0.5], False)(m).items()
        },
    ),
    "linear, a single filter without a list": Case(
        "merge_method: linear\nmodels:\n"
        "  - {model: $a, parameters: {weight: {filter: '*', value: 0.7}}}\n"
        "  - {model: $b, parameters: {weight: 0.5}}\n",
        linear("a b", [0.7, 0.5]),
        refused=(("0.1.4", "Unexpected setting value"),),
    ),
    # task_arithmetic
    "task_arithmetic": Case(_two("task_arithmetic"), delta("task_arithmetic", "base", "a b", [0.4, 0.9])),
    "task_arithmetic, lambda and a negative weight": Case(
        _two("task_arithmetic", "parameters: {lambda: 0.6}", wb="-0.9"),
        delta("task_arithmetic", "base", "a b", [0.4, -0.9], lambda_=0.6),
    ),
    "task_arithmetic, lambda as gradient": Case(
        _two("task_arithmetic", "parameters: {lambda: [0.2, 1.4]}"),
        delta("task_arithmetic", "base", "a b", [0.4, 0.9], lambda_=gradient(0.2, 1.4)),
    ),
    "task_arithmetic, normalize": Case(
        _two("task_arithmetic", "parameters: {normalize: true}"),
        delta("task_arithmetic", "base", "a b", [0.4, 0.9], normalize=True),
    ),
    "task_arithmetic, normalize, weights that sum to 0": Case(
        _two("task_arithmetic", "parameters: {normalize: true}", wa="0.5", wb="-0.5"),
        delta("task_arithmetic", "base", "a b", [0.5, -0.5], normalize=True),
    ),
    "task_arithmetic, global parameter at a source is not read": Case(
        "merge_method: task_arithmetic\nbase_model: $base\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.4, lambda: 0.5, normalize: true}}\n"
        "  - {model: $b, parameters: {weight: 0.9}}\n",
        delta("task_arithmetic", "base", "a b", [0.4, 0.9]),
    ),
    "task_arithmetic, the base listed first": Case(
        "merge_method: task_arithmetic\nbase_model: $base\nmodels:\n  - {model: $base}\n"
        "  - {model: $a, parameters: {weight: 0.4}}\n  - {model: $b, parameters: {weight: 0.9}}\n",
        delta("task_arithmetic", "base", "a b", [0.4, 0.9]),
    ),
    "task_arithmetic, the base listed with a weight": Case(
        "merge_method: task_arithmetic\nbase_model: $base\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.4}}\n  - {model: $base, parameters: {weight: 3}}\n"
        "  - {model: $b, parameters: {weight: 0.9}}\nparameters: {normalize: true}\n",
        delta("task_arithmetic", "base", "a b", [0.4, 0.9], normalize=True),
    ),
    "task_arithmetic, only the base": Case(
        "merge_method: task_arithmetic\nbase_model: $base\nmodels:\n  - {model: $base}\n",
        lambda m: m["base"],
    ),
    "task_arithmetic without a base": Case(
        "merge_method: task_arithmetic\nmodels:\n"
        "  - {model: $a, parameters: {weight: 0.4}}\n  - {model: $b, parameters: {weight: 0.9}}\n",
        lambda m: m["base"],
        refused=(("", ""),),
    ),
    # ties
    "ties": Case(_two("ties", da="0.3", db="0.7"), delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7])),
    "ties, normalize false, lambda": Case(
        _two("ties", "parameters: {normalize: false, lambda: 0.5}", da="0.3", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7], normalize=False, lambda_=0.5),
    ),
    "ties, negative weight": Case(
        _two("ties", da="0.8", db="0.7", wa="-0.4"),
        delta("ties", "base", "a b", [-0.4, 0.9], [0.8, 0.7]),
    ),
    "ties, a weight of 0": Case(
        _two("ties", da="0.8", db="0.7", wa="0.0"), delta("ties", "base", "a b", [0.0, 0.9], [0.8, 0.7])
    ),
    "ties, rescale": Case(
        _two("ties", "parameters: {rescale: true}", da="0.3", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7], rescale=True),
    ),
    "ties, int8_mask": Case(
        _two("ties", "parameters: {int8_mask: true}", da="0.3", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7]),
    ),
    "ties, density by gradient and filter": Case(
        _two("ties", da="[0.2, 0.9]", db="[{filter: mlp, value: 0.5}, {value: 0.8}]"),
        delta("ties", "base", "a b", [0.4, 0.9], [gradient(0.2, 0.9), has({"mlp": 0.5, "other": 0.8})]),
    ),
    "ties, density 1 (the default)": Case(
        "merge_method: ties\nbase_model: $base\nparameters: {weight: 0.5}\n"
        "models: [{model: $a}, {model: $b}, {model: $c}]\n",
        delta("ties", "base", "a b c", [0.5] * 3),
    ),
    "ties, density above 1": Case(
        _two("ties", da="1.5", db="0.7"), delta("ties", "base", "a b", [0.4, 0.9], [1.5, 0.7])
    ),
    "ties, density 0": Case(
        _two("ties", da="0.0", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.0, 0.7]),
        refused=(("0.1.4", "AssertionError"),),
    ),
    "ties, density below one element of a norm": Case(
        _two("ties", da="0.01", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.01, 0.7]),
        refused=(("0.1.4", "AssertionError"),),
    ),
    "ties, quantised": Case(_quantised("ties"), delta("ties", "qbase", "qa qb", [0.5, 0.75], [0.5, 0.3]), settle=True),
    "ties, quantised, equal weights: sums of 0 are positive": Case(
        _quantised("ties", wb="0.5", da="0.9", db="0.9"),
        delta("ties", "qbase", "qa qb", [0.5, 0.5], [0.9, 0.9]),
        settle=True,
    ),
    "ties, quantised, opposite weights: agreeing weights that sum to 0": Case(
        _quantised("ties", wb="-0.5", da="0.9", db="0.9"),
        delta("ties", "qbase", "qa qb", [0.5, -0.5], [0.9, 0.9]),
        settle=True,
    ),
    "ties, quantised, sums of 0, normalize false, lambda 2": Case(
        _quantised("ties", "parameters: {normalize: false, lambda: 2}", wb="0.5", da="0.9", db="0.9"),
        delta("ties", "qbase", "qa qb", [0.5, 0.5], [0.9, 0.9], normalize=False, lambda_=2.0),
        settle=True,
    ),
    "ties, quantised, three": Case(
        "merge_method: ties" + _THREE_Q,
        delta("ties", "qbase", "qa qb qc", [0.5, 0.25, 1.0], [0.6, 0.4, 0.75]),
        settle=True,
    ),
    # dare
    "dare_linear, density 1": Case(_two("dare_linear"), delta("task_arithmetic", "base", "a b", [0.4, 0.9])),
    "dare_ties, density 1: not normalised": Case(
        _two("dare_ties"), delta("ties", "base", "a b", [0.4, 0.9], normalize=False)
    ),
    "dare_linear": Case(
        _two("dare_linear", da="0.6", db="0.3"),
        delta("dare_linear", "base", "a b", [0.4, 0.9], [0.6, 0.3]),
        settle=True,
        ulps=8,
    ),
    "dare_linear, rescale false, normalize, lambda": Case(
        _two("dare_linear", "parameters: {rescale: false, normalize: true, lambda: 0.5}", da="0.6", db="0.3"),
        delta("dare_linear", "base", "a b", [0.4, 0.9], [0.6, 0.3], rescale=False, normalize=True, lambda_=0.5),
        settle=True,
    ),
    "dare_ties": Case(
        _two("dare_ties", da="0.6", db="0.3"),
        delta("dare_ties", "base", "a b", [0.4, 0.9], [0.6, 0.3]),
        settle=True,
        ulps=8,
    ),
    "dare_ties, rescale false, normalize": Case(
        _two("dare_ties", "parameters: {rescale: false, normalize: true}", da="0.6", db="0.3"),
        delta("dare_ties", "base", "a b", [0.4, 0.9], [0.6, 0.3], rescale=False, normalize=True),
        settle=True,
    ),
    "dare_ties, quantised, three": Case(
        "merge_method: dare_ties" + _THREE_Q,
        delta("dare_ties", "qbase", "qa qb qc", [0.5, 0.25, 1.0], [0.6, 0.4, 0.75]),
        settle=True,
        ulps=8,
    ),
    "dare_linear, density 0": Case(_two("dare_linear", da="0.0"), delta("task_arithmetic", "base", "a b", [0.0, 0.9])),
    # slices and precedence
    "slices, source over slice over top": Case(
        """
merge_method: linear
slices:
  - sources:
      - {model: $a, layer_range: [0, 2], parameters: {weight: 0.9}}
      - {model: $b, layer_range: [0, 2]}
    parameters: {weight: 0.4, normalize: false}
  - sources:
      - {model: $a, layer_range: [1, 3]}
      - {model: $c, layer_range: [1, 3], parameters: {weight: [0.1, 0.3]}}
parameters: {weight: 0.2}
""",
        by_layer(
            [
                (linear("a b", [0.9, 0.4], False), 0),
                (linear("a b", [0.9, 0.4], False), 1),
                (linear("a c", [0.2, 0.1]), 1),
                (linear("a c", [0.2, has({"layers": 0.3, "other": 0.1})]), 2),
            ]
        ),
    ),
    "slices of one layer: a gradient is at its end": Case(
        """
merge_method: linear
slices:
  - sources:
      - {model: $a, layer_range: [2, 3], parameters: {weight: [0.2, 0.5, 0.9]}}
      - {model: $b, layer_range: [0, 1], parameters: {weight: 0.5}}
parameters: {normalize: false}
""",
        lambda m: {
            n: (0.9 if layer(n) == 0 else 0.2) * m["a"][n.replace(".0.", ".2.")] + 0.5 * m["b"][n]
            for n in m["a"]
            if layer(n) in (None, 0)
        },
    ),
    "slices, source filters read input names, global ones output names": Case(
        """
merge_method: task_arithmetic
base_model: $base
slices:
  - sources:
      - {model: $base, layer_range: [0, 2]}
      - model: $a
        layer_range: [1, 3]
        parameters: {weight: [{filter: layers.2., value: 0.5}, {filter: layers.0., value: 9}, {value: 0.25}]}
parameters: {lambda: [{filter: layers.0., value: 2}, {filter: layers.2., value: 9}, {value: 1}]}
""",
        lambda m: {
            n: b
            + {None: 0.25, 0: 2 * 0.25, 1: 0.5}[layer(n)]
            * (m["a"][n.replace(".1.", ".2.").replace(".0.", ".1.") if layer(n) is not None else n] - b)
            for n, b in m["base"].items()
            if layer(n) in (None, 0, 1)
        },
    ),
    "slices, a base of the slice": Case(
        """
merge_method: task_arithmetic
base_model: $base
slices:
  - sources:
      - {model: $base, layer_range: [0, 2]}
      - {model: $a, layer_range: [0, 2]}
  - base_model: $b
    sources:
      - {model: $b, layer_range: [2, 3]}
      - {model: $a, layer_range: [2, 3]}
parameters: {weight: 0.5}
""",
        by_layer(
            [
                (delta("task_arithmetic", "base", "a", [0.5]), 0),
                (delta("task_arithmetic", "base", "a", [0.5]), 1),
                (delta("task_arithmetic", "b", "a", [0.5]), 2),
            ]
        ),
    ),
    "slices, the base is not added": Case(
        """
merge_method: task_arithmetic
base_model: $base
slices:
  - sources:
      - {model: $a, layer_range: [0, 3], parameters: {weight: 0.5}}
""",
        delta("task_arithmetic", "base", "a", [0.5]),
        refused=(("", ""),),
    ),
    "slices, more sources in the last than in the first": Case(
        """
merge_method: linear
slices:
  - sources:
      - {model: $a, layer_range: [0, 2]}
  - sources:
      - {model: $b, layer_range: [2, 3], parameters: {weight: 0.5}}
      - {model: $c, layer_range: [2, 3], parameters: {weight: 0.25}}
parameters: {weight: 1}
""",
        by_layer([(linear("a", [1]), 0), (linear("a", [1]), 1), (linear("b c", [0.5, 0.25]), 2)]),
        differs="mergekit cuts the last slice's sources for norm and head to the first slice's number",
    ),
    "slices, passthrough with a scale": Case(
        """
merge_method: passthrough
slices:
  - sources: [{model: $a, layer_range: [0, 2]}]
  - sources:
      - {model: $b, layer_range: [1, 3], parameters: {scale: [{filter: o_proj, value: 0}, {value: 1}]}}
""",
        by_layer(
            [(lambda m: m["a"], 0), (lambda m: m["a"], 1)]
            + [(lambda m: {n: v * ("o_proj" not in n) for n, v in m["b"].items()}, i) for i in (1, 2)]
        ),
    ),
    # slerp
    "slerp, t as gradient, base second": Case(
        _pair("slerp", "$a", "$base", "base_model: $base\nparameters: {t: [0.1, 0.9]}\n"),
        slerp("base", "a", gradient(0.1, 0.9)),
        ulps=16,
    ),
    "slerp, far apart": Case(
        _pair("slerp", "$qbase", "$a", "base_model: $qbase\nparameters: {t: 0.3}\n"),
        slerp("qbase", "a", 0.3),
        ulps=16,
    ),
    "slerp, base not listed": Case(
        "merge_method: slerp\nbase_model: $qbase\nmodels: [{model: $a}]\nparameters: {t: 0.3}\n",
        slerp("qbase", "a", 0.3),
        ulps=16,
    ),
    # dtypes
    "dtype float32, out_dtype bfloat16": Case(
        _two("task_arithmetic", "dtype: float32\nout_dtype: bfloat16\n"),
        delta("task_arithmetic", "base", "a b", [0.4, 0.9]),
        ulps=HALF_BF16,
        dtype="BF16",
    ),
    "dtype float32 of bfloat16 inputs": Case(
        "merge_method: task_arithmetic\nbase_model: $bfbase\ndtype: float32\nparameters: {weight: 0.5}\n"
        "models: [{model: $bfa}, {model: $bfb}]\n",
        delta("task_arithmetic", "bfbase", "bfa bfb", [0.5, 0.5]),
    ),
    "dtype bfloat16 of bfloat16 inputs": Case(
        "merge_method: task_arithmetic\nbase_model: $bfbase\ndtype: bfloat16\nparameters: {weight: 0.5}\n"
        "models: [{model: $bfa}, {model: $bfb}]\n",
        delta("task_arithmetic", "bfbase", "bfa bfb", [0.5, 0.5]),
        ulps=8 * HALF_BF16,
        dtype="BF16",
    ),
    "no dtype, bfloat16 inputs": Case(
        "merge_method: linear\nparameters: {weight: 0.5}\nmodels: [{model: $bfa}, {model: $bfb}]\n",
        linear("bfa bfb", [0.5, 0.5]),
        ulps=8 * HALF_BF16,
        dtype="BF16",
    ),
    "no dtype, base bfloat16, source float32": Case(
        "merge_method: task_arithmetic\nbase_model: $bfbase\nparameters: {weight: 0.5}\n"
        "models: [{model: $a}, {model: $bfb}]\n",
        delta("task_arithmetic", "bfbase", "a bfb", [0.5, 0.5]),
        ulps=8 * HALF_BF16,
        dtype="BF16",
    ),
    "no dtype, linear, bfloat16 first, float32 second": Case(
        "merge_method: linear\nparameters: {weight: 0.5}\nmodels: [{model: $bfa}, {model: $b}]\n",
        linear("bfa b", [0.5, 0.5]),
        ulps=8 * HALF_BF16,
        dtype="BF16",
    ),
    # tied heads
    "tied head in one of two sources: the embedding stands for it": Case(
        "merge_method: linear\nparameters: {weight: 0.5}\nmodels: [{model: $a}, {model: $tied}]\n",
        lambda m: {
            n: (v + (m["tied"][n] if n in m["tied"] else m["tied"]["model.embed_tokens.weight"])) / 2
            for n, v in m["a"].items()
        },
    ),
    "tied head everywhere: none is written": Case(
        "merge_method: linear\nparameters: {weight: 0.5}\nmodels: [{model: $tied}]\n", lambda m: m["tied"]
    ),
}
