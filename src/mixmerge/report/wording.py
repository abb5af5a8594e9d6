"""The sentences of a report, and the words a newcomer needs. No sentence says more than its numbers do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mixmerge.report.advice import ENOUGH, FROM_THE_LAW, Draw, Estimate, advise, best_of, preferred
from mixmerge.report.check import compared
from mixmerge.report.reading import (
    MINUS,
    PERCENT,
    Measure,
    groups_of,
    law_varied,
    merges_of,
    objective_of,
    scored,
    shown,
    signless,
    varying,
    winner_of,
)
from mixmerge.report.schema import EQUAL, WINNER, Optimism, Study, Task

BADGES = {
    "better": "Better than the equal ratio",
    "unclear": "No clear difference",
    "worse": "Worse than the equal ratio",
    "pending": "Not tested yet",
}

ENDED_UNPROVED = {True: "Chosen, not proved", False: "Nothing chosen"}
"""In place of `pending` where a study has ended, by whether it has a winner."""

SAMPLERS = {
    "random": "independent draws from the law, as in the paper",
    "sobol": "draws from the law, spread evenly",
    "tpe": "learns from the scores which ratios to try next",
    "gp": "models the score over the ratio and tries where it promises most",
    "cmaes": "moves a cloud of ratios towards better scores",
}

GLOSSARY = (
    ("source model", "A fine-tuned model that goes into the merge; also called a parent or an expert."),
    ("base model", "The model all sources were fine-tuned from."),
    (
        "ratio, λ",
        "How much of each source goes in. The numbers sum to 1; with two sources, λ is the first one's share.",
    ),
    ("equal ratio", "Every source alike. It is what most people use, so it is what a winner must beat."),
    (
        "ratio law",
        "Where ratios are drawn from. Beta(0.5, 0.5), the law of Mixup Model Merge (M³), prefers ratios near 0 and 1 "
        "but allows all; with more than two sources it becomes a Dirichlet law.",
    ),
    ("α", "The law's one number. Below 1 it prefers the ends, 1 is uniform, above 1 it prefers the middle."),
    (
        "group",
        "Tensors that share one ratio, where a draw has several: a layer, a block (attention, mlp, other) or one "
        "tensor. Outside is what belongs to no layer: embeddings, the last norm, the head.",
    ),
    ("draw, trial", "One ratio from the law, merged and scored. Drawing again and keeping the best is all M³ does."),
    (
        "validation and test",
        "Two sets of items that share none. Draws are compared on validation; the test items are used once, at the "
        "end, so the winner cannot be fitted to them.",
    ),
    (
        "95 % interval",
        "How far the score could be off because only so many items were asked. If the study were repeated with new "
        "items many times, 95 of 100 such intervals would hold the true score.",
    ),
    (
        "paired difference",
        "Two models answer the same items and the scores are subtracted item by item. This is much sharper than "
        "comparing two intervals: they may overlap while the difference is clear.",
    ),
    (
        "optimism",
        "The best of many draws is partly the luckiest, so its validation score promises too much. The drop to the "
        "test score shows by how much.",
    ),
    (
        "out of distribution",
        "A task unlike those a merge was made for. It tells what a ratio does where nobody looked.",
    ),
    (
        "performance drop rate, PDR",
        "The share of its accuracy a model loses when its prompt is worded badly on purpose: 1 − attacked / clean "
        "accuracy. Below 0 the bad wording helped.",
    ),
    ("Pareto front", "The draws that no other draw beats on both tasks at once."),
    (
        "effective draws",
        f"How many draws a reweighted estimate is worth. Below {ENOUGH:g} nothing should be concluded.",
    ),
)


def law_name(study: Study) -> str:
    """`Beta(0.5, 0.5)`, or `Beta(α, α) with α varied too`."""
    law = study["law"]
    name = "Beta" if law["kind"] == "beta" else "Dirichlet"
    if law_varied(study):
        return f"{name}({', '.join('α' for _ in law['alpha'])}) with α varied too"
    return f"{name}({', '.join(f'{alpha:g}' for alpha in law['alpha'])})"


def badge(study: Study) -> str:
    """The verdict in a few words."""
    strength = study["verdict"]["strength"]
    if strength == "pending" and study["state"] == "finished":
        return ENDED_UNPROVED[study["winner"] is not None]
    return BADGES[strength]


def duration(seconds: float) -> str:
    """`0.8 s`, `42 s`, `3 min 12 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(count: int, one: str) -> str:
    """`1 draw`, `2 draws`."""
    return f"{count:,} {one}" if count == 1 else f"{count:,} {one}s"


def with_points(measure: Measure, value: float) -> str:
    """A signed difference with its unit."""
    return f"{measure.delta(value)} {measure.points}".strip()


def headline(sentences: str) -> tuple[str, str]:
    """The first sentence, and the rest, with real minus signs and percent signs that stay with their numbers."""
    set_well = re.sub(r"(?<=\d) %", PERCENT, re.sub(r"(?<=[\s(])-(?=\d)", MINUS, sentences.strip()))
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z])", set_well, maxsplit=1)
    return parts[0], parts[1] if len(parts) > 1 else ""


def comparison(study: Study) -> str:
    """The winner against each other merge, in numbers."""
    measure = objective_of(study)
    parts = []
    tested = [merge for merge in merges_of(study, study["test"]) if merge.name != WINNER]
    for merge in tested:
        difference = compared(study, WINNER, merge.name)
        if difference is not None:
            middle, low, high = difference
            parts.append(
                f"{with_points(measure, middle)} against {_inside(merge.name, merge.title)} "
                f"(95{PERCENT} interval {measure.delta(low)} to {measure.delta(high)})"
            )
    return f"{measure.title} on the test items, winner: " + "; ".join(parts) + "." if parts else ""


def _inside(name: str, title: str) -> str:
    words = {EQUAL: "the equal ratio", "plain": "the method without mixup", "base": "the base model"}
    return words.get(name, f"{title} alone")


def how_drawn(study: Study) -> str:
    """What was done, in a sentence."""
    states: list[str] = [trial["state"] for trial in study["trials"]]
    sampler = SAMPLERS.get(study["sampler"])
    scope = (
        ""
        if study["scope"] == "model"
        else f", one for each {'group' if study['scope'] == 'block' else study['scope']}"
    )
    sentence = f"{plural(len(states), 'draw')} from {law_name(study)}{scope}, {_methods(study)}"
    if study["sampler"] not in FROM_THE_LAW:
        sentence = f"{plural(len(states), 'trial')} under the law {law_name(study)}{scope}, {_methods(study)}"
    sentence += f", sampler {study['sampler']}" + (f" ({sampler})" if sampler else "")
    less = [
        f"{states.count(state)} {word}"
        for state, word in (("failed", "failed"), ("pruned", "dropped early"), ("running", "still running"))
        if states.count(state)
    ]
    return sentence + (f"; {', '.join(less)}" if less else "") + "."


def also_drawn(study: Study) -> str:
    """What the winner has beside its ratio, where that varied too; else nothing."""
    won = winner_of(study)
    if won is None:
        return ""
    named = [f"{name} {shown(won['parameters'].get(name))}" for name in varying(study)]
    return f"Drawn with it: {', '.join(named)}." if named else ""


def _methods(study: Study) -> str:
    """`method ties`, or all of them where it varied."""
    if "method" not in varying(study):
        return f"method {study['method']}"
    drawn = [trial["parameters"]["method"] for trial in study["trials"] if "method" in trial["parameters"]]
    return f"methods {', '.join(map(shown, dict.fromkeys(drawn)))}"


def optimism_sentence(measure: Measure, optimism: Optimism, draws: int) -> str:
    """What choosing the best of many draws did to its score."""
    lost = optimism["difference"] if measure.goal == "maximize" else -optimism["difference"]
    opening = (
        f"On the validation items that chose it, the winner scored {measure.show(optimism['validation'])}; on test "
        f"items it had never seen, {measure.show(optimism['test'])}."
    )
    if lost <= 0 and draws == 1:
        return opening
    if lost <= 0:
        return f"{opening} Here choosing the best of {plural(draws, 'draw')} promised nothing too much."
    size = with_points(measure, lost).lstrip("+")
    luck = "" if draws == 1 else f"picking the luckiest of {plural(draws, 'draw')} and from "
    return (
        f"{opening} The {size} between them come from {luck}the two sets not being equally hard; only the test number "
        "is a fair promise."
    )


def spread_sentence(study: Study) -> str:
    """One draw against the best of many."""
    measure = objective_of(study)
    spread = study["spread"].get(measure.name)
    if spread is None:
        return ""
    if spread["n"] == 1:
        return f"The only draw scored {measure.show(spread['mean'])} on validation, which tells nothing of others."
    sd = signless(measure.delta(spread["sd"])).lstrip("+")
    unit = PERCENT if measure.unit == "fraction" else ""
    raced = any(trial["state"] == "pruned" for trial in study["trials"])
    where = "on the validation items that all of them answered" if raced else "on validation"
    return (
        f"A single draw scores {measure.number(spread['mean'])} ± {sd}{unit} {where} (mean ± standard deviation "
        f"over {plural(spread['n'], 'draw')}): that is what one gets by drawing once and not looking."
    )


def draws_of(study: Study) -> list[Draw]:
    """What advice needs of the trials: those with a score, those dropped early too, or only the good would be left."""
    law = tuple(study["law"]["alpha"])
    drawn = []
    for trial in scored(study):
        ratios, varied = tuple(map(tuple, groups_of(trial).values())), trial["parameters"].get("alpha")
        if trial["objective"] is not None and ratios:
            alpha = (float(varied),) * len(law) if isinstance(varied, int | float) else law
            drawn.append(Draw(ratios, trial["objective"], alpha))
    return drawn


def advice_of(study: Study) -> list[Estimate]:
    """What other alphas would have drawn; empty where the draws cannot tell."""
    return advise(draws_of(study)) if study["sampler"] in FROM_THE_LAW else []


def advice_sentence(study: Study, estimates: Sequence[Estimate]) -> str:
    """Whether another alpha is worth trying."""
    if study["sampler"] not in FROM_THE_LAW:
        return (
            f"The sampler {study['sampler']} learns from scores, so its trials no longer follow the law and cannot say "
            "what another α would have drawn. A study with random or sobol can."
        )
    if not estimates:
        return "There are too few draws to say what another α would have drawn."
    best, measure, draws = preferred(estimates), objective_of(study), draws_of(study)
    others = [item for item in estimates if item.ess < len(draws) - 1e-6]  # the law itself makes them worth all
    if not any(item.enough for item in others):
        return "The draws are worth too few effective draws under any other α listed to tell anything."
    if best is None:
        return f"These {len(draws)} draws do not show that any other α draws better ratios here."
    made = best_of([draw.score for draw in draws], [1 / len(draws)] * len(draws), len(draws))
    return (
        f"A single draw from α = {best.alpha:g} would have scored {with_points(measure, best.gain)} "
        f"(± {signless(measure.delta(2 * best.error)).lstrip('+')}) against those made; the best of {len(draws)} would "
        f"be expected at {measure.show(best.best)} instead of {measure.show(made)}. "
        + ("Worth trying, with a new seed." if best.best > made else "That is no gain for the best of many.")
    )


def weights_sentence(study: Study) -> str:
    """How tasks make the objective."""
    if len(study["tasks"]) == 1:
        return ""
    weights = {name: task["weight"] for name, task in study["tasks"].items()}
    if len(set(weights.values())) == 1:
        return "The winner is the draw with the highest mean over the tasks."
    listed = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    return f"The winner is the draw with the highest weighted mean over the tasks ({listed})."


def task_line(name: str, task: Task) -> str:
    """What a task is, for a table's foot."""
    goal = ", smaller is better" if task.get("goal") == "minimize" else ""
    chance = task.get("chance")
    guess = (
        "" if chance is None else f"; guessing scores {Measure(name, name, task.get('unit', 'fraction')).show(chance)}"
    )
    return (
        f"{name}: {task['metric']}{goal}, {plural(task['validation_n'], 'validation item')}, "
        f"{plural(task['test_n'], 'test item')}{guess}"
    )
