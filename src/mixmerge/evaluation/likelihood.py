"""Log-likelihoods of continuations, many at once.

Rows are padded on the right: a causal model never looks there, so no mask is needed and every position is where it
would be alone. Continuations whose input begins another one's share its row. It knows tokens and one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from mixmerge.evaluation.codec import Encoded

MAX_LOGITS: Final = 50_000_000  # numbers of a batch's logits that are held at once


@final
@dataclass(frozen=True, slots=True)
class Shared:
    """One row for the model. ids: its input. parts: the continuations it answers."""

    ids: tuple[int, ...]
    parts: tuple[Encoded, ...]

    @property
    def first(self) -> int:
        """The first position whose logits are needed."""
        return min(part.prompt for part in self.parts) - 1


def share(parts: Sequence[Encoded]) -> list[Shared]:
    """As few rows as answer all of these: an input that begins another one needs no row of its own."""
    rows: list[list[Encoded]] = []
    for part in sorted(parts, key=lambda item: item.ids[:-1], reverse=True):
        if rows and rows[-1][0].ids[: len(part.ids) - 1] == part.ids[:-1]:
            rows[-1].append(part)
        else:
            rows.append([part])
    return [Shared(row[0].ids[:-1], tuple(row)) for row in rows]


def log_likelihoods(model: Any, rows: Sequence[Shared], accepts: frozenset[str]) -> dict[Encoded, float]:
    """Natural logarithm of the probability of every continuation after its prompt.

    accepts: names of arguments of the model's forward. Probabilities are float32, sums float64.
    """
    import torch

    width = max(len(row.ids) for row in rows)
    ids = torch.tensor([list(row.ids) + [0] * (width - len(row.ids)) for row in rows], device=model.device)
    first = min(row.first for row in rows) if "logits_to_keep" in accepts else 0
    keep = {"logits_to_keep": width - first} if "logits_to_keep" in accepts else {}
    wanted = [(number, part) for number, row in enumerate(rows) for part in row.parts]
    places = [(number, at) for number, part in wanted for at in range(part.prompt - 1, len(part.ids) - 1)]
    tokens = [token for _, part in wanted for token in part.ids[part.prompt :]]
    with torch.inference_mode():
        logits = model(ids, use_cache=False, **keep).logits
        at = torch.tensor(places, device=logits.device)
        chosen = logits[at[:, 0], at[:, 1] - first].float()
        picked = chosen.gather(1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
        values = (picked - chosen.logsumexp(dim=-1)).double().cpu()
    sizes = [len(part.ids) - part.prompt for _, part in wanted]
    sums = [float(piece.sum()) for piece in values.split(sizes)]
    return {part: value for (_, part), value in zip(wanted, sums, strict=True)}
