"""A plan as text for people."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from mixmerge.cli.sizes import bytes_text, mib_text
from mixmerge.cli.terminal import width
from mixmerge.errors import LONGEST

if TYPE_CHECKING:
    from mixmerge.cli.plan_view import AdapterView, ModelView
    from mixmerge.methods import Number
    from mixmerge.planning import Plan

GROUPS_SHOWN: Final = 8
NOTES_SHOWN: Final = 20
TOKENS_SHOWN: Final = 3
RULES: Final = {
    False: "the mean of that model's own rows",
    True: "the base's, else that of the only model that has it, else the mean of those that have it",
}


def plan_text(plan: Plan) -> str:
    """What will be read, computed and written, and what that takes."""
    parts = (_method(plan), _read(plan), _tokens(plan), _compute(plan), _write(plan), _needs(plan), _notes(plan))
    return "\n".join(line for part in parts for line in part)


def ratio_lines(
    ratios: Mapping[str, Sequence[float]], sources: Sequence[str], law: str | None, seed: int
) -> Iterator[str]:
    """The ratio of every group, at most GROUPS_SHOWN of them."""
    origin = f"drawn from {law} with seed {seed}" if law else "fixed"
    if len(ratios) > 1:
        yield _line("ratio", origin)
    for group, ratio in list(ratios.items())[:GROUPS_SHOWN]:
        parts = ", ".join(f"{part:.6g} {source}" for part, source in zip(ratio, sources, strict=False))
        if len(ratios) == 1:
            yield _line("ratio", f"{parts} ({origin})")
        else:
            yield _line("", f"{group}: {parts}" + " (outside the filter)" * (group == "equal"))
    if len(ratios) > GROUPS_SHOWN:
        yield _line("", f"... and {len(ratios) - GROUPS_SHOWN} more")


def _line(head: str, text: str) -> str:
    """A labelled line, wrapped; names and paths stay whole."""
    return textwrap.fill(
        text, width(), initial_indent=f"{head:<10}", subsequent_indent=" " * 10, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _method(plan: Plan) -> Iterator[str]:
    yield _line("method", f"{plan.method.name}, dialect {plan.method.dialect}: {plan.method.summary}")
    yield _line("", plan.method.formula)


def _read(plan: Plan) -> Iterator[str]:
    from mixmerge.cli.plan_view import models_of

    views = models_of(plan)
    width = max(len(view.label) for view in views)
    for number, view in enumerate(views):
        yield _line("" if number else "read", f"{view.label:<{width}}  {_model(view)}")
        if view.adapter is not None:
            yield _line("", f"  with adapter {_adapter(view.adapter)}")
    passes = f"{plan.cost.passes} pass{'es' * (plan.cost.passes != 1)}"
    yield _line("", f"{bytes_text(plan.cost.read)} in {passes}")


def _model(view: ModelView) -> str:
    role = " and ".join(view.roles) or "files only"
    dtypes = ", ".join(view.dtypes)
    commit = f", commit {view.commit[:12]}" if view.commit else ""
    remote = "" if view.is_local else ", to be downloaded"
    return f"{role}, {view.tensors} tensors, {bytes_text(view.nbytes)}, {dtypes}{commit}{remote}"


def _adapter(view: AdapterView) -> str:
    parts = [f"{view.label}:"]
    if view.changed:
        numbers = ("rank", view.ranks), ("alpha", view.alphas), ("scale", view.scales)
        parts.append(f"LoRA of {', '.join(f'{name} {_spread(found)}' for name, found in numbers)},")
        parts.append(f"added to {view.changed} tensor{'s' * (view.changed != 1)},")
    if view.replaced:
        parts.append(f"{view.replaced} tensor{'s' * (view.replaced != 1)} of its own,")
    commit = f", commit {view.commit[:12]}" if view.commit else ""
    return " ".join(parts) + f" {bytes_text(view.nbytes)}{commit}" + ", to be downloaded" * (not view.is_local)


def _spread(values: Sequence[float]) -> str:
    return f"{values[0]:.6g}" if len(values) == 1 else f"{values[0]:.6g} to {values[-1]:.6g}"


def _tokens(plan: Plan) -> Iterator[str]:
    """How vocabularies are put in step, where they are not so already."""
    found = plan.vocabulary
    if found is None:
        return
    labels = [model.label for model in plan.models]
    added = "".join(
        f", then {one.token.content!r}{'' if one.model is None else f' of {labels[one.model]}'} as {one.id}"
        for one in found.added[:TOKENS_SHOWN]
    )
    more = len(found.added) - TOKENS_SHOWN
    added += f" and {more} more" if more > 0 else ""
    yield _line("tokens", f"{found.tokens:,} in {found.rows:,} rows: those of {labels[found.home]}{added}")
    for one in found.models:
        parts = [f"{one.rows:,} rows"]
        parts += [f"{one.moved:,} of them moved"] if one.moved else []
        parts += [f"lacks {_named(one.missing)}"] if one.missing[0] else []
        parts += [f"loses {_named(one.dropped)}"] if one.dropped[0] else []
        parts += [f"no row for {_named(one.beyond)}, behind its last"] if one.beyond[0] else []
        yield _line("", f"{labels[one.model]}: {', '.join(parts)}")
    if any(one.missing[0] for one in found.models):
        token = "any other token" if found.named else "a token"
        yield _line("", f"the row of {token} a model lacks is {RULES[found.owners]}")
    for named in found.named:
        row = "zeros" if named.model is None else f"row {named.row:,} of {labels[named.model]}"
        where = "every model" if named.force else "models that lack it"
        yield _line("", f"{named.token!r} ({named.id:,}): {row} in {where}")
    if found.rows > found.needed:
        what = "the mean of its rows that have tokens" if found.owners else "the mean of its own rows"
        yield _line("", f"rows {found.needed:,} to {found.rows - 1:,} round up to a multiple: in each model {what}")
    if found.special:
        yield _line("", ", ".join(f"{one.role}_token {one.token!r} ({one.id:,})" for one in found.special))


def _named(tokens: tuple[int, tuple[str, ...]]) -> str:
    count, first = tokens
    names = ", ".join(map(repr, first)) + ", ..." * (count > len(first))
    return f"{count:,} token{'s' * (count != 1)} ({names})"


def _compute(plan: Plan) -> Iterator[str]:
    from mixmerge.cli.plan_view import draw_seed, shared_values, source_values

    copied = sum(step.method is None for step in plan.steps)
    merged = f"{len(plan.steps) - copied} tensors merged in float32"
    yield _line("compute", merged + (f", {copied} copied" if copied else ""))
    ignored = {parameter.name for parameter in plan.method.parameters if parameter.ignored}
    for name, values in shared_values(plan).items():
        if name not in ignored:
            yield _line("", f"{name} {_values(values)}")
    for label, named in source_values(plan).items():
        for name, values in named.items():
            yield _line("", f"{name} {_values(values)} for {label}")
    dare = plan.recipe.dare
    if dare is not None:
        rescaled = "rescaled" if dare.rescale else "not rescaled"
        how = f"{dare.strategy}, of {dare.of}, {rescaled}, seed {plan.recipe.seed}"
        yield _line("dare", f"drop rate {dare.drop_rate:g}, {how}")
    yield from ratio_lines(
        plan.ratios, plan.source_labels, None if plan.law is None else str(plan.law), draw_seed(plan)
    )


def _values(values: Sequence[Number]) -> str:
    if len(values) == 1:
        return _value(values[0])
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = sorted(float(value) for value in values)
        return f"{numbers[0]:g} to {numbers[-1]:g} by tensor"
    return " or ".join(_value(value) for value in values) + " by tensor"


def _value(value: Number) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write(plan: Plan) -> Iterator[str]:
    files = f"{len(plan.layouts)} file{'s' * (len(plan.layouts) != 1)}"
    dtypes = ", ".join(Counter(step.spec.dtype.name for step in plan.steps))
    yield _line("write", f"{len(plan.steps)} tensors, {bytes_text(plan.cost.written)}, {dtypes}, {files}")
    if plan.files:
        yield _line("", f"{', '.join(plan.files)} made to agree with the tensors")
    if plan.carried:
        for label, names in _origins(plan).items():
            yield _line("", f"{', '.join(names)} from {label}")


def _origins(plan: Plan) -> dict[str, list[str]]:
    """Model -> the files carried over from it."""
    found: dict[str, list[str]] = {}
    models = sorted(plan.models, key=lambda model: model.adaptation is not None)
    folders = {model.folder: model.label for model in reversed(models)}
    for name, path in plan.carried.items():
        found.setdefault(folders[path.parent], []).append(name)
    return found


def _needs(plan: Plan) -> Iterator[str]:
    budget = plan.budget
    blocks = f"{budget.threads} thread{'s' * (budget.threads != 1)}, blocks of {budget.block:,} elements"
    yield _line("memory", f"at most {mib_text(budget.projected)}: {blocks}")
    yield _line("disk", f"{bytes_text(plan.cost.disk)} free space")


def _notes(plan: Plan) -> Iterator[str]:
    for number, note in enumerate(few_notes(plan.notes)):
        yield _line("" if number else "notes", note)


def few_notes(notes: Sequence[str]) -> list[str]:
    """The first NOTES_SHOWN of many notes, long ones cut, and how many more there are: models may disagree in thousands
    of tensors."""
    shown = [note if len(note) <= LONGEST else f"{note[:LONGEST]}..." for note in notes[:NOTES_SHOWN]]
    more = len(notes) - len(shown)
    return [*shown, f"and {more:,} more (mixmerge plan --json has all)"] if more else shown
