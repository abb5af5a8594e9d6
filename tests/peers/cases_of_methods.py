"""Methods of mergekit: weights, densities, normalising, rescaling."""

from peers.case import THREE_Q, Case, quantised, two
from peers.meaning import delta, gradient, has, linear

OF_METHODS: dict[str, Case] = {
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
    "task_arithmetic": Case(two("task_arithmetic"), delta("task_arithmetic", "base", "a b", [0.4, 0.9])),
    "task_arithmetic, lambda and a negative weight": Case(
        two("task_arithmetic", "parameters: {lambda: 0.6}", wb="-0.9"),
        delta("task_arithmetic", "base", "a b", [0.4, -0.9], lambda_=0.6),
    ),
    "task_arithmetic, lambda as gradient": Case(
        two("task_arithmetic", "parameters: {lambda: [0.2, 1.4]}"),
        delta("task_arithmetic", "base", "a b", [0.4, 0.9], lambda_=gradient(0.2, 1.4)),
    ),
    "task_arithmetic, normalize": Case(
        two("task_arithmetic", "parameters: {normalize: true}"),
        delta("task_arithmetic", "base", "a b", [0.4, 0.9], normalize=True),
    ),
    "task_arithmetic, normalize, weights that sum to 0": Case(
        two("task_arithmetic", "parameters: {normalize: true}", wa="0.5", wb="-0.5"),
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
    "ties": Case(two("ties", da="0.3", db="0.7"), delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7])),
    "ties, normalize false, lambda": Case(
        two("ties", "parameters: {normalize: false, lambda: 0.5}", da="0.3", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7], normalize=False, lambda_=0.5),
    ),
    "ties, negative weight": Case(
        two("ties", da="0.8", db="0.7", wa="-0.4"),
        delta("ties", "base", "a b", [-0.4, 0.9], [0.8, 0.7]),
    ),
    "ties, a weight of 0": Case(
        two("ties", da="0.8", db="0.7", wa="0.0"), delta("ties", "base", "a b", [0.0, 0.9], [0.8, 0.7])
    ),
    "ties, rescale": Case(
        two("ties", "parameters: {rescale: true}", da="0.3", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7], rescale=True),
    ),
    "ties, int8_mask": Case(
        two("ties", "parameters: {int8_mask: true}", da="0.3", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.3, 0.7]),
    ),
    "ties, density by gradient and filter": Case(
        two("ties", da="[0.2, 0.9]", db="[{filter: mlp, value: 0.5}, {value: 0.8}]"),
        delta("ties", "base", "a b", [0.4, 0.9], [gradient(0.2, 0.9), has({"mlp": 0.5, "other": 0.8})]),
    ),
    "ties, density 1 (the default)": Case(
        "merge_method: ties\nbase_model: $base\nparameters: {weight: 0.5}\n"
        "models: [{model: $a}, {model: $b}, {model: $c}]\n",
        delta("ties", "base", "a b c", [0.5] * 3),
    ),
    "ties, density above 1": Case(
        two("ties", da="1.5", db="0.7"), delta("ties", "base", "a b", [0.4, 0.9], [1.5, 0.7])
    ),
    "ties, density 0": Case(
        two("ties", da="0.0", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.0, 0.7]),
        refused=(("0.1.4", "AssertionError"),),
    ),
    "ties, density below one element of a norm": Case(
        two("ties", da="0.01", db="0.7"),
        delta("ties", "base", "a b", [0.4, 0.9], [0.01, 0.7]),
        refused=(("0.1.4", "AssertionError"),),
    ),
    "ties, quantised": Case(quantised("ties"), delta("ties", "qbase", "qa qb", [0.5, 0.75], [0.5, 0.3]), settle=True),
    "ties, quantised, equal weights: sums of 0 are positive": Case(
        quantised("ties", wb="0.5", da="0.9", db="0.9"),
        delta("ties", "qbase", "qa qb", [0.5, 0.5], [0.9, 0.9]),
        settle=True,
    ),
    "ties, quantised, opposite weights: agreeing weights that sum to 0": Case(
        quantised("ties", wb="-0.5", da="0.9", db="0.9"),
        delta("ties", "qbase", "qa qb", [0.5, -0.5], [0.9, 0.9]),
        settle=True,
    ),
    "ties, quantised, sums of 0, normalize false, lambda 2": Case(
        quantised("ties", "parameters: {normalize: false, lambda: 2}", wb="0.5", da="0.9", db="0.9"),
        delta("ties", "qbase", "qa qb", [0.5, 0.5], [0.9, 0.9], normalize=False, lambda_=2.0),
        settle=True,
    ),
    "ties, quantised, three": Case(
        "merge_method: ties" + THREE_Q,
        delta("ties", "qbase", "qa qb qc", [0.5, 0.25, 1.0], [0.6, 0.4, 0.75]),
        settle=True,
    ),
    # dare
    "dare_linear, density 1": Case(two("dare_linear"), delta("task_arithmetic", "base", "a b", [0.4, 0.9])),
    "dare_ties, density 1: not normalised": Case(
        two("dare_ties"), delta("ties", "base", "a b", [0.4, 0.9], normalize=False)
    ),
    "dare_linear": Case(
        two("dare_linear", da="0.6", db="0.3"),
        delta("dare_linear", "base", "a b", [0.4, 0.9], [0.6, 0.3]),
        settle=True,
        ulps=8,
    ),
    "dare_linear, rescale false, normalize, lambda": Case(
        two("dare_linear", "parameters: {rescale: false, normalize: true, lambda: 0.5}", da="0.6", db="0.3"),
        delta("dare_linear", "base", "a b", [0.4, 0.9], [0.6, 0.3], rescale=False, normalize=True, lambda_=0.5),
        settle=True,
    ),
    "dare_ties": Case(
        two("dare_ties", da="0.6", db="0.3"),
        delta("dare_ties", "base", "a b", [0.4, 0.9], [0.6, 0.3]),
        settle=True,
        ulps=8,
    ),
    "dare_ties, rescale false, normalize": Case(
        two("dare_ties", "parameters: {rescale: false, normalize: true}", da="0.6", db="0.3"),
        delta("dare_ties", "base", "a b", [0.4, 0.9], [0.6, 0.3], rescale=False, normalize=True),
        settle=True,
    ),
    "dare_ties, quantised, three": Case(
        "merge_method: dare_ties" + THREE_Q,
        delta("dare_ties", "qbase", "qa qb qc", [0.5, 0.25, 1.0], [0.6, 0.4, 0.75]),
        settle=True,
        ulps=8,
    ),
    "dare_linear, density 0": Case(two("dare_linear", da="0.0"), delta("task_arithmetic", "base", "a b", [0.0, 0.9])),
}
