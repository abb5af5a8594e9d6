"""What surrounds a method: slices and the levels of parameters, element types, tied heads; and slerp."""

from peers.case import HALF_BF16, Case, pair, two
from peers.meaning import by_layer, delta, gradient, has, layer, linear, slerp

OF_MODELS: dict[str, Case] = {
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
        pair("slerp", "$a", "$base", "base_model: $base\nparameters: {t: [0.1, 0.9]}\n"),
        slerp("base", "a", gradient(0.1, 0.9)),
        ulps=16,
    ),
    "slerp, far apart": Case(
        pair("slerp", "$qbase", "$a", "base_model: $qbase\nparameters: {t: 0.3}\n"),
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
        two("task_arithmetic", "dtype: float32\nout_dtype: bfloat16\n"),
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
